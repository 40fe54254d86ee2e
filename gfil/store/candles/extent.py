"""First and last row of a series, and of a symbol's ticks."""

from typing import NamedTuple

import apsw

from gfil.clocks import Bucket
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN


class LastRow(NamedTuple):
    """Time and extra length of the last candle of a series."""

    time: int
    extra_s: int


READ_FIRST_TIME = """
SELECT time
FROM candle
WHERE series = :series
ORDER BY time
LIMIT 1
"""


def read_first_time(db: apsw.Connection, series: int) -> int | None:
    """Return the time of the first candle of a series, or None."""
    first: int | None = connection.query_one(db, READ_FIRST_TIME, {"series": series})
    return first


READ_FIRST_TIME_FROM = """
SELECT time
FROM candle
WHERE series = :series AND time >= :start
ORDER BY time
LIMIT 1
"""


def read_first_time_from(db: apsw.Connection, series: int, start: int) -> int | None:
    """Return the time of the first candle of a series with `time >= start`, or None."""
    bindings = {"series": series, "start": start}
    first: int | None = connection.query_one(db, READ_FIRST_TIME_FROM, bindings)
    return first


READ_LAST_ROW = """
SELECT time, extra_s
FROM candle
WHERE series = :series
ORDER BY time DESC, extra_s DESC
LIMIT 1
"""


def read_last_row(db: apsw.Connection, series: int) -> LastRow | None:
    """Return time and extra length of the last candle of a series, or None."""
    row = connection.query_one(db, READ_LAST_ROW, {"series": series})
    return LastRow(*row) if row else None


READ_LAST_TIME_BEFORE = """
SELECT time
FROM candle
WHERE series = :series AND time < :stop
ORDER BY time DESC
LIMIT 1
"""


def read_last_time_before(db: apsw.Connection, series: int, stop: int) -> int | None:
    """Return the time of the last candle of a series with `time < stop`, or None."""
    bindings = {"series": series, "stop": stop}
    last: int | None = connection.query_one(db, READ_LAST_TIME_BEFORE, bindings)
    return last


def read_extent(db: apsw.Connection, symbol: Symbol) -> Bucket | None:
    """Return the span from the first to the last candle of all materialised timeframes, or None."""
    firsts, stops = [], []
    for timeframe in CHAIN:
        series = symbol.series(timeframe.number)
        first = read_first_time(db, series)
        last = read_last_row(db, series)
        if first is not None and last is not None:
            firsts.append(first)
            stops.append(last.time + timeframe.seconds + last.extra_s)
    return Bucket(min(firsts), max(stops)) if firsts else None


READ_TICK_MSC_FROM = """
SELECT time_msc
FROM tick
WHERE symbol_id = :symbol_id AND time_msc >= :start_msc
ORDER BY time_msc
LIMIT 1 OFFSET :skip
"""


def read_tick_msc_from(
    db: apsw.Connection, symbol: Symbol, start_msc: int, skip: int = 0
) -> int | None:
    """Return the time of the first tick from `start_msc` on, after `skip` others, or None."""
    bindings = {"symbol_id": symbol.id, "start_msc": start_msc, "skip": skip}
    first_msc: int | None = connection.query_one(db, READ_TICK_MSC_FROM, bindings)
    return first_msc


READ_LAST_TICK_MSC = """
SELECT time_msc
FROM tick
WHERE symbol_id = :symbol_id
ORDER BY time_msc DESC
LIMIT 1
"""


def read_last_tick_msc(db: apsw.Connection, symbol: Symbol) -> int | None:
    """Return the time of the newest tick of a symbol, or None."""
    last_msc: int | None = connection.query_one(db, READ_LAST_TICK_MSC, {"symbol_id": symbol.id})
    return last_msc
