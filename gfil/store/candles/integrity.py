"""The laws of the data, checked piece by piece: above all, each derived candle against its base."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from time import monotonic, sleep
from typing import NamedTuple

import apsw

from gfil.clocks import TIME_MIN, UTC, Clock, Run, format_instant
from gfil.errors import GfilError, SymbolUnknown
from gfil.store import symbols
from gfil.store.candles import derive, expected_minutes, rollup, ticks
from gfil.store.candles.derive import DERIVED, SETTLED, STORED, CandleChanges, StoredCandle
from gfil.store.candles.rollup import BucketKey, Ohlcv
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, DAY, M1, Timeframe

DAY_MAX_S = 2 * DAY  # no bucket of the chain is longer, whatever its clock does
STEP_S = {"M1": DAY, "H4": 364 * DAY, "D1": 2 * 364 * DAY}
STEP_USUAL_S = 28 * DAY
REPAIRED_AT_ONCE = 200
NEAR_BUCKETS = 1000  # between the first and the last that one transaction derives again
SEVERAL = 5  # complaints of one table; more say nothing new


class Unsound(GfilError):
    """A database that is damaged, or breaks a law of the data."""

    type = "unsound"
    title = "Unsound"


class Mismatch(NamedTuple):
    """A bucket of a kept timeframe that does not show what its base makes of it."""

    symbol: Symbol
    timeframe: Timeframe
    time: int
    extra_s: int

    def describe(self) -> str:
        """Return its name for a person."""
        return f"{self.symbol.name} {self.timeframe.name} {format_instant(self.time)}"


def find_damage(db: apsw.Connection, *, quick: bool = False) -> list[str]:
    """Return what SQLite finds wrong with the file, page by page; nothing where it is sound.

    One read, for as long as it takes to read the whole file. `quick` compares no indexes.
    """
    try:
        found = db.pragma("quick_check" if quick else "integrity_check", SEVERAL)
        foreign = db.pragma("foreign_key_check")
    except apsw.CorruptError as error:
        return [str(error)]
    complaints = found if isinstance(found, list) else [found]
    faults = [line for text in complaints for line in text.splitlines() if line != "ok"]
    return [*faults[:SEVERAL], *(["a row belongs to no symbol"] if foreign else [])]


def check(db: apsw.Connection) -> None:
    """Check a whole database that nobody writes to.

    Raises:
        Unsound: it is damaged, or not every derived candle is what its base makes it.
    """
    if faults := find_damage(db):
        raise Unsound(f"damaged: {faults[0]}")
    if orphans := find_orphans(db):
        raise Unsound(f"there are rows of {len(orphans)} symbols that are none")
    for symbol in symbols.list_symbols(db):
        for wrong in find_mismatches(db, symbol):
            raise Unsound(f"{wrong.describe()} is not what its base makes it")


def find_mismatches(
    db: apsw.Connection, symbol: Symbol, since: int = TIME_MIN
) -> Iterator[Mismatch]:
    """Yield each kept bucket of a symbol, from an instant on, that is not what its base makes it.

    Every piece is a short read of its own, also while the caller takes its time: `db` must be in no
    transaction, then. Of a symbol that is deleted meanwhile nothing is wrong.
    """
    for timeframe in CHAIN:
        step, start = STEP_S.get(timeframe.name, STEP_USUAL_S), since
        while (first := _first(db, symbol, timeframe, start)) is not None:
            start = max(start, first - DAY_MAX_S)
            with connection.snapshot(db):
                keys = _compare(db, symbol, timeframe, start, start + step)
            yield from (Mismatch(symbol, timeframe, *key) for key in sorted(keys))
            start += step


FIRST_TICK = """
SELECT time_msc / 1000 FROM tick
WHERE symbol_id = :id AND time_msc >= :since_msc
ORDER BY time_msc
LIMIT 1
"""


def _first(db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, since: int) -> int | None:
    # A bucket that should be there and is not has a base all the same.
    firsts = [
        connection.query_one(
            db, expected_minutes.NEXT, {"series": symbol.series(each.number), "since": since}
        )
        for each in CHAIN
        if each.seconds <= timeframe.seconds
    ]
    if timeframe == M1:
        bindings = {"id": symbol.id, "since_msc": max(since, 0) * 1000}
        firsts.append(connection.query_one(db, FIRST_TICK, bindings))
    return min((first for first in firsts if first is not None), default=None)


READ_DERIVED = """
SELECT time, extra_s, open, high, low, close, volume
FROM candle
WHERE series = :series AND time >= :start AND time < :stop AND kind = 0
"""
READ_HELD = """
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
    # Whole dictionaries at once: nearly always they are equal, and that is all there is to know.
    try:
        symbol = symbols.reload(db, symbol)
    except SymbolUnknown:
        return set()
    span = {"series": symbol.series(timeframe.number), "start": start, "stop": stop}
    folds = _fold(db, symbol, timeframe, start, stop)
    derived = _read(db, READ_DERIVED, span)
    spare = _read(db, READ_SUPERSEDED, span)
    if folds == derived and not spare:
        return set()
    kept = {key: StoredCandle(DERIVED, fold) for key, fold in derived.items()}
    for time, extra_s, kind, *values in connection.query_all(db, READ_HELD, span):
        kept[time, extra_s] = StoredCandle(kind, Ohlcv(*values))
    suspects = {key for key, _ in folds.items() ^ derived.items()} | spare.keys()
    may_yield = suspects
    if timeframe == M1:
        may_yield = {
            (time, 0) for time in ticks.provisional_at(db, symbol, [key[0] for key in suspects])
        }
    return {
        key
        for key in suspects
        if not _is_right(folds.get(key), kept.get(key), spare.get(key), key in may_yield)
    }


