"""Read candles of any timeframe and clock, materialised or rolled up on demand."""

from typing import NamedTuple

import apsw

from gfil.clocks import TIME_MAX, TIME_MIN, UTC, Clock
from gfil.store.candles import extent, rollup_on_demand
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, Timeframe


class CandleSlice(NamedTuple):
    """Candles in ascending order.

    `next` is the time of the first candle of the following page (forward), or the exclusive end of
    it (backward); None if there are no more candles.
    """

    candles: list[tuple[int, float, float, float, float, float]]
    next: int | None


# Materialised candles are the hot path: one query and no Python for each candle.
READ_NEWEST = """
SELECT time, open, high, low, close, volume
FROM candle
WHERE series = :series AND time < :stop AND time >= :start AND extra_s = 0 AND time % :seconds = 0
ORDER BY time DESC
LIMIT :limit
"""
READ_OLDEST = """
SELECT time, open, high, low, close, volume
FROM candle
WHERE series = :series AND time >= :start AND time < :stop AND extra_s = 0 AND time % :seconds = 0
ORDER BY time
LIMIT :limit
"""


def read_candles(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    clock: Clock,
    start: int | None = None,
    stop: int | None = None,
    limit: int = 500,
) -> CandleSlice:
    """Return up to `limit` candles whose time lies in `[start, stop)`, each from its full bucket.

    With `start` the oldest of them, without it the newest. Use one `transaction.snapshot` for
    several reads that must agree.
    """
    forward = start is not None
    # No candle lies outside these limits: they bound the arithmetic, not the answer.
    first = TIME_MIN if start is None else min(max(start, TIME_MIN), TIME_MAX)
    last = TIME_MAX if stop is None else min(max(stop, TIME_MIN), TIME_MAX)
    if is_materialised_on_utc(db, symbol, timeframe, clock):
        bindings = {"series": symbol.series(timeframe.number), "seconds": timeframe.seconds}
        bindings |= {"start": first, "stop": last, "limit": limit + 1}
        found = connection.query_all(db, READ_OLDEST if forward else READ_NEWEST, bindings)
        if not forward:
            found.reverse()
    else:
        found = rollup_on_demand.read_rolled_up(
            db, symbol, timeframe, clock, first, last, limit + 1, forward
        )
    if len(found) <= limit:
        return CandleSlice(found, None)
    return CandleSlice(found[:-1], found[-1][0]) if forward else CandleSlice(found[1:], found[1][0])


def is_materialised_on_utc(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, clock: Clock
) -> bool:
    """Return whether the candles are materialised in UTC's buckets, so that a read is one query."""
    if timeframe not in CHAIN or clock == UTC:
        return timeframe in CHAIN
    if not timeframe.intraday:
        return False
    first = extent.read_first_time(db, symbol.series(timeframe.number))
    return clock.cuts_like_utc(timeframe, TIME_MAX if first is None else first)
