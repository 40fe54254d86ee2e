"""The one derivation: candles of any timeframe and clock from finer ones, in one query."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apsw
import orjson

from gfil.clocks import UTC, Clock, Run
from gfil.store import db as store
from gfil.store.symbols import Symbol
from gfil.timeframes import Timeframe, chain_below


class Tile(NamedTuple):
    """Base candles to fold: those of `base_s` seconds that lie gapless on `[start, stop)`.

    They belong to the bucket of `length` seconds that starts at `bucket`, or to those that follow
    it one after another. A bucket cut by a clock change may need several tiles.
    """

    start: int
    stop: int
    bucket: int
    length: int
    base_s: int


class Fold(NamedTuple):
    """What the base says of one bucket."""

    open: float
    high: float
    low: float
    close: float
    volume: float


Key = tuple[int, int]  # (time, stretch): what tells the candles of one series apart
Base = tuple[Timeframe, Clock]
Laid = dict[Timeframe, list[Tile]]


def bases(timeframe: Timeframe, clock: Clock, kept: Sequence[Clock]) -> list[Base]:
    """Return what could be folded into a timeframe on a clock, the coarsest first.

    `kept` are the clocks on which the symbol's H4 and D1 are kept.
    """
    on_days = [clock] if clock in kept else []
    on_days += [other for other in kept if other != clock]
    return [
        (base, base_clock)
        for base in chain_below(timeframe)
        for base_clock in ([UTC] if base.intraday else on_days)
    ]


def lay_tiles(
    timeframe: Timeframe, clock: Clock, kept: Sequence[Clock], runs: Iterable[Run]
) -> Laid:
    """Tile every bucket of some runs, each from the coarsest base that fits it."""
    laid: Laid = {}
    candidates = bases(timeframe, clock, kept)
    for run in runs:
        for base, tiles in _lay_run(run, candidates):
            laid.setdefault(base, []).extend(tiles)
    return laid


def _lay_run(run: Run, candidates: Sequence[Base]) -> Iterator[tuple[Timeframe, list[Tile]]]:
    single = run.stop - run.start == run.length
    for base, clock in candidates:
        cuts = list(clock.runs(base, run.start, run.stop))
        if len(cuts) > 1 and not single:  # the base's clock changes here: some buckets may not fit
            for start in range(run.start, run.stop, run.length):
                yield from _lay_run(Run(start, start + run.length, run.length), candidates)
            return
        fits = cuts[0].start == run.start and cuts[-1].stop == run.stop
        if fits and (single or run.length % cuts[0].length == 0):
            bucket, length = run.start, run.length
            yield base, [Tile(cut.start, cut.stop, bucket, length, cut.length) for cut in cuts]
            return


# Two steps, because a window costs 1 µs a row and a group 0.3: first each tile is folded, which
# leaves hardly more than a row for each bucket, then the tiles of a bucket are put together.
# json_each is materialized, or its arrows are parsed again for every base candle.
ROLL_UP = """
WITH tile AS MATERIALIZED (
    SELECT value ->> 0 AS start, value ->> 1 AS stop, value ->> 2 AS bucket,
           value ->> 3 AS length, value ->> 4 AS base_s
    FROM json_each(:tiles)
),
part AS (
    SELECT tile.bucket + (candle.time - tile.bucket) / tile.length * tile.length AS time,
           tile.length, tile.base_s - :base_s AS stretch,
           MIN(candle.time) AS first, MAX(candle.time) AS last,
           MAX(candle.high) AS high, MIN(candle.low) AS low, SUM(candle.volume) AS volume
    FROM tile
    CROSS JOIN candle
    ON candle.series = :series AND candle.time >= tile.start AND candle.time < tile.stop
       AND candle.stretch = tile.base_s - :base_s AND (candle.time - tile.start) % tile.base_s = 0
    GROUP BY 1, tile.start
)
SELECT DISTINCT
    part.time,
    part.length - :target_s AS stretch,
    FIRST_VALUE(opening.open) OVER bucket AS open,
    MAX(part.high)            OVER bucket AS high,
    MIN(part.low)             OVER bucket AS low,
    LAST_VALUE(closing.close) OVER bucket AS close,
    SUM(part.volume)          OVER bucket AS volume
FROM part
CROSS JOIN candle AS opening
ON opening.series = :series AND opening.time = part.first AND opening.stretch = part.stretch
CROSS JOIN candle AS closing
ON closing.series = :series AND closing.time = part.last AND closing.stretch = part.stretch
WINDOW bucket AS (
    PARTITION BY part.time
    ORDER BY part.first
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
)
"""


def roll_up(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, laid: Laid
) -> dict[Key, Fold]:
    """Fold tiled base candles into candles of a timeframe; buckets without any are left out."""
    folds: dict[Key, Fold] = {}
    for base, tiles in laid.items():
        rows = store.query(db, ROLL_UP, _bind(symbol, timeframe, base, tiles))
        for time, stretch, *values in rows:
            folds[time, stretch] = Fold(*values)
    return folds


DERIVE = f"""
INSERT INTO candle (time, stretch, open, high, low, close, volume, series, kind)
SELECT rolled_up.*, :target, 0
FROM ({ROLL_UP}) AS rolled_up
WHERE TRUE
ON CONFLICT (series, time, stretch) DO UPDATE
SET open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume
WHERE kind = 0
"""  # noqa: S608 (one constant inside another)


def derive(db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, laid: Laid) -> None:
    """Fold tiled base candles and keep what comes out; stored and settled candles stay."""
    for base, tiles in laid.items():
        target = {"target": symbol.series(timeframe.number)}
        db.execute(DERIVE, _bind(symbol, timeframe, base, tiles) | target)


def _bind(
    symbol: Symbol, timeframe: Timeframe, base: Timeframe, tiles: list[Tile]
) -> dict[str, Any]:
    return {
        "tiles": orjson.dumps(tiles, default=tuple).decode(),
        "series": symbol.series(base.number),
        "base_s": base.seconds,
        "target_s": timeframe.seconds,
    }


def proves_forming(fuller: Fold, candle: Fold) -> bool:
    """Say whether a fuller candle of the same bucket proves that `candle` was saved while forming.

    Same open, a range at least as wide, and more volume by over 1e-9 of it; where either has no
    volume, a strictly wider range.
    """
    if fuller.open != candle.open or fuller.high < candle.high or fuller.low > candle.low:
        return False
    if fuller.volume > 0 and candle.volume > 0:
        return fuller.volume - candle.volume > 1e-9 * candle.volume
    return fuller.high > candle.high or fuller.low < candle.low
