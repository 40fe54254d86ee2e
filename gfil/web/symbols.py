"""Symbols over HTTP: what there is, how far it reaches, how fresh it is."""

import time
from typing import Any

import apsw
from flask import Blueprint, Response

from gfil.store import holdings, symbols
from gfil.store.symbols import Symbol
from gfil.web import json_response, reading, scope

bp = Blueprint("symbols", __name__)


@bp.get("/api/v1/symbols")
@scope("read")
def list() -> Response:  # noqa: A001 (as in `symbols.list`)
    """Answer with every symbol and its newest price."""
    db, now = reading(), int(time.time())
    return json_response({"symbols": [_describe(db, symbol, now) for symbol in symbols.list(db)]})


@bp.get("/api/v1/symbols/<name>")
@scope("read")
def read(name: str) -> Response:
    """Answer with one symbol and what is held of it."""
    db = reading()
    symbol = symbols.read(db, name)
    held = holdings.list_holdings(db, symbol)
    return json_response(_describe(db, symbol, int(time.time())) | {"timeframes": held})


def _describe(db: apsw.Connection, symbol: Symbol, now: int) -> dict[str, Any]:
    latest = holdings.read_latest(db, symbol)
    return {
        "symbol": symbol.name,
        "description": symbol.description,
        "digits": symbol.digits_shown,
        "clock": symbol.clock,
        "price": symbol.price,
        "base": symbol.base,
        "quote": symbol.quote,
        "last": latest.close if latest else None,
        "bid": None,
        "ask": None,
        "last_tick_msc": None,
        "last_time": latest.time if latest else None,
        "stale": holdings.is_stale(db, symbol, now),
        "change": symbol.change,
    }
