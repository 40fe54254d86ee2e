"""Roll up (aggregate) finer candles into any timeframe and clock, in one query."""

from collections.abc import Iterable, Iterator, Sequence
from math import gcd
from typing import Any, NamedTuple

import apsw
import orjson

from gfil.clocks import UTC, Clock, Run
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import M1, Timeframe, chain_below


class Tile(NamedTuple):
    """A range of base candles to roll up: those of `base_s` seconds with a time in `[start, stop)`.

    They belong to the bucket of `length` seconds that starts at `bucket`, or to consecutive buckets
    of this length from there on. A bucket cut by a clock change may need several tiles.
    """

    start: int
    stop: int
    bucket: int
    length: int
    base_s: int


class Ohlcv(NamedTuple):
    """Open, high, low, close and volume of one bucket."""

    open: float
    high: float
    low: float
    close: float
    volume: float


BucketKey = tuple[int, int]  # (time, extra_s): the key of a candle within its series
Base = tuple[Timeframe, Clock]
TilePlan = dict[Timeframe, list[Tile]]


def bases(timeframe: Timeframe, clock: Clock, materialised_on: Sequence[Clock]) -> list[Base]:
    """Return the bases that may be rolled up into a timeframe on a clock, the coarsest first.

    `materialised_on` are the clocks on which the symbol's H4 and D1 are materialised.
    """
    on_days = [clock] if clock in materialised_on else []
    on_days += [other for other in materialised_on if other != clock]
    return [
        (base, base_clock)
        for base in chain_below(timeframe)
        for base_clock in ([UTC] if base.intraday else on_days)
    ]


def plan_tiles(
    timeframe: Timeframe, clock: Clock, materialised_on: Sequence[Clock], runs: Iterable[Run]
) -> TilePlan:
    """Plan the tiles of every bucket in `runs`, each from the coarsest base that fits it."""
    plan: TilePlan = {}
    candidates = bases(timeframe, clock, materialised_on)
    for run in runs:
        for base, tiles in _plan_run(run, candidates):
            plan.setdefault(base, []).extend(tiles)
    return plan


def _plan_run(run: Run, candidates: Sequence[Base]) -> Iterator[tuple[Timeframe, list[Tile]]]:
    single = run.stop - run.start == run.length
    for base, clock in candidates:
        cuts = list(clock.runs(base, run.start, run.stop))
        if len(cuts) > 1 and not single:  # the base's clock changes here: some buckets may fit
            if not _may_fit(run, base, clock):
                continue
            for start in range(run.start, run.stop, run.length):
                yield from _plan_run(Run(start, start + run.length, run.length), candidates)
            return
        fits = cuts[0].start == run.start and cuts[-1].stop == run.stop
        if fits and (single or run.length % cuts[0].length == 0):
            bucket, length = run.start, run.length
            yield base, [Tile(cut.start, cut.stop, bucket, length, cut.length) for cut in cuts]
            return


def _may_fit(run: Run, base: Timeframe, clock: Clock) -> bool:
    # Both kinds of bucket start at the same wall time every `step` seconds.
    step = gcd(run.length, base.seconds)
    return any(
        (run.start + segment.offset) % step == 0 or (segment.start - run.start) % run.length == 0
        for segment in clock.segments(run.start, run.stop)
    )


CLEAR_TILES = "DELETE FROM temp.tile"
# Tiles go into a temporary table, because SQLite groups by its key without sorting. Grouping by a
# column of a common table expression sorts every base candle, which takes as long as reading them.
LOAD_TILES = """
INSERT INTO temp.tile (start, stop, bucket, length, base_s)
WITH RECURSIVE placed (start, stop, bucket, length, base_s, last) AS (
    SELECT value ->> 0, MIN(value ->> 1, (value ->> 2) + (value ->> 3)),
           value ->> 2, value ->> 3, value ->> 4, value ->> 1
    FROM json_each(:tiles)
    UNION ALL
    SELECT bucket + length, MIN(last, bucket + 2 * length), bucket + length, length, base_s, last
    FROM placed
    WHERE bucket + length < last
)
SELECT start, stop, bucket, length, base_s
FROM placed
"""

# A tick needs one tile of one bucket: it goes into the statement instead of the table.
ONE_TILE = """(
        SELECT :start AS start, :stop AS stop, :bucket AS bucket, :length AS length,
               :tile_base_s AS base_s
    )"""

