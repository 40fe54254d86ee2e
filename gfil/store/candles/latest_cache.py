"""The newest candles of a chart, remembered: what the change log does not name is as it was."""

import threading
from collections import OrderedDict
from typing import NamedTuple

import apsw

from gfil.clocks import Clock
from gfil.store import change_log
from gfil.store.candles import read
from gfil.store.candles.rollup_query import Candle
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import Timeframe

HELD_MAX = 64  # answers of 300 candles are 5 MB
CANDLES_MAX = 500
CHANGES_MAX = 10_000  # to look through them takes as long as to read anew
TAIL_MAX = 50

_Key = tuple[str, int, Timeframe, Clock, int]


class _Held(NamedTuple):
    # One candle more than was asked for, if there is one, and the change at which they were right.
    change: int
    candles: list[Candle]


_held: OrderedDict[_Key, _Held] = OrderedDict()
_lock = threading.Lock()


def read_latest_page(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, clock: Clock, limit: int
) -> read.CandleSlice:
    """Return the newest candles, as `candles.read` does; in the snapshot the symbol is of."""
    if limit > CANDLES_MAX or read.is_materialised_on_utc(db, symbol, timeframe, clock):
        return read.read_candles(db, symbol, timeframe, clock, limit=limit)
    epoch, change = connection.read_state(db)
    key = (epoch, symbol.id, timeframe, clock, limit)
    held = _held.get(key)
    if held and symbol.change <= held.change <= change:
        return _page(held.candles, limit)
    found = held and _renew(db, symbol, timeframe, clock, held, change)
    if not found:
        found = read.read_candles(db, symbol, timeframe, clock, limit=limit + 1).candles
    found = found[-limit - 1 :]
    with _lock:
        _held[key] = _Held(change, found)
        _held.move_to_end(key)
        while len(_held) > HELD_MAX:
            _held.popitem(last=False)
    return _page(found, limit)


def _page(found: list[Candle], limit: int) -> read.CandleSlice:
    if len(found) <= limit:
        return read.CandleSlice(found, None)
    return read.CandleSlice(found[1:], found[1][0])


def _renew(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    clock: Clock,
    held: _Held,
    change: int,
) -> list[Candle] | None:
    # None where more than the last candles may have changed.
    if not held.candles or not held.change <= change <= held.change + CHANGES_MAX:
        return None
    if not change_log.covers(held.change, change):
        return None
    last = held.candles[-1][0]
    for entry in change_log.read_since(db, held.change, [symbol.id]):
        if entry.start == entry.stop or clock.bucket(timeframe, entry.start).start < last:
            return None
    tail = read.read_candles(db, symbol, timeframe, clock, start=last, limit=TAIL_MAX)
    if not tail.candles or tail.next is not None:
        return None
    return held.candles[:-1] + tail.candles
