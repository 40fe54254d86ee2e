"""Candles that are not kept as such: rolled up when asked for, bucket by bucket."""

from collections.abc import Sequence
from functools import lru_cache

import apsw

from gfil.clocks import Bucket, Clock
from gfil.store import symbols
from gfil.store.candles import derive, rollup
from gfil.store.candles.derive import StoredCandle
from gfil.store.candles.rollup import BucketKey, Ohlcv, TilePlan
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, DAY, Timeframe, chain_below

Candle = tuple[int, float, float, float, float, float]

CHART_BUCKETS = 500  # at most are looked at for a chart
SPARE_BUCKETS = 3  # looked at beyond those asked for, so that most answers need one round


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

    They are the oldest of the range if `forward`, else the newest. The range is walked in windows
    that begin where there is data, so holes cost nothing.
    """
    kept = symbols.kept_clocks(db, symbol)
    sources = [symbol.series(source.number) for source in (timeframe, *chain_below(timeframe))]
    found: list[Candle] = []
    wider = 1  # rows that make none of these candles: days of another clock, say
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
        candles = _read_window(db, symbol, timeframe, clock, kept, window)
        inside = [candle for candle in candles if start <= candle[0] < stop]
        wider = 1 if inside else wider * 4
        if forward:
            found, lower = found + inside, window.stop
        else:
            found, upper = inside + found, window.start
    return found[:limit] if forward else found[-limit:]


def _window_s(timeframe: Timeframe, buckets: int) -> int:
    closed = timeframe.seconds <= DAY  # week-ends: two days of seven without candles
    return (buckets * (3 if closed else 2) // 2 + SPARE_BUCKETS) * timeframe.seconds


def _read_window(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    clock: Clock,
    kept: Sequence[Clock],
    window: Bucket,
) -> list[Candle]:
    present = _read_present(db, symbol, timeframe, clock, window)
    if timeframe in CHAIN and clock in kept and not timeframe.intraday:
        return [(key[0], *candle.values) for key, candle in present.items()]
    lay = _lay_again if _is_charts(timeframe, window) else _lay
    folds = rollup.roll_up(db, symbol, timeframe, lay(timeframe, clock, tuple(kept), window))
    return [
        (key[0], *_choose(timeframe, key, present.get(key), folds.get(key)))
        for key in sorted(present.keys() | folds.keys())
    ]


def _lay(timeframe: Timeframe, clock: Clock, kept: Sequence[Clock], window: Bucket) -> TilePlan:
    return rollup.plan_tiles(timeframe, clock, kept, clock.runs(timeframe, *window))


def _find_keys(timeframe: Timeframe, clock: Clock, window: Bucket) -> set[BucketKey]:
    return {
        (start, stop - start - timeframe.seconds)
        for start, stop in clock.buckets(timeframe, *window)
    }


# A chart that is drawn again, and one of another symbol, has the same buckets: to find them takes
# longer than to read the candles.
_lay_again = lru_cache(maxsize=32)(_lay)
_find_keys_again = lru_cache(maxsize=32)(_find_keys)


def _is_charts(timeframe: Timeframe, window: Bucket) -> bool:
    return window.stop - window.start <= CHART_BUCKETS * timeframe.seconds


def _choose(
    timeframe: Timeframe, key: BucketKey, present: StoredCandle | None, fold: Ohlcv | None
) -> Ohlcv:
    if present is not None and _is_kept(timeframe, key):
        return present.values  # decided when it was written
    chosen = derive.pick_candle(present.values if present else None, fold)
    assert chosen is not None
    return chosen.values


def _is_kept(timeframe: Timeframe, key: BucketKey) -> bool:
    # M5 to H1 of a clock that cuts them otherwise than UTC (H1 on +05:30) do not follow their base
    # in the database: nothing is kept for them but what somebody has stored.
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
    find = _find_keys_again if _is_charts(timeframe, window) else _find_keys
    mine = find(timeframe, clock, window)
    return {
        (time, extra_s): StoredCandle(kind, Ohlcv(*values))
        for time, extra_s, kind, *values in rows
        if (time, extra_s) in mine
    }


LAST_ROW = (
    "SELECT time FROM candle WHERE series = :series AND time < :time ORDER BY time DESC LIMIT 1"
)


def _first_row(db: apsw.Connection, sources: Sequence[int], time: int) -> int | None:
    firsts = [derive.read_first_time(db, series, time) for series in sources]
    return min((first for first in firsts if first is not None), default=None)


def _last_row(db: apsw.Connection, sources: Sequence[int], time: int) -> int | None:
    lasts = [
        connection.query_one(db, LAST_ROW, {"series": series, "time": time}) for series in sources
    ]
    return max((last for last in lasts if last is not None), default=None)
