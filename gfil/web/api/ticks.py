"""`/api/v1/ticks`: list and post ticks."""

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import apsw
import orjson
from flask import Blueprint, Response, current_app

from gfil.errors import SymbolUnknown
from gfil.ingest.report import Report
from gfil.store import cursors, symbols
from gfil.store.candles import ticks
from gfil.store.candles.ticks import LIMIT_DEFAULT, LIMIT_MAX, START, STOP, TickPosition
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.web.api import schemas, uploads
from gfil.web.request.connections import read_db
from gfil.web.request.idempotency import IDEMPOTENCY_KEY
from gfil.web.request.parameters import CURSOR, SYMBOL, check_range, instant, integer
from gfil.web.request.route import Content, route

bp = Blueprint("ticks", __name__)

UPLOAD_MB_MAX = 8  # one transaction
FROM = instant("from", "start", "Ticks with `time >= from`, oldest first.")
TO = instant("to", "stop", "Ticks with `time < to` (default: all up to the newest).")
LIMIT = integer("limit", "Largest number of ticks of a page.", 1, LIMIT_MAX, LIMIT_DEFAULT)
ANSWER = ("rows", "inserted", "duplicates", "rejected", "reasons", "errors", "warnings")

CHUNK_TICKS = 5000  # read and sent together, so that memory stays flat


class _Page(NamedTuple):
    # Ticks from `first`, before `stop`. `older` is where the previous page stops.

    first: TickPosition
    stop: TickPosition
    older: TickPosition | None = None


@route(
    bp,
    "GET",
    "/api/v1/ticks",
    scope="read",
    parameters=[SYMBOL, FROM, TO, LIMIT, CURSOR],
    answers=[Content(schemas.TICK_PAGE, example=schemas.TICK_PAGE_EXAMPLE)],
    errors=[SymbolUnknown],
)
def list_ticks(
    symbol: str, start: int | None, stop: int | None, limit: int, cursor: str | None
) -> Response:
    """One page of ticks of a symbol, streamed.

    With `from` pages go forward in time. Without it the page holds the newest ticks before `to`,
    and `next_cursor` leads to older pages.
    """
    check_range(start, stop)
    db = read_db()
    found = symbols.read(db, symbol)
    query = [found.name, start, stop]
    place = _parse_place(cursor, query) if cursor else None
    end = STOP if stop is None else (stop * 1000, 0)
    if start is None:
        page = _find_newest(db, found, place or end, limit)
    else:
        page = _Page(place or (start * 1000, 0), end)
    chunks = _stream(found, page, limit, query)
    opening = next(chunks)  # an error up to here still gets its own status
    body = chain([opening], chunks)
    response = current_app.response_class(body, content_type="application/json")
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _parse_place(cursor: str, query: list[str | int | None]) -> TickPosition:
    time_msc, place = cursors.parse_cursor(cursor, query, 2)
    return time_msc, place


def _find_newest(db: apsw.Connection, symbol: Symbol, stop: TickPosition, limit: int) -> _Page:
    first = ticks.position_before(db, symbol, stop, limit)
    if first is None or ticks.position_before(db, symbol, first, 1) is None:
        return _Page(first or START, stop)
    return _Page(first, stop, older=first)


def _stream(
    symbol: Symbol, page: _Page, limit: int, query: list[str | int | None]
) -> Iterator[bytes]:
    # A separate connection, and a snapshot for each chunk: the request's snapshot would hold up
    # checkpoints for as long as a slow client takes.
    db = connection.connect(current_app.config["SETTINGS"].db, readonly=True)
    try:
        head = b'{"symbol":' + orjson.dumps(symbol.name) + b',"ticks":['
        place: TickPosition | None = page.first
        while place is not None and limit > 0:
            chunk = ticks.read_ticks(db, symbol, place, page.stop, limit=min(limit, CHUNK_TICKS))
            if chunk.ticks or head != b",":  # the rest may have been deleted meanwhile
                yield head + orjson.dumps(chunk.ticks)[1:-1]
                head = b","
            place, limit = chunk.next, limit - len(chunk.ticks)
        following = page.older if query[1] is None else place
        cursor = None if following is None else cursors.format_cursor(query, following)
        yield b'],"next_cursor":' + orjson.dumps(cursor) + b"}"
    finally:
        db.close()


@route(
    bp,
    "POST",
    "/api/v1/ticks",
    scope="write",
    parameters=[*uploads.TICK_PARAMETERS, IDEMPOTENCY_KEY],
    bodies=[
        Content(schemas.TICK_BATCH, example=schemas.TICK_BATCH_EXAMPLE),
        uploads.ANY_FILE,
    ],
    answers=[Content(schemas.TICK_REPORT, example=schemas.TICK_REPORT_EXAMPLE)],
    errors=uploads.ERRORS,
)
def post_ticks(**given: Any) -> Response:
    """Store ticks and derive their candles in one transaction."""
    with uploads.receive(UPLOAD_MB_MAX, "send the ticks in several requests") as body:
        return uploads.write(body, uploads.options("ticks", given), _describe)


def _describe(report: Report) -> dict[str, Any]:
    facts = report.as_json()
    answer = {name: facts[name] for name in ANSWER} | {"last": report.last_ticks}
    # A dry run names its first and last row; without a row `last` stays the empty object.
    recognised = {name: value for name, value in report.recognised.items() if value is not None}
    return answer | recognised | {"change": report.change}
