"""`/api/v1/candles`: list, post and delete candles."""

import time
from typing import Any

import apsw
from flask import Blueprint, Response, current_app, request

from gfil import timeframes
from gfil.clocks import Clock
from gfil.config import VERSION
from gfil.errors import DiskFull, SymbolUnknown
from gfil.ingest import export
from gfil.store import symbols
from gfil.store.candles import page
from gfil.store.candles.page import LIMIT_DEFAULT, LIMIT_MAX, CandlePage
from gfil.store.idempotency import KeyReused
from gfil.store.removal import delete_range
from gfil.store.removal.delete_range import Deleted
from gfil.timeframes import Timeframe
from gfil.web.api import schemas, uploads
from gfil.web.request import idempotency
from gfil.web.request.connections import read_db, release_read_db
from gfil.web.request.idempotency import IDEMPOTENCY_KEY
from gfil.web.request.parameters import (
    CLOCK,
    CURSOR,
    FROM,
    SYMBOL,
    TF,
    TO,
    Parameter,
    check_range,
    instant,
    integer,
)
from gfil.web.request.responses import json_response
from gfil.web.request.route import Content, route
from gfil.web.request.schema import TEXT

bp = Blueprint("candles", __name__)

LIMIT = integer("limit", "Largest number of candles of a page.", 1, LIMIT_MAX, LIMIT_DEFAULT)
DELETE_FROM = instant(
    "from", "start", "Start of the range to delete.", required=True, example="2025-05-20"
)
DELETE_TO = instant(
    "to", "stop", "End of the range to delete, exclusive.", required=True, example="2025-05-21"
)
ONLY_TF = Parameter(
    "tf",
    "Delete candles of this timeframe only (default: ticks and candles of every timeframe).",
    TEXT,
    timeframes.parse,
)


@route(
    bp,
    "GET",
    "/api/v1/candles",
    scope="read",
    parameters=[SYMBOL, TF, FROM, TO, LIMIT, CURSOR, CLOCK],
    answers=[
        Content(schemas.CANDLE_PAGE, example=schemas.CANDLE_PAGE_EXAMPLE),
        Content(TEXT, "text/csv", schemas.CANDLES_CSV_EXAMPLE),
    ],
    errors=[SymbolUnknown],
)
def list_candles(
    symbol: str,
    tf: Timeframe,
    start: int | None,
    stop: int | None,
    limit: int,
    cursor: str | None,
    clock: Clock,
) -> Response:
    """One page of candles of a symbol, timeframe and clock, as JSON or CSV.

    With `from` pages go forward in time. Without it the page holds the newest candles before `to`,
    and `next_cursor` leads to older pages. `Accept: text/csv` asks for CSV.
    """
    check_range(start, stop)
    db = read_db()
    answer = page.read_page(
        db,
        symbols.read(db, symbol),
        tf,
        clock,
        start=start,
        stop=stop,
        limit=limit,
        cursor=cursor,
        now=time.time(),
    )
    csv = request.accept_mimetypes.best_match(["application/json", "text/csv"]) == "text/csv"
    response = _csv_response(answer) if csv else json_response(answer._asdict())
    response.headers["Cache-Control"] = "private, no-cache"
    response.vary.add("Accept")
    tag = f"{answer.epoch}-{answer.change}-{answer.forming}-{'csv' if csv else 'json'}-{VERSION}"
    response.set_etag(tag, weak=True)  # weak: the compressed and the plain body share the tag
    response.make_conditional(request)
    return response


def _csv_response(answer: CandlePage) -> Response:
    body = export.to_csv(answer.candles)
    response = current_app.response_class(body, content_type="text/csv; charset=utf-8")
    if answer.next_cursor:
        response.headers["X-Next-Cursor"] = answer.next_cursor
    return response


@route(
    bp,
    "POST",
    "/api/v1/candles",
    scope="write",
    parameters=[*uploads.CANDLE_PARAMETERS, IDEMPOTENCY_KEY],
    bodies=[
        Content(schemas.CANDLE_BATCH, example=schemas.CANDLE_BATCH_EXAMPLE),
        uploads.ANY_FILE,
    ],
    answers=[Content(schemas.CANDLE_REPORT, example=schemas.CANDLE_REPORT_EXAMPLE)],
    errors=uploads.ERRORS,
)
def post_candles(**given: Any) -> Response:
    """Store candles of any format that the import reads, and derive the longer timeframes.

    A body of at most 8 MB is one transaction. A larger body is stored in batches; sent again it
    completes.
    """
    limit_mb = current_app.config["SETTINGS"].max_upload_mb
    with uploads.receive(limit_mb, uploads.SPLIT) as body:
        return uploads.write(body, uploads.options("candles", given), uploads.describe_candles)


@route(
    bp,
    "DELETE",
    "/api/v1/candles",
    scope="admin",
    parameters=[SYMBOL, DELETE_FROM, DELETE_TO, ONLY_TF, IDEMPOTENCY_KEY],
    answers=[Content(schemas.DELETION, example=schemas.DELETION_EXAMPLE)],
    errors=[SymbolUnknown, KeyReused, DiskFull],
)
def delete_candles(symbol: str, start: int, stop: int, tf: Timeframe | None) -> Response:
    """Delete stored and settled candles and ticks of a range; derived candles follow.

    A candle is deleted if its whole bucket lies in the range. The deletion works in slices: a
    repeated Idempotency-Key after a crash answers the total of both attempts.
    """
    check_range(start, stop)
    progress = idempotency.Progress()

    def add(db: apsw.Connection, part: Deleted) -> None:
        if part.change:
            progress.add(db, {"deleted": part.deleted, "ticks": part.ticks}, part.change)

    def prepare() -> idempotency.Work:
        found = symbols.read(read_db(), symbol)
        release_read_db()
        with current_app.extensions["writer"].dedicated_connection() as db:
            deleted = delete_range.delete_range(db, found, start, stop, tf, on_slice=add)
        return lambda db: deleted._asdict() | progress.totals(db)

    return idempotency.run_once(b"", prepare)
