"""Candles over HTTP: read, written, deleted at `/api/v1/candles`."""

import time

import apsw
from flask import Blueprint, Response, current_app, request

from gfil import clocks, timeframes
from gfil.config import VERSION
from gfil.errors import BadParameter
from gfil.ingest import export
from gfil.store import symbols
from gfil.store.candles import page
from gfil.store.candles.page import LIMIT_DEFAULT, LIMIT_MAX, CandlePage
from gfil.store.removal import delete_range
from gfil.store.removal.delete_range import Deleted
from gfil.web.api import uploads
from gfil.web.request import idempotency
from gfil.web.request.connections import read_db, release_read_db
from gfil.web.request.parameters import (
    check_parameters,
    instant_parameter,
    number_parameter,
    text_parameter,
)
from gfil.web.request.responses import json_response
from gfil.web.request.scope import scope

bp = Blueprint("candles", __name__)


@bp.get("/api/v1/candles")
@scope("read")
def read() -> Response:
    """Answer with candles of one symbol, timeframe and clock, as JSON or CSV."""
    db = read_db()
    start, stop = instant_parameter("from"), instant_parameter("to")
    if start is not None and stop is not None and start > stop:
        raise BadParameter("from is after to")
    timeframe = timeframes.parse(text_parameter("tf"))
    clock = clocks.parse(text_parameter("clock", "UTC"))
    limit = number_parameter("limit", LIMIT_DEFAULT, 1, LIMIT_MAX)
    answer = page.read_page(
        db,
        symbols.read(db, text_parameter("symbol")),
        timeframe,
        clock,
        start=start,
        stop=stop,
        limit=limit,
        cursor=text_parameter("cursor", "") or None,
        now=time.time(),
    )
    csv = request.accept_mimetypes.best_match(["application/json", "text/csv"]) == "text/csv"
    response = _csv_response(answer) if csv else json_response(answer._asdict())
    response.headers["Cache-Control"] = "private, no-cache"
    response.vary.add("Accept")
    tag = f"{answer.epoch}-{answer.change}-{answer.forming}-{'csv' if csv else 'json'}-{VERSION}"
    response.set_etag(tag, weak=True)  # weak, for the compressed and the plain body share it
    response.make_conditional(request)
    return response


def _csv_response(answer: CandlePage) -> Response:
    body = export.to_csv(answer.candles)
    response = current_app.response_class(body, content_type="text/csv; charset=utf-8")
    if answer.next_cursor:
        response.headers["X-Next-Cursor"] = answer.next_cursor
    return response


@bp.post("/api/v1/candles")
@scope("write")
def write() -> Response:
    """Store candles of any format, as files are imported."""
    limit_mb = current_app.config["SETTINGS"].max_upload_mb
    with uploads.receive(limit_mb, uploads.SPLIT) as body:
        return uploads.write(body, uploads.options("candles"), uploads.describe_candles)


@bp.delete("/api/v1/candles")
@scope("admin")
def delete() -> Response:
    """Delete stored candles and ticks of a range; derived candles follow.

    It works in slices. A repeated Idempotency-Key after a crash answers the total of both attempts.
    """
    check_parameters("symbol", "from", "to", "tf")
    name, start, stop = text_parameter("symbol"), instant_parameter("from"), instant_parameter("to")
    tf = text_parameter("tf", "")
    timeframe = timeframes.parse(tf) if tf else None
    if start is None or stop is None:
        raise BadParameter("from and to are needed: what lies between is deleted")
    if start > stop:
        raise BadParameter("from is after to")

    progress = idempotency.Progress()

    def add(db: apsw.Connection, part: Deleted) -> None:
        if part.change:
            progress.add(db, {"deleted": part.deleted, "ticks": part.ticks}, part.change)

    def prepare() -> idempotency.Work:
        symbol = symbols.read(read_db(), name)
        release_read_db()
        with current_app.extensions["writer"].dedicated_connection() as db:
            deleted = delete_range.delete_range(db, symbol, start, stop, timeframe, on_slice=add)
        return lambda db: deleted._asdict() | progress.totals(db)

    return idempotency.run_once(b"", prepare)
