"""Candles to files and streams that import back to the same candles."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import orjson

from gfil.clocks import TIME_MAX, TIME_MIN, Clock, format_instant
from gfil.errors import BadParameter, Conflict
from gfil.store import candles, symbols
from gfil.store import db as store
from gfil.store.symbols import Symbol
from gfil.timeframes import DAY, Timeframe

PAGE_ROWS = 10_000
FORMATS = ("csv", "ndjson", "json", "parquet")
CSV_HEADER = b"time,open,high,low,close,volume\n"

Candle = tuple[int, float, float, float, float, float]


class Series(NamedTuple):
    """Candles to export: of a symbol, timeframe and clock, that start in `[start, stop)`."""

    symbol: Symbol
    timeframe: Timeframe
    clock: Clock
    start: int = TIME_MIN
    stop: int = TIME_MAX

    @property
    def name(self) -> str:
        """The name of its file, without the ending."""
        return f"{self.symbol.name}_{self.timeframe.name}"


class Written(NamedTuple):
    """A file that was written, and how many candles it holds."""

    file: Path
    series: Series
    candles: int


def stream(
    db: apsw.Connection,
    series: Series,
    format_name: str,
    count: Callable[[int], object] = lambda _: None,
) -> Iterator[bytes]:
    """Yield a series in pieces of a text format; `count` is told of the candles in each.

    Times are UTC with a `Z`, so that the clock an importer names decides about buckets alone: CSV
    and NDJSON are to be imported with the same clock, JSON names it in its head. The first page
    is read before the first piece is given.

    Raises:
        SymbolUnknown: the symbol has been deleted since it was read.
        Conflict: so it was on the way, or another one; what was given is not complete.
    """
    head, line, between, tail = _text_format(series, format_name)
    pages = _pages(db, series)
    first_page = next(pages, [])
    yield head
    first = True
    for page in chain((first_page,), pages):
        count(len(page))
        text = between.join(map(line, page))
        yield (text if first or not page else between + text).encode()
        first = first and not page
    yield tail


def to_csv(rows: Sequence[Candle]) -> str:
    """Return candles as a whole CSV text."""
    return CSV_HEADER.decode() + "".join(map(_csv_line, rows))


def write_files(
    db: apsw.Connection, many: Sequence[Series], format_name: str, target: Path
) -> Iterator[Written]:
    """Write each series to a file of its own in a folder, or the only one to a file.

    A file appears under its name when it is complete.

    Raises:
        BadParameter: Parquet is asked for and `pyarrow` is not installed.
    """
    into_folder = len(many) != 1 or target.is_dir()
    if into_folder:
        target.mkdir(parents=True, exist_ok=True)
    for series in many:
        file = target / f"{series.name}.{format_name}" if into_folder else target
        with _replaced(file) as unfinished:
            if format_name == "parquet":
                number = _write_parquet(db, series, unfinished)
            else:
                number = _write_text(db, series, format_name, unfinished)
        yield Written(file, series, number)


def _write_text(db: apsw.Connection, series: Series, format_name: str, file: Path) -> int:
    numbers: list[int] = []
    with file.open("wb") as output:
        for piece in stream(db, series, format_name, numbers.append):
            output.write(piece)
    return sum(numbers)


@contextmanager
def _replaced(file: Path) -> Iterator[Path]:
    unfinished = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        yield unfinished
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def _pages(db: apsw.Connection, series: Series) -> Iterator[list[Candle]]:
    start: int | None = series.start
    epoch: str | None = None
    while start is not None and start < series.stop:
        with store.snapshot(db):
            now, _ = store.read_state(db)
            if epoch not in (None, now):
                raise Conflict(f"the database changed under the export of {series.name}")
            symbol = symbols.read_again(db, series.symbol)  # what is kept depends on its clock
            page = candles.read(
                db, symbol, series.timeframe, series.clock, start, series.stop, PAGE_ROWS
            )
        epoch = now
        yield page.candles
        start = page.next


def _text_format(
    series: Series, format_name: str
) -> tuple[bytes, Callable[[Candle], str], str, bytes]:
    names = {"symbol": series.symbol.name, "tf": series.timeframe.name}
    if format_name == "csv":
        return CSV_HEADER, _csv_line, "", b""
    if format_name == "ndjson":
        opening = orjson.dumps(names).decode()[:-1]
        return b"", lambda candle: opening + _json_fields(candle), "", b""
    if format_name == "json":
        head = orjson.dumps({**names, "clock": series.clock.name})[:-1] + b',"candles":[\n'
        return head, _json_array, ",\n", b"\n]}\n"
    raise BadParameter(f"unknown format {format_name[:32]!r}: use one of {' '.join(FORMATS)}")


def _csv_line(candle: Candle) -> str:
    time, first, high, low, last, volume = candle
    return f"{_TEXTS[time]},{first!r},{high!r},{low!r},{last!r},{_whole(volume)!r}\n"


def _json_fields(candle: Candle) -> str:
    time, first, high, low, last, volume = candle
    return (
        f',"time":"{_TEXTS[time]}","open":{first!r},"high":{high!r},"low":{low!r},'
        f'"close":{last!r},"volume":{_whole(volume)!r}}}\n'
    )


def _json_array(candle: Candle) -> str:
    time, first, high, low, last, volume = candle
    return f'["{_TEXTS[time]}",{first!r},{high!r},{low!r},{last!r},{_whole(volume)!r}]'


def _whole(volume: float) -> float:
    return int(volume) if volume == int(volume) else volume


class _Texts:
    def __init__(self) -> None:
        self._days: dict[int, str] = {}

    def __getitem__(self, time: int) -> str:
        day, second = divmod(time, DAY)
        text = self._days.get(day)
        if text is None:
            if len(self._days) > 10_000:
                self._days.clear()
            text = self._days[day] = format_instant(day * DAY)[:11]
        return f"{text}{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


_TEXTS = _Texts()


def _write_parquet(db: apsw.Connection, series: Series, file: Path) -> int:
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise BadParameter("parquet needs pyarrow: `.venv/bin/pip install pyarrow`") from None
    types: dict[str, Any] = {"time": pyarrow.timestamp("s", "UTC")}
    types |= dict.fromkeys(("open", "high", "low", "close", "volume"), pyarrow.float64())
    about = {"symbol": series.symbol.name, "tf": series.timeframe.name, "clock": series.clock.name}
    schema = pyarrow.schema(types.items(), metadata=about)
    number = 0
    with parquet.ParquetWriter(file, schema) as writer:
        for page in _pages(db, series):
            columns = list(zip(*page, strict=True)) or [()] * len(types)
            writer.write_table(pyarrow.table(dict(zip(types, columns, strict=True)), schema=schema))
            number += len(page)
    return number
