"""Gaps over HTTP: the minutes of one symbol that should be there, sent in pieces."""

import time
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import orjson
from flask import Blueprint, Response, current_app

from gfil.maintenance import gaps
from gfil.maintenance.gaps import Gap
from gfil.store import symbols
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.web.request.connections import read_db, release_read_db
from gfil.web.request.parameters import instant_parameter, text_parameter
from gfil.web.request.scope import scope

bp = Blueprint("gaps", __name__)

PIECE_GAPS = 500


@bp.get("/api/v1/gaps")
@scope("read")
def read() -> Response:
    """Send the minutes that a symbol usually has and that are missing, of 12 weeks unless told."""
    start, stop = instant_parameter("from"), instant_parameter("to")
    symbol = symbols.read(read_db(), text_parameter("symbol"))
    release_read_db()
    pieces = _stream(current_app.config["SETTINGS"].db, symbol, start, stop)
    first = next(pieces)  # what goes wrong before it still gets a status of its own
    body = chain([first], pieces)
    response = current_app.response_class(body, content_type="application/json")
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _stream(path: Path, symbol: Symbol, start: int | None, stop: int | None) -> Iterator[bytes]:
    # A connection of its own, since the request's would be in a transaction for as long as a slow
    # client takes.
    now = time.time()
    db = connection.connect(path, readonly=True)
    try:
        if start is None:
            start = gaps.newest_from(db, symbol, stop, now)
        found = gaps.find(db, symbol, start, stop, now=now)
        piece, head = _piece(found, symbol), b'{"gaps":['
        while piece:
            yield head + piece
            piece, head = _piece(found, symbol), b","
        yield b"]}" if head == b"," else head + b"]}"
    finally:
        db.close()


def _piece(found: Iterator[Gap], symbol: Symbol) -> bytes:
    return orjson.dumps([gap.named(symbol.name) for gap in islice(found, PIECE_GAPS)])[1:-1]
