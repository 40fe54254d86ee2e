"""What is held where rows of a file belong: stored candles, derived ones, minutes below them."""

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

import apsw

from gfil.clocks import Clock
from gfil.store.candles import derive, read
from gfil.store.candles.derive import DERIVED, StoredCandle
from gfil.store.candles.rollup import BucketKey, Ohlcv
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import M1, Timeframe

SPARSE = 4  # times as many buckets as rows: then each row's own is looked up
PAGE = 5000  # candles read at once

Values = tuple[int, int, float, float, float, float, float]
"""A candle as the columns of `Rows`, one of each."""

READ_STORED = """
SELECT time, extra_s, open, high, low, close, volume
FROM candle
WHERE series = :series AND time >= :first AND time <= :last AND kind > 0
"""
READ_DERIVED = READ_STORED.replace("kind > 0", "kind = 0")


Near = dict[int, Values]
"""Candles by their time; of several that start at once only one."""


def read_near(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, rows: CandleColumns
) -> tuple[Near, Near]:
    """Return the stored candles in the buckets of some rows, and the derived ones; others too."""
    first, last = min(rows.time), max(rows.time)
    series = symbol.series(timeframe.number)
    if last - first <= SPARSE * timeframe.seconds * len(rows.time):
        span = {"series": series, "first": first, "last": last}
        stored = {row[0]: row for row in connection.query_all(db, READ_STORED, span)}
        if timeframe == M1:
            return stored, {}
        return stored, {row[0]: row for row in connection.query_all(db, READ_DERIVED, span)}
    near: tuple[Near, Near] = {}, {}
    for (time, extra_s), (kind, values) in derive.read_at(db, series, rows.time).items():
        near[kind == DERIVED][time] = (time, extra_s, *values)
    return near


def read_all(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, times: Sequence[int]
) -> tuple[dict[BucketKey, StoredCandle], dict[BucketKey, Ohlcv]]:
    """Return the candles that start at given times, and the stored ones that gave way."""
    series = symbol.series(timeframe.number)
    return derive.read_at(db, series, times), derive.read_superseded_at(db, series, times)


HOLDS_MINUTES = """
SELECT wanted.value
FROM carray(:times) AS wanted
WHERE EXISTS (
    SELECT 1 FROM candle
    WHERE series = :series AND time >= wanted.value AND time < wanted.value + :length
)
"""


def find_covered(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    keys: Iterable[BucketKey],
    edges: Sequence[int],
) -> set[BucketKey]:
    """Return which buckets hold M1 and are whole: none of the edges lies inside them."""
    by_stretch: dict[int, list[int]] = defaultdict(list)
    for time, extra_s in keys:
        by_stretch[extra_s].append(time)  # none is empty: carray takes no empty array
    covered: set[BucketKey] = set()
    for extra_s, times in by_stretch.items():
        length = timeframe.seconds + extra_s
        bindings = {
            "series": symbol.series(M1.number),
            "length": length,
            "times": apsw.carray(array("q", times)),
        }
        covered.update(
            (time, extra_s) for (time,) in connection.query_all(db, HOLDS_MINUTES, bindings)
        )
        times.sort()
        for edge in edges:
            inside = times[bisect_right(times, edge - length) : bisect_right(times, edge)]
            covered.difference_update((time, extra_s) for time in inside)
    return covered


def read_first_minute(db: apsw.Connection, symbol: Symbol) -> int | None:
    """Return when the first M1 of a symbol starts, None where it has none."""
    first: int | None = connection.query_one(db, derive.FIRST, {"series": symbol.series(M1.number)})
    return first


def read_shown(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, clock: Clock, times: set[int]
) -> dict[int, Ohlcv]:
    """Return what charts show of a timeframe at given times, kept or rolled up."""
    shown: dict[int, Ohlcv] = {}
    start: int | None = min(times)
    while start is not None:
        page = read.read_candles(db, symbol, timeframe, clock, start, max(times) + 1, PAGE)
        shown |= {time: Ohlcv(*values) for time, *values in page.candles if time in times}
        start = page.next
    return shown
