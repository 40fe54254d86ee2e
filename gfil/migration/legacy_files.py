"""The files of the old system: what a folder holds, each read from end to end, and stored."""

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
SORTED_ROWS_MAX = 60_000  # of one file put in order at once
HOURS_MAX = 20_000  # of a symbol that are looked at for its week
HELD_ROWS = 2_000  # of those, that wait for others of their bucket
CELLS = ("ts", "open", "high", "low", "close", "volume", "symbol")
COLUMNS = place_columns(("time", *CELLS[1:]))

Progress = Callable[[int], object]


class LegacyFile(NamedTuple):
    """A file of the old system; `symbol` is empty for its database, which has M1 of many."""

    path: Path
    symbol: str
    timeframe: Timeframe
    size: int

    @property
    def is_klines(self) -> bool:
        """Whether it is the database."""
        return not self.symbol


class Found(NamedTuple):
    """What a folder holds: the files of the old system in the order in which they are read, and the
    names of everything else."""

    originals: list[LegacyFile]
    foreign: list[str]


class ReadOptions(NamedTuple):
    """How stamps are read: on which clock, None where the file may tell; and the time it is."""

    clock: Clock | None
    now: float


class Fingerprint(NamedTuple):
    """What tells whether a file is still what was read."""

    digest: bytes
    size: int
    mtime_ns: int


@dataclass(slots=True)
class Loaded:
    """What was stored of a file. `covered` rows lie above M1 and were not.

    `hours` are how many candles, of H1 or shorter, each hour of UTC has, by symbol.
    """

    report: Report
    covered: int
    seal: Fingerprint
    hours: dict[str, Counter[int]]


def find(source: str) -> Found:
    """Return the files of a folder, `_1m` before the other ones of its symbol; or the database.

    Raises:
        BadParameter: there is nothing of the old system.
    """
    path = Path(source)
    if path.is_file() and legacy_kline_db.is_kline_db(path):
        return Found([LegacyFile(path, "", M1, path.stat().st_size)], [])
    if not path.is_dir():
        what = "neither a folder nor an SQLite file" if path.exists() else "no such file or folder"
        raise BadParameter(f"{source}: {what}")
    found = Found([], [])
    for each in sorted(path.iterdir()):
        original = _recognise(each)
        if original is None:
            found.foreign.append(each.name)
        else:
            found.originals.append(original)
    if not found.originals:
        raise BadParameter(f"{source}: no file in it is called as XAUUSD_1m.json is")
    found.originals.sort(key=lambda each: (each.symbol, each.timeframe.seconds, each.path))
    return found


def _recognise(path: Path) -> LegacyFile | None:
    named = file_name.read_hint(path.name)
    if not path.name.casefold().endswith(SUFFIXES) or not path.is_file():
        return None
    if not named.symbol or not named.timeframe or not symbols.NAME.fullmatch(named.symbol):
        return None
    return LegacyFile(path, named.symbol, named.timeframe, path.stat().st_size)


def fingerprint(original: LegacyFile) -> Fingerprint:
    """Return the seal of a file as it is now; a database's log is part of it."""
    before = original.path.stat()
    digest = hashlib.sha256()
    for _ in _read_bytes(original.path, digest.update):
        pass
    if original.is_klines:
        with suppress(FileNotFoundError):
            for _ in _read_bytes(Path(f"{original.path}-wal"), digest.update):
                pass
    return Fingerprint(digest.digest(), before.st_size, before.st_mtime_ns)


def _read_bytes(path: Path, see: Callable[[bytes], object]) -> Generator[bytes, None, None]:
    with path.open("rb") as file:
        while chunk := file.read(PIECE_BYTES):
            see(chunk)
            yield chunk


class Opened(NamedTuple):
    """A file that is being read: `finish` reads what no row is in, and returns the seal."""

    reading: Reading
    clock: Clock
    finish: Callable[[], Fingerprint]


@contextmanager
def opened(
    original: LegacyFile,
    db: apsw.Connection | None,
    how: ReadOptions,
    progress: Progress = lambda _: None,
) -> Iterator[Opened]:
    """Open a file to be read once, with the reader of every import.

    Raises:
        UnknownFormat, BadParameter, SymbolCase, Refused: as `importer.read`.
        OSError: it cannot be read.
    """
    if original.is_klines:
        sealed = fingerprint(original)  # before it is open: to close it again would drop its locks
        with closing(legacy_kline_db.connect(original.path)) as old:
            reading = importer.read(
                db,
                [],
                Options(timeframe=M1, clock=how.clock),
                now=how.now,
                source_format=_of_klines(old),
            )
            yield Opened(reading, clocks.parse(reading.report.clock), lambda: sealed)
        progress(original.size)
        return
    before = original.path.stat()
    if not before.st_size:
        raise Refused("it is empty")
    digest = hashlib.sha256()

    def see(chunk: bytes) -> None:
        digest.update(chunk)
        progress(len(chunk))

    with closing(_read_bytes(original.path, see)) as chunks:

        def finish() -> Fingerprint:
            for _ in chunks:
                pass
            return Fingerprint(digest.digest(), before.st_size, before.st_mtime_ns)

        options = Options(clock=how.clock, kind="candles")  # the name tells the rest
        reading = importer.read(db, chunks, options, now=how.now, name=original.path.name)
        yield Opened(reading, clocks.parse(reading.report.clock), finish)


