"""The general way of an import: recognise the format, read, check, bucket, store, report."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import apsw

from gfil import clocks, timeframes
from gfil.clocks import UTC, Clock
from gfil.errors import BadParameter, BadRequest, GfilError, Option, Refused
from gfil.ingest import formats
from gfil.ingest.detect import file_name, timeframe_check
from gfil.ingest.detect.sniff import Format
from gfil.ingest.load.atomic import AtomicWrite
from gfil.ingest.load.batched import BatchWriter
from gfil.ingest.load.bucketing import RowColumns
from gfil.ingest.load.series import SeriesBatch, SeriesHint, SeriesReader
from gfil.ingest.load.writing import WriteOptions
from gfil.ingest.options import Options
from gfil.ingest.parse.columns import TICKS
from gfil.ingest.parse.rows import NumberedTicks
from gfil.ingest.report import Report, format_time
from gfil.ingest.source.byte_stream import ByteStream
from gfil.timeframes import Timeframe
from gfil.wording import format_count


class Sink(Protocol):
    """The receiver of good rows."""

    def add(self, symbol: str, timeframe: Timeframe | None, rows: RowColumns) -> None:
        """Add rows of one symbol and timeframe, or ticks of one symbol."""

    def finish(self) -> None:
        """End the input."""


class Reading(NamedTuple):
    """Rows of an input, read while `batches` is iterated: good rows, in buckets, by series.

    `report` covers the refused rows of the batches so far. `describe` returns what was recognised,
    after the last batch.
    """

    report: Report
    batches: Iterator[list[SeriesBatch]]
    describe: Callable[[], dict[str, Any]]


class _Input(NamedTuple):
    stream: ByteStream
    format: Format
    clock: Clock
    is_clock_given: bool
    series: SeriesReader
    report: Report


def load(
    db: apsw.Connection | None,
    chunks: Iterable[bytes],
    options: Options,
    *,
    now: float,
    name: str = "-",
) -> Report:
    """Read rows of any format from chunks of bytes, store them in batches, return the report.

    `name` is the file name, which may contain symbol and timeframe. With `abort` the chunks are
    iterated twice, first for the check; chunks of an iterator are stored in memory. A dry run
    stores nothing and reports what is recognised; without a database every good row counts as
    inserted.

    Raises:
        UnknownFormat: the content has no known format, or another than the announced one.
        BadParameter: symbol or timeframe are not given, or the head names an unknown clock.
        SymbolCase: the symbol differs from a known one only in case.
        Refused: the rows contradict the timeframe; or a row is refused and `abort` is set.
        Busy, DiskFull, DatabaseError: a batch could not be stored; earlier batches are stored.
    """
    if options.abort and not options.dry_run:
        chunks = list(chunks) if isinstance(chunks, Iterator) else chunks
        _check(db, chunks, options, now, name)
    source = _open(db, chunks, options, now, name)
    report = source.report
    sink: Sink = _CountingSink(report)
    if db is not None:
        sink = BatchWriter(db, report, _write_options(source, options, now), trial=options.dry_run)
    with _reporting_stored_rows(report, options):
        sample = _copy_rows(source, sink)
        sink.finish()
    if options.dry_run:
        report.recognised = _describe(source, sample)
    return report


def _check(
    db: apsw.Connection | None, chunks: Iterable[bytes], options: Options, now: float, name: str
) -> None:
    source = _open(db, chunks, options, now, name)
    sink: Sink = _CountingSink(source.report)
    if db is not None and source.format.kind == TICKS:  # only the store knows settled minutes
        sink = BatchWriter(db, source.report, _write_options(source, options, now), trial=True)
    _copy_rows(source, sink)
    sink.finish()
    source.report.refuse_bad_rows()


def prepare(
    db: apsw.Connection,
    chunks: Iterable[bytes],
    options: Options,
    *,
    now: float,
    name: str = "-",
) -> AtomicWrite:
    """Read and check a small request as a whole; `AtomicWrite.store` stores it.

    Raises:
        BadRequest: the body is truncated.
        UnknownFormat, BadParameter, SymbolCase, Refused: as `load`.
    """
    source = _open(db, chunks, options, now, name)
    atomic = AtomicWrite(
        source.report,
        _write_options(source, options, now),
        abort=options.abort,
        dry_run=options.dry_run,
    )
    sample = _copy_rows(source, atomic)
    if source.report.reasons["truncated"]:
        raise BadRequest("the body is truncated: nothing was stored")
    atomic.check()
    if options.dry_run:
        source.report.recognised = _describe(source, sample)
    return atomic


def read(
    db: apsw.Connection | None,
    chunks: Iterable[bytes],
    options: Options,
    *,
    now: float,
    name: str = "-",
    source_format: Format | None = None,
) -> Reading:
    """Read rows without storing them. A given `source_format` is used without recognition.

    Raises:
        UnknownFormat, BadParameter, SymbolCase, Refused: as `load`; also from the iterator.
    """
    source = _open(db, chunks, options, now, name, source_format)
    sample: list[int] = []
    return Reading(source.report, _read(source, sample), lambda: _describe(source, sample))


def read_ticks(
    chunks: Iterable[bytes], options: Options, *, name: str = "-"
) -> tuple[Report, Iterator[list[tuple[str, NumberedTicks]]]]:
    """Read ticks without storing them; return a report on refused rows, and batches by symbol.

    Ticks in the future are not refused.

    Raises:
        UnknownFormat, BadParameter: as `load`; also from the iterator.
    """
    source = _open(None, chunks, options._replace(kind="ticks"), math.inf, name)
    return source.report, (
        [(symbol, rows) for symbol, _, rows in batch if isinstance(rows, NumberedTicks)]
        for batch in _read(source, [])
    )


def _open(
    db: apsw.Connection | None,
    chunks: Iterable[bytes],
    options: Options,
    now: float,
    name: str,
    source_format: Format | None = None,
) -> _Input:
    stream = ByteStream(chunks)
    if source_format is None:
        source_format = formats.recognise(
            stream.head(), options.format, options.columns, options.kind
        )
    kind = source_format.kind.name
    if options.kind not in (None, kind):
        raise formats.UnknownFormat(
            f"these are {kind}, not {options.kind}: over HTTP /api/v1/{kind} takes them"
        )
    clock = options.clock or (clocks.parse(source_format.clock) if source_format.clock else UTC)
    report = Report(name, clock.name, source_format.name, is_on_ticks=source_format.kind == TICKS)
    hint = _find_hint(source_format, options, name)
    series = SeriesReader(db, hint, clock, report, source_format.kind, now=now)
    return _Input(stream, source_format, clock, options.clock is not None, series, report)


def _write_options(source: _Input, options: Options, now: float) -> WriteOptions:
    return WriteOptions(source.clock, options.fill, now)


@contextmanager
def _reporting_stored_rows(report: Report, options: Options) -> Iterator[None]:
    try:
        yield
    except GfilError as error:
        if not report.has_changed or options.dry_run:
            raise
        error.append(f"; {format_count(report.rows - report.rejected, 'row')} before are stored")
        if isinstance(error, BadParameter):  # the parameters were good for the rows before
            raise Refused(error.parts) from error
        raise


def _copy_rows(source: _Input, sink: Sink) -> list[int]:
    # Returns the times of the first rows, which show the spacing.
    sample: list[int] = []
    for batch in _read(source, sample):
        for symbol, timeframe, rows in batch:
            sink.add(symbol, timeframe, rows)
    return sample


def _read(source: _Input, sample: list[int]) -> Iterator[list[SeriesBatch]]:
    stream = source.stream
    for table in source.format.read(stream, source.report.refuse):
        sample += table.time[: timeframe_check.SAMPLE_ROWS - len(sample)]
        yield source.series.take(table)
    yield source.series.finish()
    if stream.names_clock_late and source.format.clock is None and not source.is_clock_given:
        raise BadRequest(
            ("the clock follows the rows: put it before them, or pass it as ", Option("clock"))
        )
    for warning in stream.warnings:
        source.report.warn(warning)


class _CountingSink:
    def __init__(self, report: Report) -> None:
        self._report = report

    def add(self, symbol: str, timeframe: Timeframe | None, rows: RowColumns) -> None:
        keys: Iterable[Any] = rows[0] if timeframe else zip(*rows[1:], strict=True)
        distinct = len(set(keys))
        self._report.rows += distinct
        self._report.inserted += distinct
        self._report.count_duplicates(len(rows[0]) - distinct)

    def finish(self) -> None:
        pass


def _find_hint(source_format: Format, options: Options, name: str) -> SeriesHint:
    symbol = options.symbol or source_format.symbol
    if source_format.kind == TICKS:
        if options.timeframe is not None:
            raise BadParameter(
                ("these are ticks, which have no timeframe: leave out ", Option("tf"))
            )
        return SeriesHint(symbol or file_name.read_tick_hint(name))
    in_head = timeframes.parse(source_format.timeframe) if source_format.timeframe else None
    in_name = file_name.read_hint(name, options.timeframe or in_head)
    hint = SeriesHint(symbol or in_name.symbol, force_timeframe=options.force_timeframe)
    for timeframe, timeframe_source in (
        (options.timeframe, Option("tf")),
        (in_head, "the file"),
        (in_name.timeframe, "the file name"),
    ):
        if timeframe is not None:
            return hint._replace(timeframe=timeframe, timeframe_source=timeframe_source)
    return hint


def _describe(source: _Input, sample: list[int]) -> dict[str, Any]:
    step = timeframe_check.find_step(sample)
    return {
        "dry_run": True,
        "encoding": source.stream.encoding,
        "gzip": source.stream.gzipped,
        "columns": list(source.format.columns),
        "spacing": step and timeframe_check.format_step(step),
        "first": _describe_instant(source.report.first, source.clock),
        "last": _describe_instant(source.report.last, source.clock),
    }


def _describe_instant(time: int | None, clock: Clock) -> dict[str, str] | None:
    if time is None:
        return None
    return {"utc": format_time(time, UTC), "clock": format_time(time, clock)}
