"""Health over HTTP: alive, and able to serve and to store?"""

import time
from collections.abc import Iterator

import apsw
from flask import Blueprint, Response, current_app

from gfil.errors import BadParameter, DiskFull, GfilError, NotReady
from gfil.maintenance import free_space
from gfil.store import symbols
from gfil.store.candles import inventory
from gfil.store.engine import connection
from gfil.web.request.connections import read_db
from gfil.web.request.parameters import text_parameter
from gfil.web.request.responses import json_response
from gfil.web.request.scope import scope

bp = Blueprint("health", __name__)


@bp.get("/healthz")
@scope("open")
def healthz() -> Response:
    """Say that this process answers."""
    return json_response({"status": "ok"})


@bp.get("/readyz")
@scope("open")
def readyz() -> Response:
    """Say whether data can be read and stored, and with `stale=1` whether it keeps coming."""
    stale = text_parameter("stale", "0")
    if stale not in ("0", "1"):
        raise BadParameter("stale must be 0 or 1")
    problems = [*_problems()]
    if stale == "1" and not problems and (count := _count_stale()):
        problems.append(f"stale: {count} of the symbols")  # which ones is for readers to ask
    if problems:
        raise NotReady(problems)
    return json_response({"status": "ok"})


def _problems() -> Iterator[str]:
    # For anybody to read: what it is, but not where on the machine, nor in whose words.
    settings = current_app.config["SETTINGS"]
    try:
        connection.read_state(read_db())
    except (GfilError, apsw.Error):
        yield "the database cannot be read"
        return
    try:
        current_app.extensions["writer"].check()
    except GfilError as error:
        yield f"nothing can be stored: {error.title.lower()}"
    try:
        free_space.check_room(settings.db, settings.min_free_mb)
    except DiskFull:
        yield f"nothing is taken in: less than GFIL_MIN_FREE_MB ({settings.min_free_mb} MB) is free"


def _count_stale() -> int:
    db, now = read_db(), int(time.time())
    return sum(inventory.is_stale(db, symbol, now) for symbol in symbols.list_symbols(db))
