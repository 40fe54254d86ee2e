"""The way of an import: recognise, read, check, place, store, and report."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import apsw

from gfil import timeframes
from gfil.clocks import UTC, Clock
from gfil.errors import BadParameter, Refused
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

    `abort`: one bad row refuses all. `fill`: stored candles stay. `whole`: all rows in one
    transaction, as `abort` has them too. `force_timeframe`: even if the rows contradict it.
    """

    symbol: str | None = None
    timeframe: Timeframe | None = None
    clock: Clock = UTC
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
        BadParameter: symbol or timeframe are told nowhere.
        SymbolCase: the symbol differs from a known one only in case.
        Refused: the rows contradict the timeframe; or some are bad and `abort` is set.
        Busy, DiskFull, DatabaseError: a batch could not be stored; those before it are.
    """
    report = Report(name, options.clock.name)
    sink: Sink = _Nowhere(report) if db is None else _batches(db, options, report)
    return _run(db, sink, chunks, options, now, report)


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
    report = Report(name, options.clock.name)
    return _run(db, _Nowhere(report), chunks, options, now, report)


def _run(
    db: apsw.Connection | None,
    sink: Sink,
    chunks: Iterable[bytes],
    options: Options,
    now: float,
    report: Report,
) -> Report:
    pieces = Pieces(chunks)
    found = formats.recognise(pieces.head(), options.format, options.columns)
    if found.read is None:
        raise formats.UnknownFormat(found.refusal)
    report.format = found.name

    def find_known(name: str) -> str | None:
        symbol = symbols.find(db, name) if db else None
        return symbol.name if symbol else None

    told = _told(found, options, report.file)
    known = find_known(symbols.check_name(told.symbol)) if told.symbol else None
    if told.symbol and known not in (None, told.symbol):
        raise symbols.SymbolCase(told.symbol, known or "")
    groups = Groups(told, options.clock, now, report.refuse, find_known)
    try:
        sample = _pump(pieces, found, groups, sink, report)
    except (BadParameter, Refused) as error:
        if report.change:
            stored = report.rows - report.rejected
            raise Refused(f"{error.detail}; {stored} rows before are stored") from error
        raise
    if options.abort and report.rejected and not options.dry_run:
        report.reject_all()
        raise Refused(_say_aborted(report), report.as_json())
    sink.finish()
    if options.dry_run:
        report.recognised = _tell(pieces, found, options.clock, report, sample)
    return report


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


def _batches(db: apsw.Connection, options: Options, report: Report) -> Batches:
    whole = options.whole or options.abort
    return Batches(db, options.clock, report, fill=options.fill, whole=whole, trial=options.dry_run)


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
