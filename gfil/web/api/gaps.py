"""`GET /api/v1/gaps`: expected minutes of a symbol that are missing, streamed."""

import time
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import orjson
from flask import Blueprint, Response, current_app

from gfil.errors import SymbolUnknown
from gfil.maintenance import gaps
from gfil.maintenance.gaps import Gap
from gfil.store import symbols
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.web.api import schemas
from gfil.web.request.connections import read_db, release_read_db
from gfil.web.request.parameters import SYMBOL, instant
from gfil.web.request.route import Content, route

bp = Blueprint("gaps", __name__)

CHUNK_GAPS = 500
FROM = instant("from", "start", "Missing minutes from here on (default: the newest 12 weeks).")
TO = instant("to", "stop", "Missing minutes before this (default: now).")


@route(
    bp,
    "GET",
    "/api/v1/gaps",
    scope="read",
    parameters=[SYMBOL, FROM, TO],
    answers=[Content(schemas.GAP_LIST, example=schemas.GAP_LIST_EXAMPLE)],
    errors=[SymbolUnknown],
)
def list_gaps(symbol: str, start: int | None, stop: int | None) -> Response:
    """Runs of at least 5 minutes that the symbol usually trades and that have no candle."""
    found = symbols.read(read_db(), symbol)
    release_read_db()
    chunks = _stream(current_app.config["SETTINGS"].db, found, start, stop)
    first = next(chunks)  # an error up to here still gets its own status
    body = chain([first], chunks)
    response = current_app.response_class(body, content_type="application/json")
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _stream(path: Path, symbol: Symbol, start: int | None, stop: int | None) -> Iterator[bytes]:
    # A separate connection: the request's would stay in a transaction for as long as a slow client
    # takes.
    now = time.time()
    db = connection.connect(path, readonly=True)
    try:
        if start is None:
            start = gaps.newest_from(db, symbol, stop, now)
        found = gaps.find(db, symbol, start, stop, now=now)
        chunk, head = _chunk(found, symbol), b'{"gaps":['
        while chunk:
            yield head + chunk
            chunk, head = _chunk(found, symbol), b","
        yield b"]}" if head == b"," else head + b"]}"
    finally:
        db.close()


def _chunk(found: Iterator[Gap], symbol: Symbol) -> bytes:
    return orjson.dumps([gap.named(symbol.name) for gap in islice(found, CHUNK_GAPS)])[1:-1]
