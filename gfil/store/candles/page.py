"""One answer about candles: page, cursor, forming candle, epoch and change."""

from typing import Any, NamedTuple

import apsw

from gfil.clocks import TIME_MAX, TIME_MIN, Clock
from gfil.store import cursors
from gfil.store.candles import latest_cache, read
from gfil.store.candles.rollup_query import Candle
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import Timeframe

LIMIT_DEFAULT = 500
LIMIT_MAX = 10_000


class CandlePage(NamedTuple):
    """What `GET /api/v1/candles` and the chart page tell; field names are those of the JSON.

    `forming` is the time of the last candle if its bucket has not ended, `change` the symbol's.
    """

    symbol: str
    tf: str
    clock: str
    candles: list[Candle]
    next_cursor: str | None
    forming: int | None
    epoch: str
    change: int


def read_page(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    clock: Clock,
    *,
    start: int | None = None,
    stop: int | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    now: float,
) -> CandlePage:
    """Answer one request for candles; inside a snapshot, or with the symbol just read.

    With `start` pages go forward in time, without it backward from `stop` or the end of the data.

    Raises:
        BadParameter: the cursor is malformed or belongs to another query.
    """
    query = [symbol.name, timeframe.name, clock.name, start, stop]
    place = _parse_place(cursor, query) if cursor is not None else None
    forward = start is not None
    first = place if forward and place is not None else start
    last = place if not forward and place is not None else stop
    if first is None and last is None:
        page = latest_cache.read_latest_page(db, symbol, timeframe, clock, limit)
    else:
        page = read.read_candles(db, symbol, timeframe, clock, first, last, limit)
    forming = None
    if page.candles:
        last = page.candles[-1][0]
        forming = last if clock.bucket(timeframe, last).stop > now else None
    return CandlePage(
        symbol.name,
        timeframe.name,
        clock.name,
        page.candles,
        None if page.next is None else cursors.format_cursor(query, [page.next]),
        forming,
        connection.read_state(db)[0],
        symbol.change,
    )


def _parse_place(cursor: str, query: list[Any]) -> int:
    (place,) = cursors.parse_cursor(cursor, query, 1)
    if not TIME_MIN <= place <= TIME_MAX:
        raise cursors.MalformedCursor
    return place
