"""Look up stored and derived candles in the buckets of given rows, to verify a migration."""

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

import apsw

from gfil.clocks import Clock
from gfil.store.candles import derive, extent, read
from gfil.store.candles.derive import DERIVED, StoredCandle
from gfil.store.candles.rollup import BucketKey, Ohlcv
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import M1, Timeframe

SPARSE_RATIO = 4  # with more buckets than this for each row, every row's bucket is looked up
PAGE_CANDLES = 5000

CandleRow = tuple[int, int, float, float, float, float, float]
"""One candle: time, extra_s, open, high, low, close, volume."""

CandlesByTime = dict[int, CandleRow]
"""Candles by time; of several with the same start only one."""


READ_STORED_BETWEEN = """
SELECT time, extra_s, open, high, low, close, volume
FROM candle
WHERE series = :series AND time >= :first AND time <= :last AND kind > 0
"""
READ_DERIVED_BETWEEN = READ_STORED_BETWEEN.replace("kind > 0", "kind = 0")


def read_near(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, rows: CandleColumns
) -> tuple[CandlesByTime, CandlesByTime]:
    """Return the stored and the derived candles at the times of rows.

    Candles at other times may be among them.
    """
    first, last = min(rows.time), max(rows.time)
    series = symbol.series(timeframe.number)
    if last - first <= SPARSE_RATIO * timeframe.seconds * len(rows.time):
        span = {"series": series, "first": first, "last": last}
        stored = {row[0]: row for row in connection.query_all(db, READ_STORED_BETWEEN, span)}
        if timeframe == M1:
            return stored, {}
        derived = {row[0]: row for row in connection.query_all(db, READ_DERIVED_BETWEEN, span)}
        return stored, derived
    near: tuple[CandlesByTime, CandlesByTime] = {}, {}
    for (time, extra_s), (kind, values) in derive.read_at(db, series, rows.time).items():
        near[kind == DERIVED][time] = (time, extra_s, *values)
    return near


def read_with_superseded(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, times: Sequence[int]
) -> tuple[dict[BucketKey, StoredCandle], dict[BucketKey, Ohlcv]]:
    """Return the candles and the superseded candles that start at given times."""
    series = symbol.series(timeframe.number)
    return derive.read_at(db, series, times), derive.read_superseded_at(db, series, times)


HAS_MINUTES = """
SELECT given.value
FROM carray(:times) AS given
WHERE EXISTS (
    SELECT 1
    FROM candle
    WHERE series = :series AND time >= given.value AND time < given.value + :length
)
"""


def find_covered(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    keys: Iterable[BucketKey],
    edges: Sequence[int],
) -> set[BucketKey]:
    """Return the buckets that have M1 candles and contain none of the instants `edges`."""
    by_extra_s: dict[int, list[int]] = defaultdict(list)
    for time, extra_s in keys:
        by_extra_s[extra_s].append(time)  # never empty: carray refuses an empty array
    covered: set[BucketKey] = set()
    for extra_s, times in by_extra_s.items():
        length = timeframe.seconds + extra_s
        bindings = {
            "series": symbol.series(M1.number),
            "length": length,
            "times": apsw.carray(array("q", times)),
        }
        rows = connection.query_all(db, HAS_MINUTES, bindings)
        covered.update((time, extra_s) for (time,) in rows)
        times.sort()
        for edge in edges:
            inside = times[bisect_right(times, edge - length) : bisect_right(times, edge)]
            covered.difference_update((time, extra_s) for time in inside)
    return covered


def read_first_minute(db: apsw.Connection, symbol: Symbol) -> int | None:
    """Return the time of the first M1 of a symbol, or None."""
    return extent.read_first_time(db, symbol.series(M1.number))


def read_displayed(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, clock: Clock, times: set[int]
) -> dict[int, Ohlcv]:
    """Return the candles that charts display at given times, materialised or rolled up."""
    displayed: dict[int, Ohlcv] = {}
    start: int | None = min(times)
    while start is not None:
        page = read.read_candles(db, symbol, timeframe, clock, start, max(times) + 1, PAGE_CANDLES)
        displayed |= {time: Ohlcv(*values) for time, *values in page.candles if time in times}
        start = page.next
    return displayed
