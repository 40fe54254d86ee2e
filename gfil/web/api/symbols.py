"""`/api/v1/symbols`: list, show, update and delete symbols; the job that sweeps deleted rows."""

import time
from typing import Any

import apsw
import orjson
from flask import Blueprint, Flask, Response, current_app, g

from gfil.clocks import TIME_MAX, TIME_MIN
from gfil.errors import BadParameter, BadRequest, DiskFull, Forbidden, SymbolUnknown
from gfil.store import symbol_settings, symbols
from gfil.store.candles import inventory, ticks
from gfil.store.idempotency import KeyReused
from gfil.store.removal import delete_range, sweep
from gfil.store.symbols import Symbol
from gfil.web.api import schemas, uploads
from gfil.web.request import body as request_body
from gfil.web.request import idempotency
from gfil.web.request.connections import read_db, release_read_db
from gfil.web.request.idempotency import IDEMPOTENCY_KEY
from gfil.web.request.parameters import SYMBOL_IN_PATH
from gfil.web.request.responses import json_response
from gfil.web.request.route import Content, route
from gfil.wording import MB

bp = Blueprint("symbols", __name__)

# Each setting of a symbol: its types, and the scope that may change it.
SETTINGS: dict[str, tuple[tuple[type, ...], str]] = {
    "description": ((str,), "write"),
    "digits": ((int, type(None)), "write"),
    "base": ((str,), "write"),
    "quote": ((str,), "write"),
    "clock": ((str,), "admin"),
    "price": ((str, type(None)), "admin"),
}
BODY_BYTES_MAX = MB
SWEEP_EVERY_S = 1.0
SWEEP_ROWS = 2000  # a few milliseconds each


@route(
    bp,
    "GET",
    "/api/v1/symbols",
    scope="read",
    answers=[Content(schemas.SYMBOL_LIST, example={"symbols": [schemas.SYMBOL_EXAMPLE]})],
)
def list_symbols() -> Response:
    """Every symbol with its settings and newest price."""
    db, now = read_db(), int(time.time())
    return json_response(
        {"symbols": [_describe(db, symbol, now) for symbol in symbols.list_symbols(db)]}
    )


@route(
    bp,
    "GET",
    "/api/v1/symbols/<symbol>",
    scope="read",
    parameters=[SYMBOL_IN_PATH],
    answers=[
        Content(
            schemas.SYMBOL_DETAIL,
            example=schemas.SYMBOL_EXAMPLE | {"timeframes": [schemas.HOLDING_EXAMPLE]},
        )
    ],
    errors=[SymbolUnknown],
)
def show_symbol(symbol: str) -> Response:
    """One symbol and the range that is stored of each timeframe and clock."""
    db = read_db()
    found = symbols.read(db, symbol)
    holdings = inventory.list_holdings(db, found)
    return json_response(_describe(db, found, int(time.time())) | {"timeframes": holdings})


@route(
    bp,
    "PATCH",
    "/api/v1/symbols/<symbol>",
    scope="write",
    parameters=[SYMBOL_IN_PATH, IDEMPOTENCY_KEY],
    bodies=[Content(schemas.SYMBOL_SETTINGS, example=schemas.SYMBOL_SETTINGS_EXAMPLE)],
    answers=[Content(schemas.SYMBOL, example=schemas.SYMBOL_EXAMPLE)],
    errors=[SymbolUnknown, *uploads.ERRORS],
)
def update_symbol(symbol: str) -> Response:
    """Change settings of a symbol.

    `clock` and `price` need the scope admin.
    """
    with request_body.receive(BODY_BYTES_MAX, "settings take less") as body:
        content = b"".join(body)
        settings = _parse_settings(content)

        def work(db: apsw.Connection) -> dict[str, Any]:
            found = symbol_settings.update_settings(db, symbols.read(db, symbol), settings)
            return _describe(db, found, int(time.time()))

        return idempotency.run_once(content, lambda: work)


@route(
    bp,
    "DELETE",
    "/api/v1/symbols/<symbol>",
    scope="admin",
    parameters=[SYMBOL_IN_PATH, IDEMPOTENCY_KEY],
    answers=[Content(schemas.DELETION, example=schemas.DELETION_EXAMPLE)],
    errors=[SymbolUnknown, KeyReused, DiskFull],
)
def delete_symbol(symbol: str) -> Response:
    """Delete a symbol: its name disappears immediately, a job deletes its rows in batches."""

    def prepare() -> idempotency.Work:
        counted = delete_range.count_range(
            read_db(), symbols.read(read_db(), symbol), TIME_MIN, TIME_MAX
        )

        def work(db: apsw.Connection) -> dict[str, Any]:
            change = symbols.delete(db, symbols.read(db, symbol))
            return counted._asdict() | {"change": change}

        return work

    return idempotency.run_once(b"", prepare)


def init_app(app: Flask) -> None:
    """Add the job that removes the rows of deleted symbols."""
    app.extensions["jobs"].add("sweep", SWEEP_EVERY_S, _sweep)


def _sweep() -> None:
    jobs, writer = current_app.extensions["jobs"], current_app.extensions["writer"]
    is_swept = sweep.is_swept(read_db())
    release_read_db()
    if is_swept:
        return

    def rest(seconds: float) -> object:
        writer.check()
        return jobs.stopping.wait(seconds)

    with writer.dedicated_connection() as db:
        sweep.sweep_all(db, SWEEP_ROWS, rest=rest)


def _parse_settings(content: bytes) -> dict[str, Any]:
    try:
        settings = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise BadRequest('the body must be a JSON object such as {"digits": 5}') from None
    if not isinstance(settings, dict):
        raise BadRequest('the body must be a JSON object such as {"digits": 5}')
    for name, value in settings.items():
        if name not in SETTINGS:
            raise BadParameter(f"unknown setting {name[:32]!r}: use one of {' '.join(SETTINGS)}")
        types, _ = SETTINGS[name]
        if not isinstance(value, types) or isinstance(value, bool):
            raise BadParameter(f"{name} cannot be {_show(value)}")
    for name in settings:
        needed = SETTINGS[name][1]
        if not g.key.allows(needed):
            raise Forbidden(f"this key's scope is {g.key.scope}; {needed} is needed for {name}")
    return settings


def _show(value: Any) -> str:
    return orjson.dumps(value).decode()[:32]


def _describe(db: apsw.Connection, symbol: Symbol, now: int) -> dict[str, Any]:
    latest = inventory.read_latest(db, symbol)
    tick = ticks.read_last(db, symbol)
    return {
        "symbol": symbol.name,
        "description": symbol.description,
        "digits": symbol.digits_shown,
        "clock": symbol.clock,
        "price": symbol.price,
        "base": symbol.base,
        "quote": symbol.quote,
        "last": latest.close if latest else None,
        "bid": tick[1] if tick else None,
        "ask": tick[2] if tick else None,
        "last_tick_msc": tick[0] if tick else None,
        "last_time": latest.time if latest else None,
        "stale": inventory.is_stale(db, symbol, now),
        "change": symbol.change,
    }
