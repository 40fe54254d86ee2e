"""Retention's clock: the time that retention counts back from."""

import apsw

from gfil.store import symbols
from gfil.store.candles import extent
from gfil.timeframes import TIMEFRAMES


def read_newest(db: apsw.Connection) -> int | None:
    """Return the start of the newest row of the whole database, or None."""
    newest = []
    for symbol in symbols.list_symbols(db):
        for timeframe in TIMEFRAMES:
            last = extent.read_last_row(db, symbol.series(timeframe.number))
            newest += [] if last is None else [last.time]
        tick_msc = extent.read_last_tick_msc(db, symbol)
        newest += [] if tick_msc is None else [tick_msc // 1000]
    return max(newest, default=None)


def read_retention_time(db: apsw.Connection, now: float) -> int:
    """Return `now`, or the time of the newest row if it is older.

    A server clock that is ahead therefore removes no row too early.
    """
    newest = read_newest(db)
    return int(now) if newest is None else min(int(now), newest)
