"""The way of an import: recognise, read, check, place, store, and report."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, Protocol

import apsw

from gfil import clocks, timeframes
from gfil.clocks import UTC, Clock
from gfil.errors import BadParameter, BadRequest, GfilError, Option, Refused
from gfil.ingest import formats
from gfil.ingest.detect import file_name, timeframe_check
from gfil.ingest.detect.sniff import Format
from gfil.ingest.load.atomic import AtomicWrite
from gfil.ingest.load.batched import BatchWriter
from gfil.ingest.load.bucketing import NumberedTicks
from gfil.ingest.load.series import SeriesHint, SeriesRows, SeriesSplitter
from gfil.ingest.load.writing import Columns, WriteOptions
from gfil.ingest.parse import rows as row_tables
from gfil.ingest.parse.columns import TICKS
from gfil.ingest.report import Report, show_time
from gfil.ingest.source.byte_stream import ByteStream
from gfil.store import symbols
from gfil.store.engine import connection
from gfil.timeframes import Timeframe

Kind = Literal["candles", "ticks"]  # the name of a `layout.Kind`


class Options(NamedTuple):
    """What the user says about the input; None where it must be found out.

    A clock that neither the user nor the head of the input names is UTC. `kind`: rows of the other
    are refused. `abort`: one bad row refuses all. `fill`: stored candles stay. `force_timeframe`:
    even if the rows contradict it.
    """

    symbol: str | None = None
    timeframe: Timeframe | None = None
    clock: Clock | None = None
    format: str | None = None
    columns: Sequence[str] | None = None
    kind: Kind | None = None
    abort: bool = False
    fill: bool = False
    dry_run: bool = False
    force_timeframe: bool = False


class Sink(Protocol):
    """Where rows go."""

    def add(self, symbol: str, timeframe: Timeframe | None, rows: Columns) -> None:
        """Take rows of one symbol and timeframe, or ticks of one symbol."""

    def finish(self) -> None:
        """Take note that there are no more."""


class Reading(NamedTuple):
    """Rows as they are read: those of `pieces` are good, in their buckets, by symbol and timeframe.

    `report` is on the bad ones, as far as the pieces have been taken; `tell` returns what was
    recognised once they have.
    """

    report: Report
    pieces: Iterator[list[tuple[str, Timeframe | None, Columns]]]
    tell: Callable[[], dict[str, Any]]


class _Source(NamedTuple):
    pieces: ByteStream
    found: Format
    clock: Clock
    is_clock_told: bool
    groups: SeriesSplitter
    report: Report


def load(
    db: apsw.Connection | None,
    chunks: Iterable[bytes],
    options: Options,
    *,
    now: float,
    name: str = "-",
) -> Report:
    """Read rows of any format from chunks of bytes and store them; return what became of them.

    `name` is the file's, which may tell symbol and timeframe. Rows are stored in batches, with
    `abort` all at once. A dry run stores nothing and tells what was recognised; only a dry run
    needs no database, then every good row counts as inserted.

    Raises:
        UnknownFormat: the content is of none, or not of the one announced.
        BadParameter: symbol or timeframe are told nowhere, or the head names an unknown clock.
        SymbolCase: the symbol differs from a known one only in case.
        Refused: the rows contradict the timeframe; or some are bad and `abort` is set.
        Busy, DiskFull, DatabaseError: a batch could not be stored; those before it are.
    """
    if db is not None and options.abort and not options.dry_run:
        prepared = prepare(db, chunks, options, now=now, name=name)
        with connection.transaction(db):
            return prepared.store(db)
    source = _open(db, chunks, options, now, name)
    report = source.report
    sink: Sink = _Nowhere(report)
    if db is not None:
        sink = BatchWriter(db, report, _manner(source, options, now), trial=options.dry_run)
    with _telling_what_is_stored(report, options):
        sample = _pump(source, sink)
        sink.finish()
    if options.dry_run:
        report.recognised = _tell(source, sample)
    return report


def dry_run(
    db: apsw.Connection | None,
    chunks: Iterable[bytes],
    options: Options,
    *,
    now: float,
    name: str = "-",
) -> Report:
    """Go the same way as `load` without storing anything, and raise what it would with `abort`.

    Raises:
        UnknownFormat, BadParameter, SymbolCase, Refused: as `load`.
    """
    source = _open(db, chunks, options, now, name)
    sink: Sink = _Nowhere(source.report)
    if db is not None and source.found.kind == TICKS:  # only the store knows what is settled
        sink = BatchWriter(db, source.report, _manner(source, options, now), trial=True)
    _pump(source, sink)
    sink.finish()
    if source.report.rejected:
        raise source.report.refuse_all()
    return source.report


def prepare(
    db: apsw.Connection,
    chunks: Iterable[bytes],
    options: Options,
    *,
    now: float,
    name: str = "-",
) -> AtomicWrite:
    """Read and check a small request as a whole, and write nothing: `Prepared.store` does.

    Raises:
        BadRequest: it breaks off in the middle.
        UnknownFormat, BadParameter, SymbolCase, Refused: as `load`.
    """
    source = _open(db, chunks, options, now, name)
    report = source.report
    manner = _manner(source, options, now)
    prepared = AtomicWrite(report, manner, abort=options.abort, dry_run=options.dry_run)
    sample = _pump(source, prepared)
    if report.reasons["truncated"]:
        raise BadRequest("it breaks off in the middle: nothing was stored")
    if options.abort and report.rejected and not options.dry_run:
        raise report.refuse_all()
    if options.dry_run:
        report.recognised = _tell(source, sample)
    return prepared


def read(
    db: apsw.Connection | None,
    chunks: Iterable[bytes],
    options: Options,
    *,
    now: float,
    name: str = "-",
    found: Format | None = None,
) -> Reading:
    """Read rows without storing any. `found` spares the recognition: its reader gets the chunks.

    Raises:
        UnknownFormat, BadParameter, SymbolCase, Refused: as `load`; also while pieces are taken.
    """
    source = _open(db, chunks, options, now, name, found)
    sample: list[int] = []
    return Reading(source.report, _read(source, sample), lambda: _tell(source, sample))


def read_ticks(
    chunks: Iterable[bytes], options: Options, *, name: str = "-"
) -> tuple[Report, Iterator[list[tuple[str, NumberedTicks]]]]:
    """Read ticks without storing any: return a report on the bad rows and the good ones in pieces.

    A piece holds the ticks of each symbol in it. None is too far in the future.

    Raises:
        UnknownFormat, BadParameter: as `load`; also while the pieces are read.
    """
    source = _open(None, chunks, options._replace(kind="ticks"), math.inf, name)
    pieces = _read(source, [])
    return source.report, (
        [(name, rows) for name, _, rows in piece if isinstance(rows, NumberedTicks)]
        for piece in pieces
    )


def _open(
    db: apsw.Connection | None,
    chunks: Iterable[bytes],
    options: Options,
    now: float,
    name: str,
    found: Format | None = None,
) -> _Source:
    pieces = ByteStream(chunks)
    if found is None:
        found = formats.recognise(pieces.head(), options.format, options.columns, options.kind)
    kind = found.kind.name
    if options.kind not in (None, kind):
        raise formats.UnknownFormat(
            f"these are {kind}, not {options.kind}: over HTTP /api/v1/{kind} takes them"
        )
    clock = options.clock or (clocks.parse(found.clock) if found.clock else UTC)
    report = Report(name, clock.name, found.name, is_on_ticks=found.kind == TICKS)

    def find_known(name: str) -> str | None:
        symbol = symbols.find(db, name) if db else None
        return symbol.name if symbol else None

    told = _told(found, options, name)
    known = find_known(symbols.check_name(told.symbol)) if told.symbol else None
    if told.symbol and known not in (None, told.symbol):
        raise symbols.SymbolCase(told.symbol, known or "")
    groups = SeriesSplitter(told, clock, now, report.refuse, find_known, found.kind)
    return _Source(pieces, found, clock, options.clock is not None, groups, report)


def _manner(source: _Source, options: Options, now: float) -> WriteOptions:
    return WriteOptions(source.clock, options.fill, now)


@contextmanager
def _telling_what_is_stored(report: Report, options: Options) -> Iterator[None]:
    try:
        yield
    except GfilError as error:
        if not report.has_changed or options.dry_run:
            raise
        error.append(f"; {report.rows - report.rejected:,} rows before are stored")
        if isinstance(error, BadParameter):  # not of the call: the rows before were good
            raise Refused(error.parts) from error
        raise


def _pump(source: _Source, sink: Sink) -> list[int]:
    # Returns the times of the first rows, to tell how far they are apart.
    sample: list[int] = []
    for piece in _read(source, sample):
        for name, timeframe, rows in piece:
            sink.add(name, timeframe, rows)
    return sample


def _read(
    source: _Source, sample: list[int]
) -> Iterator[list[tuple[str, Timeframe | None, Columns]]]:
    pieces, found, groups, report = source.pieces, source.found, source.groups, source.report
    check_law = row_tables.check_ticks if found.kind == TICKS else row_tables.check

    def see(
        some: Iterable[tuple[SeriesRows, Columns]],
    ) -> list[tuple[str, Timeframe | None, Columns]]:
        placed = [(group.symbol, group.timeframe, rows) for group, rows in some]
        for each in placed:
            report.see(*each)
        return placed

    for rows in found.read(pieces, report.refuse):
        sample += rows.time[: timeframe_check.SAMPLE_ROWS - len(sample)]
        yield see(groups.place(check_law(rows, report.refuse)))
    yield see(groups.finish())
    if pieces.names_clock_late and source.found.clock is None and not source.is_clock_told:
        raise BadRequest("it names its clock behind the rows: put it before them, or say it apart")
    for warning in pieces.warnings:
        report.warn(warning)


class _Nowhere:
    def __init__(self, report: Report) -> None:
        self._report = report

    def add(self, symbol: str, timeframe: Timeframe | None, rows: Columns) -> None:
        keys: Iterable[Any] = rows[0] if timeframe else zip(*rows[1:], strict=True)
        distinct = len(set(keys))
        self._report.rows += distinct
        self._report.inserted += distinct
        self._report.count_duplicates(len(rows[0]) - distinct)

    def finish(self) -> None:
        pass


def _told(found: Format, options: Options, file: str) -> SeriesHint:
    if found.kind == TICKS:
        if options.timeframe is not None:
            raise BadParameter(
                ("these are ticks, which have no timeframe: leave out ", Option("tf"))
            )
        return SeriesHint(
            options.symbol or found.symbol or file_name.read_tick_hint(file), None, ""
        )
    in_file = timeframes.parse(found.timeframe) if found.timeframe else None
    named = file_name.read_hint(file, options.timeframe or in_file)
    symbol = options.symbol or found.symbol or named.symbol
    for timeframe, teller in (
        (options.timeframe, Option("tf")),
        (in_file, "the file"),
        (named.timeframe, "the file's name"),
    ):
        if timeframe is not None:
            return SeriesHint(symbol, timeframe, teller, options.force_timeframe)
    return SeriesHint(symbol, None, "", options.force_timeframe)


def _tell(source: _Source, sample: list[int]) -> dict[str, Any]:
    pieces, found, clock, report = source.pieces, source.found, source.clock, source.report

    def show(time: int | None) -> dict[str, str] | None:
        if time is None:
            return None
        return {"utc": show_time(time, UTC), "clock": show_time(time, clock)}

    distance = timeframe_check.commonest(sample)
    return {
        "dry_run": True,
        "encoding": pieces.encoding,
        "gzip": pieces.gzipped,
        "columns": list(found.columns),
        "spacing": distance and timeframe_check.say(distance),
        "first": show(report.first),
        "last": show(report.last),
    }