# `part` rolls up each tile with GROUP BY, three times as fast as window functions. A series
# may have candles of several clocks (is_mixed): only those on the tile's grid count. A tile that is
# a whole bucket is then finished. Windows combine the tiles of a bucket that a clock change cuts.
ROLL_UP = """
WITH part AS (
    SELECT tile.bucket, tile.length, tile.start, tile.stop, tile.base_s,
           MAX(candle.high) AS high, MIN(candle.low) AS low, SUM(candle.volume) AS volume
    FROM temp.tile
    CROSS JOIN candle
    ON candle.series = :series AND candle.time >= tile.start AND candle.time < tile.stop
       AND candle.extra_s = tile.base_s - :base_s
       AND (NOT :is_mixed OR (candle.time - tile.start) % tile.base_s = 0)
    GROUP BY tile.start
),
tile_candle AS (
    SELECT part.bucket, part.length, part.start, part.stop - part.start = part.length AS is_whole,
           (
               SELECT candle.open
               FROM candle
               WHERE candle.series = :series
                 AND candle.time >= part.start AND candle.time < part.stop
                 AND candle.extra_s = part.base_s - :base_s
                 AND (NOT :is_mixed OR (candle.time - part.start) % part.base_s = 0)
               ORDER BY candle.time
               LIMIT 1
           ) AS open,
           part.high,
           part.low,
           (
               SELECT candle.close
               FROM candle
               WHERE candle.series = :series
                 AND candle.time >= part.start AND candle.time < part.stop
                 AND candle.extra_s = part.base_s - :base_s
                 AND (NOT :is_mixed OR (candle.time - part.start) % part.base_s = 0)
               ORDER BY candle.time DESC
               LIMIT 1
           ) AS close,
           part.volume
    FROM part
)
SELECT bucket AS time, length - :target_s AS extra_s, open, high, low, close, volume
FROM tile_candle
WHERE is_whole
UNION ALL
SELECT DISTINCT
    bucket,
    length - :target_s,
    FIRST_VALUE(open) OVER parts,
    MAX(high)         OVER parts,
    MIN(low)          OVER parts,
    LAST_VALUE(close) OVER parts,
    SUM(volume)       OVER parts
FROM tile_candle
WHERE NOT is_whole
WINDOW parts AS (
    PARTITION BY bucket
    ORDER BY start
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
)
"""


def roll_up(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, plan: TilePlan
) -> dict[BucketKey, Ohlcv]:
    """Roll up base candles into a timeframe by a plan; buckets without base candles are absent."""
    rolled_up: dict[BucketKey, Ohlcv] = {}
    for base, tiles in plan.items():
        load_tiles(db, tiles)
        for time, extra_s, *values in connection.query_all(
            db, ROLL_UP, _bind(symbol, timeframe, base)
        ):
            rolled_up[time, extra_s] = Ohlcv(*values)
    return rolled_up


DERIVE = f"""
INSERT INTO candle (time, extra_s, open, high, low, close, volume, series, kind)
SELECT rolled_up.*, :target, 0
FROM ({ROLL_UP}) AS rolled_up
WHERE TRUE
ON CONFLICT (series, time, extra_s) DO UPDATE
SET open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume
WHERE kind = 0
"""  # noqa: S608 (one constant inside another)
DERIVE_ONE = DERIVE.replace("temp.tile", f"{ONE_TILE} AS tile")


def derive_candles(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, plan: TilePlan
) -> None:
    """Roll up base candles by a plan and store the result; stored and settled candles stay."""
    target = {"target": symbol.series(timeframe.number)}
    for base, tiles in plan.items():
        bindings = _bind(symbol, timeframe, base) | target
        if len(tiles) == 1 and tiles[0].length >= tiles[0].stop - tiles[0].start:
            start, stop, bucket, length, base_s = tiles[0]
            one = {"start": start, "stop": stop, "bucket": bucket, "length": length}
            db.execute(DERIVE_ONE, bindings | one | {"tile_base_s": base_s})
        else:
            load_tiles(db, tiles)
            db.execute(DERIVE, bindings)


def load_tiles(db: apsw.Connection, tiles: list[Tile]) -> None:
    """Replace the content of `temp.tile` with tiles, one row for each bucket."""
    db.execute(CLEAR_TILES)
    db.execute(LOAD_TILES, {"tiles": orjson.dumps(tiles, default=tuple).decode()})


def _bind(symbol: Symbol, timeframe: Timeframe, base: Timeframe) -> dict[str, Any]:
    return {
        "series": symbol.series(base.number),
        "base_s": base.seconds,
        "target_s": timeframe.seconds,
        "is_mixed": base != M1,  # an M1 is the same minute on every clock
    }


def is_same(one: Ohlcv, other: Ohlcv | None) -> bool:
    """Return whether two candles are equal: exact prices, fractional volumes within 1e-9."""
    if other is None or one[:4] != other[:4]:
        return False
    near = abs(one.volume - other.volume) <= 1e-9
    return one.volume == other.volume or (near and not one.volume.is_integer())


def proves_forming(fuller: Ohlcv, candle: Ohlcv) -> bool:
    """Return whether a fuller candle of the same bucket proves `candle` was saved while forming.

    The fuller candle proves it with the same open, a range at least as wide, and a volume greater
    by more than 1e-9 of the other. If a volume is missing, the range must be strictly wider.
    """
    if fuller.open != candle.open or fuller.high < candle.high or fuller.low > candle.low:
        return False
    if fuller.volume > 0 and candle.volume > 0:
        return fuller.volume - candle.volume > 1e-9 * candle.volume
    return fuller.high > candle.high or fuller.low < candle.low
