"""Verification: read each file again and look up every row in the database."""

import os
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import compress
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from operator import eq, not_
from pathlib import Path
from typing import Protocol

import apsw

from gfil import clocks
from gfil.clocks import Clock, format_instant
from gfil.errors import DatabaseError, GfilError
from gfil.migration.legacy_files import LegacyFile, ReadOptions, open_file
from gfil.store import symbols
from gfil.store.candles import lookup
from gfil.store.candles.derive import DERIVED
from gfil.store.candles.lookup import CandleRow, CandlesByTime
from gfil.store.candles.rollup import Ohlcv, is_same
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import M1, Timeframe

EXAMPLES_MAX = 3  # reported candles that differ from the derived ones
EXAMPLES_KEPT_MAX = 100  # candidates: a later row of the same bucket may still match
EXIT_WAIT_S = 10  # for the verifying process to end
CHUNK_BUCKETS = 2048  # flags in one block of memory
SEEN, PRESENT, COVERED, ALIKE, KEPT = 1, 2, 4, 8, 16  # flags of a bucket


class BucketFlags:
    """One byte of flags for each bucket that has rows, in blocks: memory stays small."""

    def __init__(self, timeframe: Timeframe) -> None:
        # A bucket lasts at least half of its timeframe, so no two buckets share an index.
        self._unit_s = timeframe.seconds if timeframe == M1 else timeframe.seconds // 2
        self._chunks: dict[int, bytearray] = defaultdict(lambda: bytearray(CHUNK_BUCKETS))

    def set(self, times: Iterable[int], bits: int) -> None:
        """Set flags of the buckets that start at these times."""
        chunks, unit_s = self._chunks, self._unit_s
        number, chunk = None, bytearray()
        for time in times:
            index = time // unit_s
            if index // CHUNK_BUCKETS != number:
                number = index // CHUNK_BUCKETS
                chunk = chunks[number]
            chunk[index % CHUNK_BUCKETS] |= bits

    def has(self, time: int, bits: int) -> bool:
        """Return whether any of the flags is set for the bucket that starts at `time`."""
        number, index = divmod(time // self._unit_s, CHUNK_BUCKETS)
        return bool(self._chunks[number][index] & bits)

    def count(self) -> Counter[int]:
        """Return the number of buckets by their flags, without buckets that have no flag."""
        counts: Counter[int] = Counter()
        for chunk in self._chunks.values():
            counts.update(chunk)
        del counts[0]
        return counts


@dataclass(slots=True)
class VerifyResult:
    """Counts of a verified file: `rows = present + covered + kept + duplicates + rejected`.

    `present` rows are stored, from this file or another. `covered` rows lie above M1, and
    `different` of them differ from the derived candle. For `kept` rows another candle is stored.
    `missing` rows are not in the database, and then the sum above does not hold. `digest` is that
    of the file as read for the verification; `failure` is set if it could not be read.
    """

    rows: int = 0
    present: int = 0
    covered: int = 0
    different: int = 0
    kept: int = 0
    duplicates: int = 0
    rejected: int = 0
    missing: int = 0
    digest: bytes = b""
    examples: list[str] = field(default_factory=list)
    failure: str = ""


def verify(
    db: apsw.Connection, file: LegacyFile, options: ReadOptions, edges: Sequence[int]
) -> VerifyResult:
    """Read a file again and look up each of its rows; `edges` are those of `legacy_files.load`.

    The result reports an error as `failure`.
    """
    result = VerifyResult()
    try:
        with open_file(file, db, options) as source:
            series: dict[tuple[str, Timeframe], _Comparison] = {}
            for batch in source.reading.batches:
                current = set()
                for name, timeframe, rows in batch:
                    assert isinstance(rows, CandleColumns)
                    assert timeframe is not None
                    key = name, timeframe
                    current.add(key)
                    if key not in series:
                        series[key] = _Comparison(db, name, timeframe, source.clock, edges)
                    series[key].compare(rows)
                if file.is_kline_db and current:  # sorted by symbol; each holds megabytes
                    for key in series.keys() - current:
                        series.pop(key).add_to(result)
            result.digest = source.finish().digest
            result.rejected = source.reading.report.rejected
            result.rows += result.rejected
    except (GfilError, OSError) as error:
        result.failure = str(error)
        return result
    for comparison in series.values():
        comparison.add_to(result)
    return result


class _Comparison:
    # Compares the rows of one symbol and timeframe with the database, bucket by bucket.
    def __init__(
        self,
        db: apsw.Connection,
        name: str,
        timeframe: Timeframe,
        clock: Clock,
        edges: Sequence[int],
    ) -> None:
        self._db = db
        self._symbol = symbols.find(db, name)
        self._timeframe = timeframe
        self._clock = clock
        self._edges = edges
        self._flags = BucketFlags(timeframe)
        self._rows = 0
        self._differing: dict[int, tuple[Ohlcv, Ohlcv | None]] = {}

    def compare(self, rows: CandleColumns) -> None:
        if not rows.time:
            return
        self._rows += len(rows.time)
        if self._symbol is None:
            self._flags.set(rows.time, SEEN)
            return
        with connection.snapshot(self._db):
            self._compare_all(self._symbol, rows)

    def _compare_all(self, symbol: Symbol, rows: CandleColumns) -> None:
        stored, derived = lookup.read_near(self._db, symbol, self._timeframe, rows)
        values: list[CandleRow] = list(zip(*rows, strict=True))
        is_stored = [*map(eq, map(stored.get, rows.time), values)]
        if all(is_stored):
            self._flags.set(rows.time, SEEN | PRESENT)
            return
        self._flags.set(rows.time, SEEN)
        self._flags.set(compress(rows.time, is_stored), PRESENT)
        rest = [*compress(values, map(not_, is_stored))]
        if self._timeframe != M1:
            rest = self._compare_covered(symbol, rest, derived)
        self._compare_stored(symbol, rest)

    def _compare_covered(
        self, symbol: Symbol, rows: list[CandleRow], derived: CandlesByTime
    ) -> list[CandleRow]:
        # Returns the rows that M1 do not cover.
        first = lookup.read_first_minute(self._db, symbol)
        if first is None:
            return rows
        timeframe, edges = self._timeframe, (*self._edges, first)
        keys = {row[:2] for row in rows}
        covered = lookup.find_covered(self._db, symbol, timeframe, keys, edges)
        self._flags.set([time for time, _ in covered], COVERED)
        is_alike = [derived.get(row[0]) == row for row in rows]
        self._flags.set([row[0] for row in compress(rows, is_alike)], ALIKE)
        unlike = [*compress(rows, map(not_, is_alike))]
        self._compare_shown(symbol, [row for row in unlike if row[:2] in covered])
        return [row for row in rows if row[:2] not in covered]

    def _compare_shown(self, symbol: Symbol, rows: list[CandleRow]) -> None:
        if not rows:
            return
        times = {time for time, *_ in rows}
        shown = lookup.read_displayed(self._db, symbol, self._timeframe, self._clock, times)
        differing = []
        for time, _, *values in rows:
            row = Ohlcv(*values)
            if is_same(row, shown.get(time)):
                self._flags.set((time,), ALIKE)
            else:
                differing.append((time, row))
        for time, row in differing:  # a candle saved while forming may match in a later row
            if len(self._differing) >= EXAMPLES_KEPT_MAX:
                break
            if not self._flags.has(time, ALIKE):
                self._differing[time] = (row, shown.get(time))

    def _compare_stored(self, symbol: Symbol, rows: list[CandleRow]) -> None:
        if not rows:
            return
        times = [time for time, *_ in rows]
        present, superseded = lookup.read_with_superseded(self._db, symbol, self._timeframe, times)
        for time, extra_s, *values in rows:
            key, row = (time, extra_s), Ohlcv(*values)
            candle = present.get(key)
            stored = candle.values if candle and candle.kind != DERIVED else None
            if is_same(row, stored) or is_same(row, superseded.get(key)):
                self._flags.set((time,), PRESENT)
            elif stored is not None or key in superseded:
                self._flags.set((time,), KEPT)

    def add_to(self, result: VerifyResult) -> None:
        counts = self._flags.count()
        for bits, count in counts.items():
            if bits & PRESENT:
                result.present += count
            elif bits & COVERED:
                result.covered += count
                result.different += 0 if bits & ALIKE else count
            elif bits & KEPT:
                result.kept += count
            else:
                result.missing += count
        result.rows += self._rows
        result.duplicates += self._rows - counts.total()
        for time, (row, derived) in sorted(self._differing.items()):
            if not self._flags.has(time, ALIKE) and len(result.examples) < EXAMPLES_MAX:
                both = f"{_format_values(row)} in the file, {_format_values(derived)} derived"
                result.examples.append(f"{format_instant(time)}: {both}")


def _format_values(values: Ohlcv | None) -> str:
    return "nothing" if values is None else " ".join(f"{value:g}" for value in values)


class Verifier(Protocol):
    """Verifies one file after another."""

    def start(self, file: LegacyFile, options: ReadOptions, edges: Sequence[int]) -> None:
        """Request the verification of a file."""

    def results(self, pending_max: int = 0) -> Iterator[VerifyResult]:
        """Yield results in the order of the requests until at most `pending_max` are open."""


@contextmanager
def verifier(path: Path) -> Iterator[Verifier]:
    """Provide a verifier, in a second process if there are two cores.

    Call it before a database is open: a connection must not cross a fork.
    """
    if _count_cores() == 1:
        with closing(_InProcess(path)) as in_process:
            yield in_process
        return
    ours, theirs = Pipe()
    # Forked, not spawned: a fork starts immediately and shares the memory of this process.
    process = get_context("fork").Process(target=_serve, args=(path, ours, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield _InSubprocess(path, ours)
    finally:
        ours.close()
        process.join(EXIT_WAIT_S)
        process.kill()


def _count_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _InProcess:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: apsw.Connection | None = None
        self._results: list[VerifyResult] = []

    def start(self, file: LegacyFile, options: ReadOptions, edges: Sequence[int]) -> None:
        if self._db is None:
            self._db = connection.connect(self._path, readonly=True)
        self._results.append(verify(self._db, file, options, edges))

    def results(self, pending_max: int = 0) -> Iterator[VerifyResult]:
        while self._results:
            yield self._results.pop(0)

    def close(self) -> None:
        if self._db is not None:
            self._db.close()


class _InSubprocess:
    def __init__(self, path: Path, pipe: Connection) -> None:
        self._path = path
        self._pipe = pipe
        self._pending = 0

    def start(self, file: LegacyFile, options: ReadOptions, edges: Sequence[int]) -> None:
        self._pipe.send((file, options.clock and options.clock.name, options.now, edges))
        self._pending += 1

    def results(self, pending_max: int = 0) -> Iterator[VerifyResult]:
        while self._pending and (self._pending > pending_max or self._pipe.poll()):
            try:
                result: VerifyResult = self._pipe.recv()
            except EOFError:
                raise DatabaseError(self._path, "the verifying process has ended") from None
            self._pending -= 1
            yield result


def _serve(path: Path, theirs: Connection, pipe: Connection) -> None:
    # The second process, which ends when the pipe is closed, also if the first one was killed.
    theirs.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError), closing(_InProcess(path)) as in_process:
        while True:
            file, clock, now, edges = pipe.recv()
            in_process.start(file, ReadOptions(clock and clocks.parse(clock), now), edges)
            for result in in_process.results():
                pipe.send(result)
