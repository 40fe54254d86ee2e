"""Check the laws of the data in short reads, above all each derived candle against its base."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from time import monotonic, sleep
from typing import NamedTuple

import apsw

from gfil.clocks import TIME_MIN, UTC, Clock, Run, format_instant
from gfil.errors import GfilError, SymbolUnknown
from gfil.store import symbols
from gfil.store.candles import derive, extent, rollup, tick_rollup
from gfil.store.candles.derive import DERIVED, SETTLED, STORED, CandleChanges, StoredCandle
from gfil.store.candles.rollup import BucketKey, Ohlcv
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, DAY, M1, Timeframe
from gfil.wording import format_count

DAY_MAX_S = 2 * DAY  # no bucket of the chain is longer, whatever its clock does
STEP_S = {"M1": DAY, "H4": 364 * DAY, "D1": 2 * 364 * DAY}
STEP_DEFAULT_S = 28 * DAY
REPAIR_BATCH_ROWS = 200
GROUP_BUCKETS = 1000  # one transaction repairs mismatches within this many buckets
FAULTS_MAX = 5  # reported for a damaged file


class Unsound(GfilError):
    """A database that is damaged, or breaks a law of the data."""

    type = "unsound"
    title = "Unsound"


class Mismatch(NamedTuple):
    """A bucket of a materialised timeframe that differs from what its base makes."""

    symbol: Symbol
    timeframe: Timeframe
    time: int
    extra_s: int

    def describe(self) -> str:
        """Return symbol, timeframe and time as text."""
        return f"{self.symbol.name} {self.timeframe.name} {format_instant(self.time)}"


def find_damage(db: apsw.Connection, *, quick: bool = False) -> list[str]:
    """Return the faults that SQLite finds in the file; none if it is sound.

    This is one read of the whole file. `quick` does not compare indexes.
    """
    try:
        found = db.pragma("quick_check" if quick else "integrity_check", FAULTS_MAX)
        foreign = db.pragma("foreign_key_check")
    except apsw.CorruptError as error:
        return [str(error)]
    complaints = found if isinstance(found, list) else [found]
    faults = [line for text in complaints for line in text.splitlines() if line != "ok"]
    return [*faults[:FAULTS_MAX], *(["a row belongs to no symbol"] if foreign else [])]


def check(db: apsw.Connection) -> None:
    """Check a whole database that has no writers.

    Raises:
        Unsound: the database is damaged, or a derived candle differs from what its base makes.
    """
    if faults := find_damage(db):
        raise Unsound(f"damaged: {faults[0]}")
    if orphans := find_orphans(db):
        raise Unsound(f"rows of {format_count(len(orphans), 'unknown symbol id')}")
    for symbol in symbols.list_symbols(db):
        for mismatch in find_mismatches(db, symbol):
            raise Unsound(f"{mismatch.describe()} differs from what its base makes")


def find_mismatches(
    db: apsw.Connection, symbol: Symbol, since: int = TIME_MIN
) -> Iterator[Mismatch]:
    """Yield each materialised bucket of a symbol with `time >= since` that its base contradicts.

    Each step is a separate short read, so `db` must not be in a transaction. A symbol deleted
    meanwhile has no mismatches.
    """
    for timeframe in CHAIN:
        step, start = STEP_S.get(timeframe.name, STEP_DEFAULT_S), since
        while (first := _first_time(db, symbol, timeframe, start)) is not None:
            start = max(start, first - DAY_MAX_S)
            with connection.snapshot(db):
                keys = _compare(db, symbol, timeframe, start, start + step)
            yield from (Mismatch(symbol, timeframe, *key) for key in sorted(keys))
            start += step


def _first_time(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, since: int
) -> int | None:
    # The base counts too: it may have rows where the derived candle is missing.
    firsts = [
        extent.read_first_time_from(db, symbol.series(each.number), since)
        for each in CHAIN
        if each.seconds <= timeframe.seconds
    ]
    if timeframe == M1:
        tick_msc = extent.read_tick_msc_from(db, symbol, max(since, 0) * 1000)
        firsts.append(None if tick_msc is None else tick_msc // 1000)
    return min((first for first in firsts if first is not None), default=None)


READ_DERIVED = """
SELECT time, extra_s, open, high, low, close, volume
FROM candle
WHERE series = :series AND time >= :start AND time < :stop AND kind = 0
"""
READ_STORED = """
SELECT time, extra_s, kind, open, high, low, close, volume
FROM candle
WHERE series = :series AND time >= :start AND time < :stop AND kind > 0
"""
READ_SUPERSEDED = """
SELECT time, extra_s, open, high, low, close, volume
FROM superseded
WHERE series = :series AND time >= :start AND time < :stop
"""


def _compare(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, start: int, stop: int
) -> set[BucketKey]:
    # Compare whole dictionaries: they are nearly always equal, and then the check is finished.
    try:
        symbol = symbols.reload(db, symbol)
    except SymbolUnknown:
        return set()
    span = {"series": symbol.series(timeframe.number), "start": start, "stop": stop}
    rolled_up = _roll_up(db, symbol, timeframe, start, stop)
    derived = _read(db, READ_DERIVED, span)
    superseded = _read(db, READ_SUPERSEDED, span)
    if rolled_up == derived and not superseded:
        return set()
    present = {key: StoredCandle(DERIVED, values) for key, values in derived.items()}
    for time, extra_s, kind, *values in connection.query_all(db, READ_STORED, span):
        present[time, extra_s] = StoredCandle(kind, Ohlcv(*values))
    suspects = {key for key, _ in rolled_up.items() ^ derived.items()} | superseded.keys()
    may_give_way = suspects
    if timeframe == M1:
        may_give_way = {
            (time, 0)
            for time in tick_rollup.find_provisional(db, symbol, [key[0] for key in suspects])
        }
    return {
        key
        for key in suspects
        if not _is_right(
            rolled_up.get(key), present.get(key), superseded.get(key), key in may_give_way
        )
    }


def _read(db: apsw.Connection, sql: str, span: dict[str, int]) -> dict[BucketKey, Ohlcv]:
    rows = connection.query_all(db, sql, span)
    return {(time, extra_s): Ohlcv(*values) for time, extra_s, *values in rows}


def _roll_up(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, start: int, stop: int
) -> dict[BucketKey, Ohlcv]:
    if timeframe == M1:
        bounds = max(start, 0) * 1000, max(stop, 0) * 1000
        minutes = tick_rollup.list_minutes(db, symbol, *bounds)
        return {
            (time, 0): minute
            for time, minute in tick_rollup.roll_up_ticks(db, symbol, minutes).items()
        }
    materialised_on = symbols.materialised_clocks(db, symbol)
    rolled_up: dict[BucketKey, Ohlcv] = {}
    for clock in [UTC] if timeframe.intraday else materialised_on:
        runs = [*_runs_starting_in(clock, timeframe, start, stop)]
        plan = rollup.plan_tiles(timeframe, clock, materialised_on, runs)
        rolled_up |= rollup.roll_up(db, symbol, timeframe, plan)
    return rolled_up


def _runs_starting_in(clock: Clock, timeframe: Timeframe, start: int, stop: int) -> Iterator[Run]:
    # The buckets that start in a range: each bucket belongs to exactly one step.
    for run in clock.runs(timeframe, start, stop):
        before = max(0, -((run.start - start) // run.length))
        first = run.start + before * run.length
        after = min(run.stop, run.start - (run.start - stop) // run.length * run.length)
        if first < after:
            yield Run(first, after, run.length)


def _is_right(
    rolled_up: Ohlcv | None,
    present: StoredCandle | None,
    superseded: Ohlcv | None,
    may_give_way: bool,
) -> bool:
    if superseded is not None:
        gave_way = rolled_up is not None and rollup.proves_forming(rolled_up, superseded)
        is_derived = present is not None and present.kind == DERIVED
        return gave_way and is_derived and _is_near(present, rolled_up)
    if rolled_up is None:
        return present is None or present.kind in (STORED, SETTLED)
    if present is None:
        return False
    if present.kind == STORED:
        return not (may_give_way and rollup.proves_forming(rolled_up, present.values))
    return present.kind == SETTLED or _is_near(present, rolled_up)


def _is_near(present: StoredCandle | None, rolled_up: Ohlcv | None) -> bool:
    # Sums of fractional volumes depend on their order, in the last digits.
    assert present is not None
    assert rolled_up is not None
    near = abs(present.values.volume - rolled_up.volume) <= 1e-9 * max(1.0, rolled_up.volume)
    return near and present.values[:4] == rolled_up[:4]


def repair(
    db: apsw.Connection, mismatches: Sequence[Mismatch], *, rest: Callable[[float], object] = sleep
) -> None:
    """Derive mismatching buckets of one symbol and timeframe, and the candles above them, again.

    `mismatches` must be ascending. Each of the small transactions logs a change for live
    subscribers. `rest` is called after each transaction with its duration, to let other writers in.
    """
    for at in range(0, len(mismatches), REPAIR_BATCH_ROWS):
        for _, group in groupby(mismatches[at : at + REPAIR_BATCH_ROWS], key=_group_key):
            batch = [*group]
            keys = [(mismatch.time, mismatch.extra_s) for mismatch in batch]
            with connection.transaction(db):
                began = monotonic()
                _rederive(db, batch[0].symbol, batch[0].timeframe, keys)
            rest(monotonic() - began)


def _group_key(mismatch: Mismatch) -> int:
    return mismatch.time // (GROUP_BUCKETS * mismatch.timeframe.seconds)


def _rederive(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, keys: Sequence[BucketKey]
) -> None:
    try:
        symbol = symbols.reload(db, symbol)
    except SymbolUnknown:
        return
    times, extras_s = zip(*keys, strict=True)
    spans = derive.merge_spans(timeframe, times, extras_s)
    if timeframe == M1:
        tick_rollup.rederive_minutes(db, symbol, times)
    else:
        materialised_on = symbols.materialised_clocks(db, symbol)
        for clock in [UTC] if timeframe.intraday else materialised_on:
            derive.rederive(db, symbol, timeframe, clock, materialised_on, spans, shrunk=True)
        _drop_baseless(db, symbol, timeframe, keys)
    derive.derive_above(db, symbol, timeframe, spans, shrunk=True)
    symbols.log_change(db, symbol, timeframe, spans)


def _drop_baseless(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, keys: Sequence[BucketKey]
) -> None:
    # Derived candles of buckets that no materialised clock has.
    changes = CandleChanges(symbol.series(timeframe.number))
    times = [time for time, _ in keys]
    wrong = _compare(db, symbol, timeframe, min(times), max(times) + 1)
    present = derive.read_at(db, changes.series, times)
    changes.drop = [key for key in keys if key in wrong and present[key].kind == DERIVED]
    changes.apply(db)


ORPHANS_OF_CANDLES = """
WITH RECURSIVE found (id) AS (
    SELECT MIN(series) / 32 FROM candle
    UNION ALL
    SELECT (SELECT MIN(candle.series) / 32 FROM candle WHERE candle.series >= (found.id + 1) * 32)
    FROM found
    WHERE found.id IS NOT NULL
)
SELECT id
FROM found
WHERE id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM symbol WHERE symbol.id = found.id)
  AND NOT EXISTS (SELECT 1 FROM deleted_symbol WHERE deleted_symbol.id = found.id)
"""
ORPHANS_OF_SUPERSEDED = ORPHANS_OF_CANDLES.replace("candle", "superseded")
ORPHANS_OF_TICKS = """
WITH RECURSIVE found (id) AS (
    SELECT MIN(symbol_id) FROM tick
    UNION ALL
    SELECT (SELECT MIN(tick.symbol_id) FROM tick WHERE tick.symbol_id > found.id)
    FROM found
    WHERE found.id IS NOT NULL
)
SELECT id
FROM found
WHERE id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM symbol WHERE symbol.id = found.id)
  AND NOT EXISTS (SELECT 1 FROM deleted_symbol WHERE deleted_symbol.id = found.id)
"""


def find_orphans(db: apsw.Connection) -> list[int]:
    """Return the ids that have candles or ticks, but neither a symbol nor a deleted symbol."""
    with connection.snapshot(db):
        found = (
            connection.query_all(db, sql)
            for sql in (ORPHANS_OF_CANDLES, ORPHANS_OF_SUPERSEDED, ORPHANS_OF_TICKS)
        )
        return sorted({symbol_id for rows in found for (symbol_id,) in rows})