def _of_klines(old: apsw.Connection) -> Format:
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
    original: LegacyFile,
    how: ReadOptions,
    edges: Sequence[int],
    progress: Progress = lambda _: None,
    pace: BatchSizer | None = None,
) -> Loaded:
    """Store what a file adds; inside no transaction. A stored candle is never replaced.

    Of a higher timeframe a row is stored where its bucket holds no M1, or one of the edges lies
    inside it: the first M1 there is, or the last one of a truncated file. `pace` is that of the
    files before.

    Raises:
        UnknownFormat, BadParameter, SymbolCase, Refused, OSError: nothing, or only a part, of it.
        Busy, DiskFull, DatabaseError: a batch could not be stored; those before it are.
    """
    with opened(original, db, how, progress) as source:
        report = source.reading.report
        manner = WriteOptions(source.clock, fill=True, now=how.now)
        filling = _Filling(db, report, manner, edges, pace)
        for piece in source.reading.batches:
            for symbol, timeframe, rows in piece:
                assert isinstance(rows, CandleColumns)
                assert timeframe is not None
                filling.add(symbol, timeframe, rows)
        filling.finish()
        report.file = original.path.name
        return Loaded(report, filling.covered, source.finish(), filling.hours)


class _Filling:
    # Rows in order, each bucket once, without those that M1 cover, to the store.
    def __init__(
        self,
        db: apsw.Connection,
        report: Report,
        manner: WriteOptions,
        edges: Sequence[int],
        pace: BatchSizer | None,
    ) -> None:
        self._db = db
        self._report = report
        self._edges = edges
        self._batches = BatchWriter(db, report, manner, sizer=pace)
        self._gathered: dict[tuple[str, Timeframe], CandleColumns] = {}
        self._rows = 0
        self.covered = 0
        self.hours: dict[str, Counter[int]] = defaultdict(Counter)

    def add(self, symbol: str, timeframe: Timeframe, rows: CandleColumns) -> None:
        count_hours(self.hours[symbol], timeframe, rows)
        if timeframe != M1:
            rows = self._uncovered(symbol, timeframe, rows)
        key = symbol, timeframe
        if key not in self._gathered:
            self._gathered[key] = CandleColumns([], [], [], [], [], [], [])
        both: Any = zip(self._gathered[key], rows, strict=True)
        for column, more in both:
            column.extend(more)
        self._rows += len(rows.time)
        if self._rows >= SORTED_ROWS_MAX:
            self._pass_on(key)

    def finish(self) -> None:
        self._pass_on(None)
        self._batches.finish()

    def _pass_on(self, reading: tuple[str, Timeframe] | None) -> None:
        # Those read last may have others of their bucket among the rows to come: they wait.
        gathered, self._gathered, self._rows = self._gathered, {}, 0
        for (symbol, timeframe), rows in gathered.items():
            distinct = distinguish(rows)
            self._report.count_duplicates(len(rows.time) - len(distinct.time))
            if reading == (symbol, timeframe):
                waiting = {*rows.time[-HELD_ROWS:]}
                waits = [*map(waiting.__contains__, distinct.time)]
                self._gathered[symbol, timeframe] = _keep(distinct, waits)
                self._rows += sum(waits)
                distinct = _keep(distinct, map(not_, waits))
            self._batches.add(symbol, timeframe, distinct)

    def _uncovered(self, name: str, timeframe: Timeframe, rows: CandleColumns) -> CandleColumns:
        symbol = symbols.find(self._db, name)
        first = lookup.read_first_minute(self._db, symbol) if symbol else None
        if symbol is None or first is None or not rows.time:
            return rows
        keys = [*zip(rows.time, rows.extra_s, strict=True)]
        edges = (*self._edges, first)
        covered = lookup.find_covered(self._db, symbol, timeframe, set(keys), edges)
        rest = [key not in covered for key in keys]
        kept = _keep(rows, rest)
        self._report.rows += len(keys) - len(kept.time)
        self.covered += len(keys) - len(kept.time)
        return kept


def count_hours(hours: Counter[int], timeframe: Timeframe, rows: CandleColumns) -> None:
    """Count how many candles, of H1 or shorter, each hour of UTC has; some years are enough."""
    if timeframe.seconds <= HOUR and len(hours) < HOURS_MAX:
        hours.update(map(floordiv, rows.time, repeat(HOUR)))


def distinguish(rows: CandleColumns) -> CandleColumns:
    """Return the rows that win their buckets, in order of the buckets."""
    if duplicates.is_ascending(rows.time):
        return rows
    return _pick(rows, [*duplicates.find_winners(rows.time, rows.extra_s, rows.volume)])


def _pick(rows: CandleColumns, places: Sequence[int]) -> CandleColumns:
    columns: list[Any] = [[*map(column.__getitem__, places)] for column in rows]
    return CandleColumns(*columns)


def _keep(rows: CandleColumns, flags: Iterable[int]) -> CandleColumns:
    kept = [*flags]
    columns: list[Any] = [[*compress(column, kept)] for column in rows]
    return CandleColumns(*columns)


def absolute(path: Path) -> str:
    """Return where a file is, as text that can be stored."""
    return os.fsencode(path.absolute()).decode("utf-8", "replace")
