"""Export of candles and ticks to files and streams that import back to the same rows."""

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
from gfil.store import symbols
from gfil.store.candles import read, ticks
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import DAY, Timeframe

PAGE_ROWS = 10_000
FORMATS = ("csv", "ndjson", "json", "parquet")
CSV_HEADER = b"time,open,high,low,close,volume\n"

TICK_FIELDS = ("time_msc", "bid", "ask", "last", "volume", "flags")
TICK_CSV_HEADER = ",".join(TICK_FIELDS).encode() + b"\n"
TICKS = "ticks"  # in place of a timeframe

Candle = tuple[int, float, float, float, float, float]


class Series(NamedTuple):
    """Candles to export: symbol, timeframe, clock, and the range `[start, stop)` of their starts.

    Without a timeframe: the ticks of the symbol; the clock is ignored.
    """

    symbol: Symbol
    timeframe: Timeframe | None
    clock: Clock
    start: int = TIME_MIN
    stop: int = TIME_MAX

    @property
    def name(self) -> str:
        """The name of the file, without the suffix."""
        return f"{self.symbol.name}_{self.tf}"

    @property
    def tf(self) -> str:
        """The name of the timeframe, or `ticks`."""
        return self.timeframe.name if self.timeframe else TICKS


class Written(NamedTuple):
    """An exported file and its number of candles or ticks."""

    file: Path
    series: Series
    rows: int


def stream(
    db: apsw.Connection,
    series: Series,
    format_name: str,
    count: Callable[[int], object] = lambda _: None,
) -> Iterator[bytes]:
    """Yield a series in pieces of a text format; `count` receives the number of rows in each.

    Times are UTC with a `Z`, so the clock of an import decides only about buckets: import CSV and
    NDJSON with the same clock; JSON names the clock in its head. The first page is read before the
    first piece is yielded.

    Raises:
        SymbolUnknown: the symbol was deleted after it was read.
        Conflict: the database was changed in a way that makes the export incomplete.
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
    """Return candles as one CSV text."""
    return CSV_HEADER.decode() + "".join(map(_csv_line, rows))


def write_files(
    db: apsw.Connection, many: Sequence[Series], format_name: str, target: Path
) -> Iterator[Written]:
    """Write each series to its own file in a folder, or a single series to a file.

    A file gets its name when it is complete.

    Raises:
        BadParameter: the format is Parquet and `pyarrow` is not installed.
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


def _pages(db: apsw.Connection, series: Series) -> Iterator[list[Any]]:
    position: Any = series.start if series.timeframe else (series.start * 1000, 0)
    epoch: str | None = None
    while position is not None and series.start < series.stop:
        with connection.snapshot(db):
            now, _ = connection.read_state(db)
            if epoch not in (None, now):
                raise Conflict(f"the database was replaced during the export of {series.name}")
            symbol = symbols.reload(db, series.symbol)  # the stored candles depend on its clock
            rows, position = _read(db, series._replace(symbol=symbol), position)
        epoch = now
        yield rows


def _read(db: apsw.Connection, series: Series, position: Any) -> tuple[list[Any], Any]:
    symbol, timeframe, clock, _, stop = series
    if timeframe is None:
        return ticks.read_ticks(db, symbol, position, (stop * 1000, 0), limit=PAGE_ROWS)
    return read.read_candles(db, symbol, timeframe, clock, position, stop, PAGE_ROWS)


def _text_format(
    series: Series, format_name: str
) -> tuple[bytes, Callable[[Any], str], str, bytes]:
    is_tick = series.timeframe is None
    names = {"symbol": series.symbol.name} | ({} if is_tick else {"tf": series.tf})
    if format_name == "csv":
        return (
            (TICK_CSV_HEADER, _tick_line, "", b"") if is_tick else (CSV_HEADER, _csv_line, "", b"")
        )
    if format_name == "ndjson":
        opening = orjson.dumps(names).decode()[:-1]
        fields = _tick_fields if is_tick else _json_fields
        return b"", lambda row: opening + fields(row), "", b""
    if format_name == "json":
        head = names if is_tick else {**names, "clock": series.clock.name}
        key, line = (b"ticks", _tick_array) if is_tick else (b"candles", _json_array)
        return orjson.dumps(head)[:-1] + b',"%s":[\n' % key, line, ",\n", b"\n]}\n"
    raise BadParameter(f"unknown format {format_name[:32]!r}: use one of {' '.join(FORMATS)}")


def _tick_line(tick: ticks.Tick) -> str:
    time_msc, bid, ask, last, volume, flags = tick
    return f"{time_msc},{bid!r},{ask!r},{_whole(last)!r},{_whole(volume)!r},{flags}\n"


def _tick_fields(tick: ticks.Tick) -> str:
    time_msc, bid, ask, last, volume, flags = tick
    return (
        f',"time_msc":{time_msc},"bid":{bid!r},"ask":{ask!r},"last":{_whole(last)!r},'
        f'"volume":{_whole(volume)!r},"flags":{flags}}}\n'
    )


def _tick_array(tick: ticks.Tick) -> str:
    return f"[{_tick_line(tick)[:-1]}]"


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
    numbers = pyarrow.float64()
    types: dict[str, Any]
    about = {"symbol": series.symbol.name, "tf": series.tf, "clock": series.clock.name}
    if series.timeframe is None:
        whole = {"time_msc": pyarrow.int64(), "flags": pyarrow.uint32()}
        types = {name: whole.get(name, numbers) for name in TICK_FIELDS}
    else:
        types = {"time": pyarrow.timestamp("s", "UTC")}
        types |= dict.fromkeys(("open", "high", "low", "close", "volume"), numbers)
    schema = pyarrow.schema(types.items(), metadata=about)
    number = 0
    with parquet.ParquetWriter(file, schema) as writer:
        for page in _pages(db, series):
            columns = list(zip(*page, strict=True)) or [()] * len(types)
            writer.write_table(pyarrow.table(dict(zip(types, columns, strict=True)), schema=schema))
            number += len(page)
    return number
