"""Symbols over HTTP: what there is, how far it reaches, how fresh it is; changed and deleted."""

import time
from typing import Any

import apsw
import orjson
from flask import Blueprint, Flask, Response, current_app, g

from gfil.clocks import TIME_MAX, TIME_MIN
from gfil.errors import BadParameter, BadRequest, Forbidden
from gfil.store import symbol_settings, symbols
from gfil.store.candles import inventory, ticks
from gfil.store.removal import delete_range, sweep
from gfil.store.symbols import Symbol
from gfil.web.request import body as request_body
from gfil.web.request import idempotency
from gfil.web.request.connections import read_db, release_read_db
from gfil.web.request.responses import json_response
from gfil.web.request.scope import scope

bp = Blueprint("symbols", __name__)

# What each fact of a symbol may be, and who may change it.
FACTS: dict[str, tuple[tuple[type, ...], str]] = {
    "description": ((str,), "write"),
    "digits": ((int, type(None)), "write"),
    "base": ((str,), "write"),
    "quote": ((str,), "write"),
    "clock": ((str,), "admin"),
    "price": ((str, type(None)), "admin"),
}
BODY_BYTES_MAX = request_body.MB
SWEEP_EVERY_S = 1.0
SWEEP_ROWS = 2000  # a few milliseconds


@bp.get("/api/v1/symbols")
@scope("read")
def list() -> Response:  # noqa: A001 (as in `symbols.list`)
    """Answer with every symbol and its newest price."""
    db, now = read_db(), int(time.time())
    return json_response(
        {"symbols": [_describe(db, symbol, now) for symbol in symbols.list_symbols(db)]}
    )


@bp.get("/api/v1/symbols/<name>")
@scope("read")
def read(name: str) -> Response:
    """Answer with one symbol and what is held of it."""
    db = read_db()
    symbol = symbols.read(db, name)
    held = inventory.list_holdings(db, symbol)
    return json_response(_describe(db, symbol, int(time.time())) | {"timeframes": held})


@bp.patch("/api/v1/symbols/<name>")
@scope("write")
def change(name: str) -> Response:
    """Set facts of a symbol; its clock and price are for admins."""
    with request_body.receive(BODY_BYTES_MAX, "a few facts take less") as body:
        content = b"".join(body)
        facts = _parse_facts(content)

        def work(db: apsw.Connection) -> dict[str, Any]:
            symbol = symbol_settings.update_settings(db, symbols.read(db, name), facts)
            return _describe(db, symbol, int(time.time()))

        return idempotency.run_once(content, lambda: work)


@bp.delete("/api/v1/symbols/<name>")
@scope("admin")
def delete(name: str) -> Response:
    """Delete a symbol: its name is gone at once, its rows are removed after."""

    def prepare() -> idempotency.Work:
        counted = delete_range.count_range(
            read_db(), symbols.read(read_db(), name), TIME_MIN, TIME_MAX
        )

        def work(db: apsw.Connection) -> dict[str, Any]:
            change = symbols.delete(db, symbols.read(db, name))
            return counted._asdict() | {"change": change}

        return work

    return idempotency.run_once(b"", prepare)


def init_app(app: Flask) -> None:
    """Have the rows of deleted symbols removed, in every worker."""
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


def _parse_facts(content: bytes) -> dict[str, Any]:
    try:
        facts = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise BadRequest('the body must be a JSON object such as {"digits": 5}') from None
    if not isinstance(facts, dict):
        raise BadRequest('the body must be a JSON object such as {"digits": 5}')
    for fact, value in facts.items():
        if fact not in FACTS:
            raise BadParameter(f"unknown fact {fact[:32]!r}: {' '.join(FACTS)} can be set")
        types, _ = FACTS[fact]
        if not isinstance(value, types) or isinstance(value, bool):
            raise BadParameter(f"{fact} cannot be {_show(value)}")
    for fact in facts:
        needed = FACTS[fact][1]
        if not g.key.allows(needed):
            raise Forbidden(f"this key's scope is {g.key.scope}; {needed} is needed for {fact}")
    return facts


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
