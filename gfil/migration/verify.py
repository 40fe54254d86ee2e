"""Both sides read again: each row of a file of the old system, and what the database has of it."""

import os
import signal
from collections.abc import Iterator, Sequence
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
from gfil.migration.legacy_files import LegacyFile, ReadOptions, opened
from gfil.migration.seen_rows import SEEN, SeenRows
from gfil.store import symbols
from gfil.store.candles import lookup
from gfil.store.candles.derive import DERIVED
from gfil.store.candles.lookup import CandleRow, CandlesByTime
from gfil.store.candles.rollup import Ohlcv, is_same
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import M1, Timeframe

EXAMPLES_MAX = 3  # of candles that differ from what is derived
EXAMPLES_KEPT_MAX = 100  # until it is known that no other row of their bucket is alike
END_S = 10  # for the other process to end
PRESENT, COVERED, ALIKE, KEPT = 2, 4, 8, 16  # beside SEEN


@dataclass(slots=True)
class Verdict:
    """What the database has of a file: `rows = present + covered + kept + duplicates + rejected`.

    `present` are stored, from this file or another; `covered` lie above M1, and `different` ones
    of them are not what is derived; of `kept` another candle is stored; `missing` ones are nowhere,
    and then it does not add up. `digest` is of the file as it was read this time.
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
    db: apsw.Connection, original: LegacyFile, how: ReadOptions, edges: Sequence[int]
) -> Verdict:
    """Read a file again and look each of its rows up; `edges` are as for `legacy.load`.

    What goes wrong is told in the verdict.
    """
    verdict = Verdict()
    try:
        with opened(original, db, how) as source:
            found: dict[tuple[str, Timeframe], _Comparison] = {}
            for piece in source.reading.pieces:
                seen = set()
                for name, timeframe, rows in piece:
                    assert isinstance(rows, CandleColumns)
                    assert timeframe is not None
                    key = name, timeframe
                    seen.add(key)
                    if key not in found:
                        found[key] = _Comparison(db, name, timeframe, source.clock, edges)
                    found[key].see(rows)
                if original.is_klines and seen:  # symbol by symbol: each takes megabytes
                    for key in found.keys() - seen:
                        found.pop(key).tell(verdict)
            verdict.digest = source.finish().digest
            verdict.rejected = source.reading.report.rejected
            verdict.rows += verdict.rejected
    except (GfilError, OSError) as error:
        verdict.failure = str(error)
        return verdict
    for comparison in found.values():
        comparison.tell(verdict)
    return verdict


class _Comparison:
    # Rows of one symbol and timeframe against the database, bucket by bucket.
    def __init__(
        self,
        db: apsw.Connection,
        name: str,
        timeframe: Timeframe,
        clock: Clock,
        edges: Sequence[int],
    ) -> None:
        self._db = db
        self._name = name
        self._symbol = symbols.find(db, name)
        self._timeframe = timeframe
        self._clock = clock
        self._edges = edges
        self._marks = SeenRows(timeframe)
        self._rows = 0
        self._differing: dict[int, tuple[Ohlcv, Ohlcv | None]] = {}

    def see(self, rows: CandleColumns) -> None:
        if not rows.time:
            return
        self._rows += len(rows.time)
        if self._symbol is None:
            self._marks.mark(rows.time, SEEN)
            return
        with connection.snapshot(self._db):
            self._compare(self._symbol, rows)

    def _compare(self, symbol: Symbol, rows: CandleColumns) -> None:
        stored, derived = lookup.read_near(self._db, symbol, self._timeframe, rows)
        wanted: list[CandleRow] = list(zip(*rows, strict=True))
        found = [*map(eq, map(stored.get, rows.time), wanted)]
        if all(found):
            self._marks.mark(rows.time, SEEN | PRESENT)
            return
        self._marks.mark(rows.time, SEEN)
        self._marks.mark(compress(rows.time, found), PRESENT)
        rest = [*compress(wanted, map(not_, found))]
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
        self._marks.mark([time for time, _ in covered], COVERED)
        alike = [derived.get(row[0]) == row for row in rows]
        self._marks.mark([row[0] for row in compress(rows, alike)], ALIKE)
        unlike = [*compress(rows, map(not_, alike))]
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
                self._marks.mark((time,), ALIKE)
            else:
                differing.append((time, row))
        for time, row in differing:  # not those saved while forming that close further on
            if len(self._differing) >= EXAMPLES_KEPT_MAX:
                break
            if not self._marks.has(time, ALIKE):
                self._differing[time] = (row, shown.get(time))

    def _compare_stored(self, symbol: Symbol, rows: list[CandleRow]) -> None:
        if not rows:
            return
        times = [time for time, *_ in rows]
        present, spare = lookup.read_with_superseded(self._db, symbol, self._timeframe, times)
        for time, extra_s, *values in rows:
            key, row = (time, extra_s), Ohlcv(*values)
            have = present.get(key)
            stored = have.values if have and have.kind != DERIVED else None
            if is_same(row, stored) or is_same(row, spare.get(key)):
                self._marks.mark((time,), PRESENT)
            elif stored is not None or key in spare:
                self._marks.mark((time,), KEPT)

    def tell(self, verdict: Verdict) -> None:
        counts = self._marks.count()
        for bits, count in counts.items():
            if bits & PRESENT:
                verdict.present += count
            elif bits & COVERED:
                verdict.covered += count
                verdict.different += 0 if bits & ALIKE else count
            elif bits & KEPT:
                verdict.kept += count
            else:
                verdict.missing += count
        verdict.rows += self._rows
        verdict.duplicates += self._rows - counts.total()
        for time, (row, derived) in sorted(self._differing.items()):
            if not self._marks.has(time, ALIKE) and len(verdict.examples) < EXAMPLES_MAX:
                told = f"{_say(row)} in the file, {_say(derived)} derived"
                verdict.examples.append(f"{format_instant(time)}: {told}")


def _say(fold: Ohlcv | None) -> str:
    return "nothing" if fold is None else " ".join(f"{value:g}" for value in fold)


class Verifier(Protocol):
    """Gives its verdict on one file after another."""

    def begin(self, original: LegacyFile, how: ReadOptions, edges: Sequence[int]) -> None:
        """Ask for a verdict."""

    def verdicts(self, pending_max: int = 0) -> Iterator[Verdict]:
        """Yield verdicts in the order asked, until no more than so many are still to come."""


@contextmanager
def verifier(path: Path) -> Iterator[Verifier]:
    """Give a verifier, on another core if there is one; to be called before a database is open."""
    if _count_cores() == 1:
        with closing(_Here(path)) as here:
            yield here
        return
    ours, theirs = Pipe()
    # Forked, not spawned: it costs nothing, and what is in memory by now is there only once.
    process = get_context("fork").Process(target=_serve, args=(path, ours, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield _Beside(path, ours)
    finally:
        ours.close()
        process.join(END_S)
        process.kill()


def _count_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Here:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: apsw.Connection | None = None
        self._done: list[Verdict] = []

    def begin(self, original: LegacyFile, how: ReadOptions, edges: Sequence[int]) -> None:
        if self._db is None:
            self._db = connection.connect(self._path, readonly=True)
        self._done.append(verify(self._db, original, how, edges))

    def verdicts(self, pending_max: int = 0) -> Iterator[Verdict]:
        while self._done:
            yield self._done.pop(0)

    def close(self) -> None:
        if self._db is not None:
            self._db.close()


class _Beside:
    def __init__(self, path: Path, pipe: Connection) -> None:
        self._path = path
        self._pipe = pipe
        self._pending = 0

    def begin(self, original: LegacyFile, how: ReadOptions, edges: Sequence[int]) -> None:
        self._pipe.send((original, how.clock and how.clock.name, how.now, edges))
        self._pending += 1

    def verdicts(self, pending_max: int = 0) -> Iterator[Verdict]:
        while self._pending and (self._pending > pending_max or self._pipe.poll()):
            try:
                verdict: Verdict = self._pipe.recv()
            except EOFError:
                raise DatabaseError(self._path, "the process that verifies has ended") from None
            self._pending -= 1
            yield verdict


def _serve(path: Path, theirs: Connection, pipe: Connection) -> None:
    # The other process: it ends when nobody is left to ask it, however that came.
    theirs.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError), closing(_Here(path)) as here:
        while True:
            original, clock, now, edges = pipe.recv()
            here.begin(original, ReadOptions(clock and clocks.parse(clock), now), edges)
            for verdict in here.verdicts():
                pipe.send(verdict)
