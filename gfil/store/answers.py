"""One answer about candles: page, cursor, forming candle, epoch and change."""

import base64
import binascii
from typing import Any, NamedTuple

import apsw
import orjson

from gfil.clocks import TIME_MAX, TIME_MIN, Clock
from gfil.errors import BadParameter
from gfil.store import candles
from gfil.store import db as store
from gfil.store.ondemand import Candle
from gfil.store.symbols import Symbol
from gfil.timeframes import Timeframe

LIMIT_DEFAULT = 500
LIMIT_MAX = 10_000
CURSOR_LENGTH_MAX = 1000


class Answer(NamedTuple):
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


def read(
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
) -> Answer:
    """Answer one request for candles; inside a snapshot, or with the symbol just read.

    With `start` pages go forward in time, without it backward from `stop` or the end of the data.

    Raises:
        BadParameter: the cursor is malformed or belongs to another query.
    """
    query = [symbol.name, timeframe.name, clock.name, start, stop]
    place = _parse_cursor(cursor, query) if cursor is not None else None
    forward = start is not None
    page = candles.read(
        db,
        symbol,
        timeframe,
        clock,
        start=place if forward and place is not None else start,
        stop=place if not forward and place is not None else stop,
        limit=limit,
    )
    forming = None
    if page.candles:
        last = page.candles[-1][0]
        forming = last if clock.bucket(timeframe, last).stop > now else None
    return Answer(
        symbol.name,
        timeframe.name,
        clock.name,
        page.candles,
        None if page.next is None else _format_cursor(query, page.next),
        forming,
        store.read_state(db)[0],
        symbol.change,
    )


def _format_cursor(query: list[Any], place: int) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([*query, place])).decode().rstrip("=")


def _parse_cursor(cursor: str, query: list[Any]) -> int:
    try:
        padded = cursor[:CURSOR_LENGTH_MAX].encode("ascii") + b"=" * (-len(cursor) % 4)
        decoded = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeEncodeError, binascii.Error, orjson.JSONDecodeError):
        raise BadParameter("malformed cursor: pass next_cursor on as it is") from None
    if not isinstance(decoded, list) or len(decoded) != len(query) + 1 or decoded[:-1] != query:
        raise BadParameter("this cursor belongs to another query")
    place = decoded[-1]
    if type(place) is not int or not TIME_MIN <= place <= TIME_MAX:
        raise BadParameter("malformed cursor: pass next_cursor on as it is")
    return place
