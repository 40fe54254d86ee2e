"""Roll up (aggregate) candles on demand, for timeframes and clocks that are not materialised."""

from collections.abc import Sequence
from functools import lru_cache

import apsw

from gfil.clocks import Bucket, Clock
from gfil.store import symbols
from gfil.store.candles import derive, extent, rollup
from gfil.store.candles.derive import StoredCandle
from gfil.store.candles.rollup import BucketKey, Ohlcv, TilePlan
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, DAY, Timeframe, chain_below

Candle = tuple[int, float, float, float, float, float]

CHART_BUCKETS_MAX = 500  # buckets of a window that charts ask for
EXTRA_BUCKETS = 3  # read beyond the limit, so that most answers need one window


def read_rolled_up(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    clock: Clock,
    start: int,
    stop: int,
    limit: int,
    forward: bool,
) -> list[Candle]:
    """Return up to `limit` candles whose time lies in `[start, stop)`, ascending.

    The candles are the oldest of the range if `forward`, else the newest. The range is read in
    windows that start at existing data, so gaps cost nothing.
    """
    materialised_on = symbols.materialised_clocks(db, symbol)
    sources = [symbol.series(source.number) for source in (timeframe, *chain_below(timeframe))]
    found: list[Candle] = []
    wider = 1  # factor on the window: its rows may make no candle, such as days of another clock
    lower, upper = start, clock.bucket(timeframe, stop - 1).stop
    while len(found) < limit and lower < upper:
        first, last = _first_row(db, sources, lower), _last_row(db, sources, upper)
        if first is None or last is None or first > last:
            break
        length_s = _window_s(timeframe, limit - len(found)) * wider
        window = Bucket(
            clock.bucket(timeframe, first if forward else max(first, last - length_s)).start,
            clock.bucket(timeframe, min(last, first + length_s) if forward else last).stop,
        )
        candles = _read_window(db, symbol, timeframe, clock, materialised_on, window)
        inside = [candle for candle in candles if start <= candle[0] < stop]
        wider = 1 if inside else wider * 4
        if forward:
            found, lower = found + inside, window.stop
        else:
            found, upper = inside + found, window.start
    return found[:limit] if forward else found[-limit:]


def _window_s(timeframe: Timeframe, buckets: int) -> int:
    has_weekends = timeframe.seconds <= DAY  # two of seven days have no candles
    return (buckets * (3 if has_weekends else 2) // 2 + EXTRA_BUCKETS) * timeframe.seconds


def _read_window(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    clock: Clock,
    materialised_on: Sequence[Clock],
    window: Bucket,
) -> list[Candle]:
    present = _read_present(db, symbol, timeframe, clock, window)
    if timeframe in CHAIN and clock in materialised_on and not timeframe.intraday:
        return [(key[0], *candle.values) for key, candle in present.items()]
    plan = _plan_cached if _is_chart_window(timeframe, window) else _plan
    rolled_up = rollup.roll_up(
        db, symbol, timeframe, plan(timeframe, clock, tuple(materialised_on), window)
    )
    return [
        (key[0], *_choose(timeframe, key, present.get(key), rolled_up.get(key)))
        for key in sorted(present.keys() | rolled_up.keys())
    ]


def _plan(
    timeframe: Timeframe, clock: Clock, materialised_on: Sequence[Clock], window: Bucket
) -> TilePlan:
    return rollup.plan_tiles(timeframe, clock, materialised_on, clock.runs(timeframe, *window))


def _find_keys(timeframe: Timeframe, clock: Clock, window: Bucket) -> set[BucketKey]:
    return {
        (start, stop - start - timeframe.seconds)
        for start, stop in clock.buckets(timeframe, *window)
    }


# Cached because the next read of a chart, and a chart of another symbol, has the same buckets.
# Computing them takes longer than reading the candles.
_plan_cached = lru_cache(maxsize=32)(_plan)
_find_keys_cached = lru_cache(maxsize=32)(_find_keys)


def _is_chart_window(timeframe: Timeframe, window: Bucket) -> bool:
    return window.stop - window.start <= CHART_BUCKETS_MAX * timeframe.seconds


def _choose(
    timeframe: Timeframe, key: BucketKey, present: StoredCandle | None, rolled_up: Ohlcv | None
) -> Ohlcv:
    if present is not None and _is_materialised(timeframe, key):
        return present.values  # `pick_candle` chose the candle when it was written
    chosen = derive.pick_candle(present.values if present else None, rolled_up)
    assert chosen is not None
    return chosen.values


def _is_materialised(timeframe: Timeframe, key: BucketKey) -> bool:
    # M5 to H1 of a clock that cuts them differently from UTC (H1 on +05:30) are not materialised:
    # the database has only their stored candles.
    time, extra_s = key
    on_utc = extra_s == 0 and time % timeframe.seconds == 0
    return timeframe in CHAIN and (on_utc or not timeframe.intraday)


READ_RANGE = """
SELECT time, extra_s, kind, open, high, low, close, volume
FROM candle
WHERE series = :series AND time >= :start AND time < :stop
ORDER BY time
"""


def _read_present(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, clock: Clock, window: Bucket
) -> dict[BucketKey, StoredCandle]:
    bindings = {"series": symbol.series(timeframe.number), **window._asdict()}
    rows = connection.query_all(db, READ_RANGE, bindings)
    if not rows:
        return {}
    find = _find_keys_cached if _is_chart_window(timeframe, window) else _find_keys
    mine = find(timeframe, clock, window)
    return {
        (time, extra_s): StoredCandle(kind, Ohlcv(*values))
        for time, extra_s, kind, *values in rows
        if (time, extra_s) in mine
    }


def _first_row(db: apsw.Connection, sources: Sequence[int], start: int) -> int | None:
    firsts = [extent.read_first_time_from(db, series, start) for series in sources]
    return min((first for first in firsts if first is not None), default=None)


def _last_row(db: apsw.Connection, sources: Sequence[int], stop: int) -> int | None:
    lasts = [extent.read_last_time_before(db, series, stop) for series in sources]
    return max((last for last in lasts if last is not None), default=None)
