"""`/healthz` and `/readyz`: is the process alive, can it serve and store?"""

import time
from collections.abc import Iterator

import apsw
from flask import Blueprint, Response, current_app

from gfil.errors import DiskFull, GfilError, NotReady
from gfil.maintenance import free_space
from gfil.store import symbols
from gfil.store.candles import inventory
from gfil.store.engine import connection
from gfil.web.api import schemas
from gfil.web.request.connections import read_db
from gfil.web.request.parameters import flag
from gfil.web.request.responses import json_response
from gfil.web.request.route import Content, route
from gfil.wording import format_number

bp = Blueprint("health", __name__)

HEALTHY = Content(schemas.HEALTH, example=schemas.HEALTH_EXAMPLE)
STALE = flag("stale", "Answer 503 while a symbol is stale.")


@route(bp, "GET", "/healthz", scope="open", answers=[HEALTHY])
def check_alive() -> Response:
    """Answer that the process is alive."""
    return json_response({"status": "ok"})


@route(
    bp,
    "GET",
    "/readyz",
    scope="open",
    parameters=[STALE],
    answers=[HEALTHY],
    errors=[NotReady],
)
def check_ready(stale: bool) -> Response:
    """Answer whether data can be read and stored, and with `stale=1` whether data keeps coming."""
    problems = [*_problems()]
    if stale and not problems and (count := _count_stale()):
        problems.append(
            f"stale: {format_number(count)} of the symbols"
        )  # names need the scope read
    if problems:
        raise NotReady(problems)
    return json_response({"status": "ok"})


def _problems() -> Iterator[str]:
    # The route is open: the reasons name no path and quote no error text.
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
        floor = f"GFIL_MIN_FREE_MB ({format_number(settings.min_free_mb)} MB)"
        yield f"nothing is stored: less than {floor} is free"


def _count_stale() -> int:
    db, now = read_db(), int(time.time())
    return sum(inventory.is_stale(db, symbol, now) for symbol in symbols.list_symbols(db))