def _read(db: apsw.Connection, sql: str, span: dict[str, int]) -> dict[BucketKey, Ohlcv]:
    rows = connection.query_all(db, sql, span)
    return {(time, extra_s): Ohlcv(*values) for time, extra_s, *values in rows}


def _fold(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, start: int, stop: int
) -> dict[BucketKey, Ohlcv]:
    if timeframe == M1:
        bounds = max(start, 0) * 1000, max(stop, 0) * 1000
        minutes = ticks.list_minutes(db, symbol, *bounds)
        return {(time, 0): fold for time, fold in ticks.fold_ticks(db, symbol, minutes).items()}
    kept = symbols.kept_clocks(db, symbol)
    folds: dict[BucketKey, Ohlcv] = {}
    for clock in [UTC] if timeframe.intraday else kept:
        runs = [*_starting(clock, timeframe, start, stop)]
        laid = rollup.plan_tiles(timeframe, clock, kept, runs)
        folds |= rollup.roll_up(db, symbol, timeframe, laid)
    return folds


def _starting(clock: Clock, timeframe: Timeframe, start: int, stop: int) -> Iterator[Run]:
    # The buckets that start in a range: so each is in one piece and no other.
    for run in clock.runs(timeframe, start, stop):
        before = max(0, -((run.start - start) // run.length))
        first = run.start + before * run.length
        after = min(run.stop, run.start - (run.start - stop) // run.length * run.length)
        if first < after:
            yield Run(first, after, run.length)


def _is_right(
    fold: Ohlcv | None, kept: StoredCandle | None, spare: Ohlcv | None, may_yield: bool
) -> bool:
    if spare is not None:
        gave_way = fold is not None and rollup.proves_forming(fold, spare)
        return gave_way and kept is not None and kept.kind == DERIVED and _is_near(kept, fold)
    if fold is None:
        return kept is None or kept.kind in (STORED, SETTLED)
    if kept is None:
        return False
    if kept.kind == STORED:
        return not (may_yield and rollup.proves_forming(fold, kept.values))
    return kept.kind == SETTLED or _is_near(kept, fold)


def _is_near(kept: StoredCandle, fold: Ohlcv | None) -> bool:
    # Sums of volumes that are not whole depend on their order, in the last digits.
    assert fold is not None
    near = abs(kept.values.volume - fold.volume) <= 1e-9 * max(1.0, fold.volume)
    return near and kept.values[:4] == fold[:4]


def repair(
    db: apsw.Connection, wrongs: Sequence[Mismatch], *, rest: Callable[[float], object] = sleep
) -> None:
    """Derive wrong buckets of one symbol and timeframe again, and all that is kept above them.

    `wrongs` are ascending. In small transactions, each a change that those who follow live are
    told; between them it rests for as long as they take.
    """
    for at in range(0, len(wrongs), REPAIRED_AT_ONCE):
        for _, near in groupby(wrongs[at : at + REPAIRED_AT_ONCE], key=_place):
            some = [*near]
            keys = [(wrong.time, wrong.extra_s) for wrong in some]
            with connection.transaction(db):
                began = monotonic()
                _derive_again(db, some[0].symbol, some[0].timeframe, keys)
            rest(monotonic() - began)


def _place(wrong: Mismatch) -> int:
    return wrong.time // (NEAR_BUCKETS * wrong.timeframe.seconds)


def _derive_again(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, keys: Sequence[BucketKey]
) -> None:
    try:
        symbol = symbols.reload(db, symbol)
    except SymbolUnknown:
        return
    times, extras_s = zip(*keys, strict=True)
    spans = derive.merge_spans(timeframe, times, extras_s)
    if timeframe == M1:
        ticks.rederive_minutes(db, symbol, times)
    else:
        kept = symbols.kept_clocks(db, symbol)
        for clock in [UTC] if timeframe.intraday else kept:
            derive.rederive(db, symbol, timeframe, clock, kept, spans, shrunk=True)
        _drop_baseless(db, symbol, timeframe, keys)
    derive.derive_above(db, symbol, timeframe, spans, shrunk=True)
    symbols.log_change(db, symbol, timeframe, spans)


def _drop_baseless(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, keys: Sequence[BucketKey]
) -> None:
    # Of buckets that no kept clock has: nothing derives them.
    edits = CandleChanges(symbol.series(timeframe.number))
    times = [time for time, _ in keys]
    wrong = _compare(db, symbol, timeframe, min(times), max(times) + 1)
    present = derive.read_at(db, edits.series, times)
    edits.drop = [key for key in keys if key in wrong and present[key].kind == DERIVED]
    edits.apply(db)


ORPHANS_OF_CANDLES = """
WITH RECURSIVE held (id) AS (
    SELECT MIN(series) / 32 FROM candle
    UNION ALL
    SELECT (SELECT MIN(candle.series) / 32 FROM candle WHERE candle.series >= (held.id + 1) * 32)
    FROM held
    WHERE held.id IS NOT NULL
)
SELECT id
FROM held
WHERE id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM symbol WHERE symbol.id = held.id)
  AND NOT EXISTS (SELECT 1 FROM deleted_symbol WHERE deleted_symbol.id = held.id)
"""
ORPHANS_OF_SUPERSEDED = ORPHANS_OF_CANDLES.replace("candle", "superseded")
ORPHANS_OF_TICKS = """
WITH RECURSIVE held (id) AS (
    SELECT MIN(symbol_id) FROM tick
    UNION ALL
    SELECT (SELECT MIN(tick.symbol_id) FROM tick WHERE tick.symbol_id > held.id)
    FROM held
    WHERE held.id IS NOT NULL
)
SELECT id
FROM held
WHERE id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM symbol WHERE symbol.id = held.id)
  AND NOT EXISTS (SELECT 1 FROM deleted_symbol WHERE deleted_symbol.id = held.id)
"""


def find_orphans(db: apsw.Connection) -> list[int]:
    """Return the ids of which there are candles or ticks, but no symbol and no deleted one."""
    with connection.snapshot(db):
        found = (
            connection.query_all(db, sql)
            for sql in (ORPHANS_OF_CANDLES, ORPHANS_OF_SUPERSEDED, ORPHANS_OF_TICKS)
        )
        return sorted({symbol_id for rows in found for (symbol_id,) in rows})
