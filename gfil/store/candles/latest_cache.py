"""Cache of each chart's newest page of candles, invalidated by the change log."""

import threading
from collections import OrderedDict
from typing import NamedTuple

import apsw

from gfil.clocks import Clock
from gfil.store import change_log
from gfil.store.candles import read
from gfil.store.candles.rollup_on_demand import Candle
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import Timeframe

PAGES_MAX = 64  # with 300 candles each: 5 MB
CANDLES_MAX = 500  # of a cached page
LOOKBACK_CHANGES_MAX = 10_000  # searching more log entries takes as long as reading the page
TAIL_CANDLES_MAX = 50  # read again at the end of a cached page

_CacheKey = tuple[str, int, Timeframe, Clock, int]


class _CachedPage(NamedTuple):
    # The change number they are valid for, and up to `limit + 1` candles: one more than a page.
    change: int
    candles: list[Candle]


_cache: OrderedDict[_CacheKey, _CachedPage] = OrderedDict()
_lock = threading.Lock()


def read_latest_page(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, clock: Clock, limit: int
) -> read.CandleSlice:
    """Return the newest candles, as `read_candles` does; in the snapshot that read the symbol."""
    if limit > CANDLES_MAX or read.is_materialised_on_utc(db, symbol, timeframe, clock):
        return read.read_candles(db, symbol, timeframe, clock, limit=limit)
    epoch, change = connection.read_state(db)
    key = (epoch, symbol.id, timeframe, clock, limit)
    cached = _cache.get(key)
    if cached and symbol.change <= cached.change <= change:
        return _page(cached.candles, limit)
    found = cached and _refresh(db, symbol, timeframe, clock, cached, change)
    if not found:
        found = read.read_candles(db, symbol, timeframe, clock, limit=limit + 1).candles
    found = found[-limit - 1 :]
    with _lock:
        _cache[key] = _CachedPage(change, found)
        _cache.move_to_end(key)
        while len(_cache) > PAGES_MAX:
            _cache.popitem(last=False)
    return _page(found, limit)


def _page(found: list[Candle], limit: int) -> read.CandleSlice:
    if len(found) <= limit:
        return read.CandleSlice(found, None)
    return read.CandleSlice(found[1:], found[1][0])


def _refresh(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    clock: Clock,
    cached: _CachedPage,
    change: int,
) -> list[Candle] | None:
    # None if more than the last candles may have changed.
    if not cached.candles or not cached.change <= change <= cached.change + LOOKBACK_CHANGES_MAX:
        return None
    if not change_log.covers(cached.change, change):
        return None
    last = cached.candles[-1][0]
    for entry in change_log.read_since(db, cached.change, [symbol.id]):
        if entry.start == entry.stop or clock.bucket(timeframe, entry.start).start < last:
            return None
    tail = read.read_candles(db, symbol, timeframe, clock, start=last, limit=TAIL_CANDLES_MAX)
    if not tail.candles or tail.next is not None:
        return None
    return cached.candles[:-1] + tail.candles
