"""Read one page of candles for an answer: candles, cursor, forming candle, epoch and change."""

from typing import Any, NamedTuple

import apsw

from gfil.clocks import TIME_MAX, TIME_MIN, Clock
from gfil.store import cursors
from gfil.store.candles import latest_cache, read
from gfil.store.candles.rollup_on_demand import Candle
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import Timeframe

LIMIT_DEFAULT = 500
LIMIT_MAX = 10_000


class CandlePage(NamedTuple):
    """The answer of `GET /api/v1/candles` and the chart page; field names are those of the JSON.

    `forming` is the time of the last candle if its bucket has not ended. `change` is the symbol's
    change number.
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
    """Read one page of candles; inside a snapshot, or with the symbol just read.

    With `start` pages go forward in time, without it backward from `stop` or the end of the data.
    `cursor` is the `next_cursor` of the page before; `now` decides which candle is forming.

    Raises:
        BadParameter: the cursor is malformed or belongs to another query.
    """
    query = [symbol.name, timeframe.name, clock.name, start, stop]
    resume_at = _parse_time(cursor, query) if cursor is not None else None
    forward = start is not None
    first = resume_at if forward and resume_at is not None else start
    last = resume_at if not forward and resume_at is not None else stop
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


def _parse_time(cursor: str, query: list[Any]) -> int:
    (time,) = cursors.parse_cursor(cursor, query, 1)
    if not TIME_MIN <= time <= TIME_MAX:
        raise cursors.MalformedCursor
    return time
