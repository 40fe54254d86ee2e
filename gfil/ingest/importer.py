"""The way of an import: recognise, read, check, place, store, and report."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import apsw

from gfil import clocks, timeframes
from gfil.clocks import UTC, Clock
from gfil.errors import BadParameter, Conflict, Refused
from gfil.ingest import formats, names, spacing, table
from gfil.ingest.batches import Batches
from gfil.ingest.groups import Groups, Told
from gfil.ingest.head import Format
from gfil.ingest.pieces import Pieces
from gfil.ingest.report import Report, show_time
from gfil.store import symbols
from gfil.store.candles import Rows, Written
from gfil.timeframes import Timeframe


class Options(NamedTuple):
    """What the user says about the input; None where it must be found out.

    A clock that neither the user nor the head of the input names is UTC.
    `abort`: one bad row refuses all. `fill`: stored candles stay. `whole`: all rows in one
    transaction, as `abort` has them too. `force_timeframe`: even if the rows contradict it.
    """

    symbol: str | None = None
    timeframe: Timeframe | None = None
    clock: Clock | None = None
    format: str | None = None
    columns: Sequence[str] | None = None
    abort: bool = False
    fill: bool = False
    whole: bool = False
    dry_run: bool = False
    force_timeframe: bool = False


class Sink(Protocol):
    """Where candles go."""

    def add(self, symbol: str, timeframe: Timeframe, rows: Rows) -> None:
        """Take rows of one symbol and timeframe."""

    def finish(self) -> None:
        """Take note that there are no more."""


def load(
    db: apsw.Connection | None,
    chunks: Iterable[bytes],
    options: Options,
    *,
    now: float,
    name: str = "-",
) -> Report:
    """Read candles of any format from chunks of bytes and store them; return what became of them.

    `name` is the file's, which may tell symbol and timeframe. A dry run stores nothing and tells
    what was recognised; only a dry run needs no database, then every good row counts as inserted.

    Raises:
        UnknownFormat: the content is of none, or not of the one announced.
        BadParameter: symbol or timeframe are told nowhere, or the head names an unknown clock.
        SymbolCase: the symbol differs from a known one only in case.
        Refused: the rows contradict the timeframe; or some are bad and `abort` is set.
        Busy, DiskFull, DatabaseError: a batch could not be stored; those before it are.
    """
    return _run(db, db, chunks, options, now, name)


def check(
    db: apsw.Connection | None,
    chunks: Iterable[bytes],
    options: Options,
    *,
    now: float,
    name: str = "-",
) -> Report:
    """Go the same way as `load` without the store, and raise what it would.

    Raises:
        UnknownFormat, BadParameter, SymbolCase, Refused: as `load`.
    """
    return _run(db, None, chunks, options, now, name)


def _run(
    db: apsw.Connection | None,
    target: apsw.Connection | None,
    chunks: Iterable[bytes],
    options: Options,
    now: float,
    name: str,
) -> Report:
    pieces = Pieces(chunks)
    found = formats.recognise(pieces.head(), options.format, options.columns)
    if found.read is None:
        raise formats.UnknownFormat(found.refusal)
    clock = options.clock or (clocks.parse(found.clock) if found.clock else UTC)
    report = Report(name, clock.name, found.name)
    sink: Sink = _Nowhere(report) if target is None else _batches(target, clock, options, report)

    def find_known(name: str) -> str | None:
        symbol = symbols.find(db, name) if db else None
        return symbol.name if symbol else None

    told = _told(found, options, report.file)
    known = find_known(symbols.check_name(told.symbol)) if told.symbol else None
    if told.symbol and known not in (None, told.symbol):
        raise symbols.SymbolCase(told.symbol, known or "")
    groups = Groups(told, clock, now, report.refuse, find_known)
    with _telling_what_is_stored(report, options):
        sample = _pump(pieces, found, groups, sink, report)
        if options.abort and report.rejected and not options.dry_run:
            report.reject_all()
            raise Refused(_say_aborted(report), report.as_json())
        sink.finish()
    if options.dry_run:
        report.recognised = _tell(pieces, found, clock, report, sample)
    return report


@contextmanager
def _telling_what_is_stored(report: Report, options: Options) -> Iterator[None]:
    try:
        yield
    except (BadParameter, Conflict, Refused) as error:
        if not report.change or options.dry_run:
            raise
        error.detail += f"; {report.rows - report.rejected} rows before are stored"
        error.args = (error.detail,)
        if isinstance(error, BadParameter):  # not of the call: the rows before were good
            raise Refused(error.detail) from error
        raise


def _pump(pieces: Pieces, found: Format, groups: Groups, sink: Sink, report: Report) -> list[int]:
    assert found.read is not None
    sample: list[int] = []
    for rows in found.read(pieces, report.refuse):
        sample += rows.time[: spacing.SAMPLE_ROWS - len(sample)]
        for group, placed in groups.place(table.check(rows, report.refuse)):
            report.see(group.symbol, group.timeframe.name, placed)
            sink.add(group.symbol, group.timeframe, placed)
    for group, placed in groups.finish():
        report.see(group.symbol, group.timeframe.name, placed)
        sink.add(group.symbol, group.timeframe, placed)
    for warning in pieces.warnings:
        report.warn(warning)
    return sample


class _Nowhere:
    def __init__(self, report: Report) -> None:
        self._report = report

    def add(self, symbol: str, timeframe: Timeframe, rows: Rows) -> None:
        distinct = len(set(rows.time))
        duplicates = len(rows.time) - distinct
        self._report.count(len(rows.time), Written(distinct, 0, 0, 0, duplicates, 0, []))

    def finish(self) -> None:
        pass


def _batches(db: apsw.Connection, clock: Clock, options: Options, report: Report) -> Sink:
    whole = options.whole or options.abort
    return Batches(db, clock, report, fill=options.fill, whole=whole, trial=options.dry_run)


def _told(found: Format, options: Options, file: str) -> Told:
    in_file = timeframes.parse(found.timeframe) if found.timeframe else None
    named = names.read(file, options.timeframe or in_file)
    symbol = options.symbol or found.symbol or named.symbol
    for timeframe, teller in (
        (options.timeframe, "--tf"),
        (in_file, "the file"),
        (named.timeframe, "the file's name"),
    ):
        if timeframe is not None:
            return Told(symbol, timeframe, teller, options.force_timeframe)
    return Told(symbol, None, "", options.force_timeframe)


def _say_aborted(report: Report) -> str:
    first = min(report.errors, key=lambda error: error["row"])
    count = report.reasons.total()
    bad = "1 row is" if count == 1 else f"{count} rows are"
    return (
        f"{bad} bad, the first is row {first['row']} ({first['reason']}): "
        f"nothing of the {report.rows} was stored"
    )


def _tell(
    pieces: Pieces, found: Format, clock: Clock, report: Report, sample: list[int]
) -> dict[str, Any]:
    def show(time: int | None) -> dict[str, str] | None:
        if time is None:
            return None
        return {"utc": show_time(time, UTC), "clock": show_time(time, clock)}

    distance = spacing.commonest(sample)
    return {
        "dry_run": True,
        "encoding": pieces.encoding,
        "gzip": pieces.gzipped,
        "columns": list(found.columns),
        "spacing": distance and spacing.say(distance),
        "first": show(report.first),
        "last": show(report.last),
    }
