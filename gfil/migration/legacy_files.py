"""Files of the old system: find them, read each from end to end, and store its rows."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import compress, repeat
from operator import floordiv, not_
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from gfil import clocks
from gfil.clocks import Clock
from gfil.errors import BadParameter, Refused
from gfil.ingest import importer
from gfil.ingest.detect import file_name
from gfil.ingest.detect.sniff import Format
from gfil.ingest.importer import Reading
from gfil.ingest.load.batched import BatchSizer, BatchWriter
from gfil.ingest.load.writing import WriteOptions
from gfil.ingest.options import Options
from gfil.ingest.parse.columns import place_columns
from gfil.ingest.parse.json_rows import read_values
from gfil.ingest.parse.rows import RowTable
from gfil.ingest.refusals import Refuse
from gfil.ingest.report import Report
from gfil.ingest.source.byte_stream import PIECE_BYTES, ByteStream
from gfil.store import legacy_kline_db, symbols
from gfil.store.candles import duplicates, lookup
from gfil.store.candles.write import CandleColumns
from gfil.timeframes import HOUR, M1, Timeframe

SUFFIXES = (".json", ".json.gz")
SORTED_ROWS_MAX = 60_000  # of one file, sorted in one call
HOURS_MAX = 20_000  # of a symbol, enough to recognise its trading week
HELD_ROWS = 2_000  # of a sorted batch, held back for duplicates in the next one
CELLS = ("ts", "open", "high", "low", "close", "volume", "symbol")
COLUMNS = place_columns(("time", *CELLS[1:]))

Progress = Callable[[int], object]


class LegacyFile(NamedTuple):
    """File of the old system; `symbol` is empty for the SQLite file, which has many symbols."""

    path: Path
    symbol: str
    timeframe: Timeframe
    size: int

    @property
    def is_kline_db(self) -> bool:
        """Whether the file is the SQLite file of the old system."""
        return not self.symbol


class FoundFiles(NamedTuple):
    """Files of the old system in reading order, and the names of all other files in the folder."""

    files: list[LegacyFile]
    foreign: list[str]


class ReadOptions(NamedTuple):
    """Clock of the times in a file (None: from the file, or UTC), and the current time."""

    clock: Clock | None
    now: float


class Fingerprint(NamedTuple):
    """Identity of the content of a file, to detect changes."""

    digest: bytes
    size: int
    mtime_ns: int


@dataclass(slots=True)
class Loaded:
    """Result of storing a file. `covered` rows were skipped because M1 cover their buckets.

    `hours` counts the candles of H1 or shorter in each hour of UTC, by symbol.
    """

    report: Report
    covered: int
    fingerprint: Fingerprint
    hours: dict[str, Counter[int]]


def find(source: str) -> FoundFiles:
    """Return the files of a folder, M1 first for each symbol, or the SQLite file.

    Raises:
        BadParameter: the source has no file of the old system.
    """
    path = Path(source)
    if path.is_file() and legacy_kline_db.is_kline_db(path):
        return FoundFiles([LegacyFile(path, "", M1, path.stat().st_size)], [])
    if not path.is_dir():
        reason = "not a folder or an SQLite file" if path.exists() else "no such file or folder"
        raise BadParameter(f"{source}: {reason}")
    found = FoundFiles([], [])
    for entry in sorted(path.iterdir()):
        file = _recognise(entry)
        if file is None:
            found.foreign.append(entry.name)
        else:
            found.files.append(file)
    if not found.files:
        raise BadParameter(f"{source}: the folder has no file named like XAUUSD_1m.json")
    found.files.sort(key=lambda file: (file.symbol, file.timeframe.seconds, file.path))
    return found


def _recognise(path: Path) -> LegacyFile | None:
    hint = file_name.read_hint(path.name)
    if not path.name.casefold().endswith(SUFFIXES) or not path.is_file():
        return None
    if not hint.symbol or not hint.timeframe or not symbols.NAME.fullmatch(hint.symbol):
        return None
    return LegacyFile(path, hint.symbol, hint.timeframe, path.stat().st_size)


def read_fingerprint(file: LegacyFile) -> Fingerprint:
    """Return the current fingerprint of a file; that of the SQLite file includes its WAL."""
    before = file.path.stat()
    digest = hashlib.sha256()
    for _ in _read_bytes(file.path, digest.update):
        pass
    if file.is_kline_db:
        with suppress(FileNotFoundError):
            for _ in _read_bytes(Path(f"{file.path}-wal"), digest.update):
                pass
    return Fingerprint(digest.digest(), before.st_size, before.st_mtime_ns)


def _read_bytes(path: Path, observe: Callable[[bytes], object]) -> Generator[bytes, None, None]:
    with path.open("rb") as file:
        while chunk := file.read(PIECE_BYTES):
            observe(chunk)
            yield chunk


class OpenFile(NamedTuple):
    """File being read; `finish` reads the bytes after the last row and returns the fingerprint."""

    reading: Reading
    clock: Clock
    finish: Callable[[], Fingerprint]


@contextmanager
def open_file(
    file: LegacyFile,
    db: apsw.Connection | None,
    options: ReadOptions,
    progress: Progress = lambda _: None,
) -> Iterator[OpenFile]:
    """Open a file to read it once, with the reader of imports.

    Raises:
        UnknownFormat, BadParameter, SymbolCase, Refused: as `importer.read`.
        OSError: the file cannot be read.
    """
    if file.is_kline_db:
        # Read before SQLite opens the file: closing it later would drop the locks of SQLite.
        fingerprint = read_fingerprint(file)
        with closing(legacy_kline_db.connect(file.path)) as old:
            minutes = Options(timeframe=M1, clock=options.clock)
            format_ = _kline_format(old)
            reading = importer.read(db, [], minutes, now=options.now, source_format=format_)
            yield OpenFile(reading, clocks.parse(reading.report.clock), lambda: fingerprint)
        progress(file.size)
        return
    before = file.path.stat()
    if not before.st_size:
        raise Refused("the file is empty")
    digest = hashlib.sha256()

    def observe(chunk: bytes) -> None:
        digest.update(chunk)
        progress(len(chunk))

    with closing(_read_bytes(file.path, observe)) as chunks:

        def finish() -> Fingerprint:
            for _ in chunks:
                pass
            return Fingerprint(digest.digest(), before.st_size, before.st_mtime_ns)

        candles = Options(clock=options.clock, kind="candles")  # the file name gives the rest
        reading = importer.read(db, chunks, candles, now=options.now, name=file.path.name)
        yield OpenFile(reading, clocks.parse(reading.report.clock), finish)


def _kline_format(old: apsw.Connection) -> Format:
    def read(_: ByteStream, refuse: Refuse) -> Iterator[RowTable]:
        row = 0
        for rows in legacy_kline_db.read_pages(old):
            values = [[*map(_readable, cells), symbol] for symbol, *cells in rows]
            yield read_values(values, range(row, row + len(rows)), COLUMNS, refuse)
            row += len(rows)

    return Format("kline_1m", CELLS, read)


def _readable(cell: Any) -> Any:
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell


def load(
    db: apsw.Connection,
    file: LegacyFile,
    options: ReadOptions,
    edges: Sequence[int],
    progress: Progress = lambda _: None,
    sizer: BatchSizer | None = None,
) -> Loaded:
    """Store the rows of a file in buckets that hold no stored candle; in no transaction.

    A row above M1 is stored if its bucket holds no M1, or if an edge lies inside the bucket. Edges
    are the first M1 of the symbol and the last M1 of a truncated file. `sizer` carries the batch
    size over from the previous files.

    Raises:
        UnknownFormat, BadParameter, SymbolCase, Refused, OSError: the file is stored in part or
            not at all.
        Busy, DiskFull, DatabaseError: a batch could not be stored; the batches before it are.
    """
    with open_file(file, db, options, progress) as source:
        report = source.reading.report
        write_options = WriteOptions(source.clock, fill=True, now=options.now)
        filler = _Filler(db, report, write_options, edges, sizer)
        for batch in source.reading.batches:
            for symbol, timeframe, rows in batch:
                assert isinstance(rows, CandleColumns)
                assert timeframe is not None
                filler.add(symbol, timeframe, rows)
        filler.finish()
        report.file = file.path.name
        return Loaded(report, filler.covered, source.finish(), filler.hours)


class _Filler:
    # Sorts rows, drops duplicates and rows covered by M1, and passes the rest to the store.
    def __init__(
        self,
        db: apsw.Connection,
        report: Report,
        options: WriteOptions,
        edges: Sequence[int],
        sizer: BatchSizer | None,
    ) -> None:
        self._db = db
        self._report = report
        self._edges = edges
        self._batches = BatchWriter(db, report, options, sizer=sizer)
        self._gathered: dict[tuple[str, Timeframe], CandleColumns] = {}
        self._rows = 0
        self.covered = 0
        self.hours: dict[str, Counter[int]] = defaultdict(Counter)

    def add(self, symbol: str, timeframe: Timeframe, rows: CandleColumns) -> None:
        count_hours(self.hours[symbol], timeframe, rows)
        if timeframe != M1:
            rows = self._drop_covered(symbol, timeframe, rows)
        key = symbol, timeframe
        if key not in self._gathered:
            self._gathered[key] = CandleColumns([], [], [], [], [], [], [])
        columns: Any = zip(self._gathered[key], rows, strict=True)
        for column, values in columns:
            column.extend(values)
        self._rows += len(rows.time)
        if self._rows >= SORTED_ROWS_MAX:
            self._flush(key)

    def finish(self) -> None:
        self._flush(None)
        self._batches.finish()

    def _flush(self, current: tuple[str, Timeframe] | None) -> None:
        # The last rows of the current series are held back: their duplicates may follow.
        gathered, self._gathered, self._rows = self._gathered, {}, 0
        for (symbol, timeframe), rows in gathered.items():
            distinct = distinguish(rows)
            self._report.count_duplicates(len(rows.time) - len(distinct.time))
            if current == (symbol, timeframe):
                held_times = {*rows.time[-HELD_ROWS:]}
                is_held = [*map(held_times.__contains__, distinct.time)]
                self._gathered[symbol, timeframe] = _keep(distinct, is_held)
                self._rows += sum(is_held)
                distinct = _keep(distinct, map(not_, is_held))
            self._batches.add(symbol, timeframe, distinct)

    def _drop_covered(self, name: str, timeframe: Timeframe, rows: CandleColumns) -> CandleColumns:
        symbol = symbols.find(self._db, name)
        first = lookup.read_first_minute(self._db, symbol) if symbol else None
        if symbol is None or first is None or not rows.time:
            return rows
        keys = [*zip(rows.time, rows.extra_s, strict=True)]
        edges = (*self._edges, first)
        covered = lookup.find_covered(self._db, symbol, timeframe, set(keys), edges)
        kept = _keep(rows, [key not in covered for key in keys])
        self._report.rows += len(keys) - len(kept.time)
        self.covered += len(keys) - len(kept.time)
        return kept


def count_hours(hours: Counter[int], timeframe: Timeframe, rows: CandleColumns) -> None:
    """Add candles of H1 or shorter to the count of each hour of UTC, up to `HOURS_MAX` hours."""
    if timeframe.seconds <= HOUR and len(hours) < HOURS_MAX:
        hours.update(map(floordiv, rows.time, repeat(HOUR)))


def distinguish(rows: CandleColumns) -> CandleColumns:
    """Return the rows that win their buckets, in order of the buckets."""
    if duplicates.is_ascending(rows.time):
        return rows
    return _pick(rows, [*duplicates.find_winners(rows.time, rows.extra_s, rows.volume)])


def _pick(rows: CandleColumns, indexes: Sequence[int]) -> CandleColumns:
    columns: list[Any] = [[*map(column.__getitem__, indexes)] for column in rows]
    return CandleColumns(*columns)


def _keep(rows: CandleColumns, flags: Iterable[int]) -> CandleColumns:
    chosen = [*flags]
    columns: list[Any] = [[*compress(column, chosen)] for column in rows]
    return CandleColumns(*columns)


def absolute_path(path: Path) -> str:
    """Return the absolute path of a file as text that can be stored."""
    return os.fsencode(path.absolute()).decode("utf-8", "replace")
