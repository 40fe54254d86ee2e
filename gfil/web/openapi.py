"""The API described: `/openapi.json` made from the routes, and `/docs` for a person."""

from functools import cache
from typing import Any

from flask import Blueprint, Response, current_app, render_template
from werkzeug.routing import Rule

from gfil import clocks, timeframes
from gfil.config import VERSION
from gfil.store import cursors, symbols, ticks
from gfil.store.answers import LIMIT_DEFAULT, LIMIT_MAX
from gfil.web import PAGE_HEADERS, PROBLEM, json_response, scope

bp = Blueprint("openapi", __name__)

Schema = dict[str, Any]

TIME: Schema = {"type": "integer", "description": "UNIX seconds, UTC"}
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _record(properties: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


def _parameter(name: str, sentence: str, schema: Schema, *, required: bool = False) -> Schema:
    place = "path" if name == "name" else "query"
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": sentence,
        "schema": schema,
    }


INSTANT: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": -99_999_999_999, "maximum": 99_999_999_999},
        {"type": "string", "format": "date-time"},
    ]
}
PARAMETERS = {
    "symbol": _parameter("symbol", "A symbol, in any case.", TEXT, required=True),
    "name": _parameter("name", "A symbol, in any case.", TEXT, required=True),
    "tf": _parameter(
        "tf",
        "A timeframe; also 5m, 4h, 1d, 1w, 1M, minutes as a number, D, W, M.",
        {"type": "string", "examples": [each.name for each in timeframes.TIMEFRAMES]},
        required=True,
    ),
    "from": _parameter("from", "What starts here or later; pages go forward.", INSTANT),
    "to": _parameter("to", "What starts before this; without it to the end.", INSTANT),
    "limit": _parameter(
        "limit",
        "How many candles at most.",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
    ),
    "tick_limit": _parameter(
        "limit",
        "How many ticks at most.",
        {
            "type": "integer",
            "minimum": 1,
            "maximum": ticks.LIMIT_MAX,
            "default": ticks.LIMIT_DEFAULT,
        },
    ),
    "cursor": _parameter(
        "cursor",
        "The next_cursor of an answer to the same question.",
        {"type": "string", "maxLength": cursors.LENGTH_MAX},
    ),
    "clock": _parameter(
        "clock",
        "On whose wall the buckets are cut: UTC, a zone, an offset, or both.",
        {"type": "string", "default": "UTC", "examples": ["UTC", *clocks.NAMED, "+05:30"]},
    ),
    "stale": _parameter("stale", "1: not ready while a symbol is stale.", {"enum": ["0", "1"]}),
    "format": _parameter("format", "The shape of the file.", {"enum": ["csv", "ndjson", "json"]}),
}
CANDLE: Schema = {
    "type": "array",
    "description": "time, open, high, low, close, volume",
    "items": NUMBER,
    "minItems": 6,
    "maxItems": 6,
}
SYMBOL: dict[str, Schema] = {
    "symbol": TEXT,
    "description": TEXT,
    "digits": {"type": "integer", "minimum": 0, "maximum": 8},
    "clock": TEXT,
    "price": _or_null({"enum": [*symbols.PRICES]}),
    "base": TEXT,
    "quote": TEXT,
    "last": _or_null(NUMBER),
    "bid": _or_null(NUMBER),
    "ask": _or_null(NUMBER),
    "last_tick_msc": _or_null({"type": "integer"}),
    "last_time": _or_null(TIME),
    "stale": FLAG,
    "change": {"type": "integer"},
}
HOLDING = _record({"tf": TEXT, "clock": TEXT, "first": TIME, "last": TIME, "count": NUMBER})
TICK: Schema = {
    "type": "array",
    "description": "time_msc, bid, ask, last, volume, flags",
    "items": NUMBER,
    "minItems": 6,
    "maxItems": 6,
}
TICKS = _record(
    {
        "symbol": TEXT,
        "ticks": {"type": "array", "items": TICK},
        "next_cursor": _or_null(TEXT),
    }
)
ANSWER = _record(
    {
        "symbol": TEXT,
        "tf": {"enum": [each.name for each in timeframes.TIMEFRAMES]},
        "clock": TEXT,
        "candles": {"type": "array", "items": CANDLE},
        "next_cursor": _or_null(TEXT),
        "forming": _or_null(TIME),
        "epoch": TEXT,
        "change": {"type": "integer"},
    }
)
PROBLEM_SCHEMA = {
    "type": "object",
    "properties": {"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT},
    "required": ["type", "title", "status", "detail"],
}
ANY = {"description": "anything"}

# What a route's own code cannot tell: its parameters, the body of its success, its refusals.
OPERATIONS: dict[str, tuple[tuple[str, ...], dict[str, Schema], tuple[int, ...]]] = {
    "candles.read": (
        ("symbol", "tf", "from", "to", "limit", "cursor", "clock"),
        {"application/json": ANSWER, "text/csv": TEXT},
        (400, 404),
    ),
    "export.read": (
        ("symbol", "tf", "from", "to", "clock", "format"),
        {"text/csv": TEXT, "application/x-ndjson": TEXT, "application/json": ANY},
        (400, 404),
    ),
    "ticks.read": (
        ("symbol", "from", "to", "tick_limit", "cursor"),
        {"application/json": TICKS},
        (400, 404),
    ),
    "symbols.list": (
        (),
        {"application/json": _record({"symbols": {"type": "array", "items": _record(SYMBOL)}})},
        (),
    ),
    "symbols.read": (
        ("name",),
        {"application/json": _record(SYMBOL | {"timeframes": {"type": "array", "items": HOLDING}})},
        (404,),
    ),
    "health.healthz": ((), {"application/json": _record({"status": {"const": "ok"}})}, ()),
    "health.readyz": (
        ("stale",),
        {"application/json": _record({"status": {"const": "ok"}})},
        (400, 503),
    ),
    "metrics.read": ((), {"text/plain": TEXT}, ()),
    "openapi.document": ((), {"application/json": ANY}, ()),
}


@bp.get("/openapi.json")
@scope("open")
def document() -> Response:
    """Describe every route that a program may use, as OpenAPI 3.1."""
    return json_response(_describe())


@bp.get("/docs")
@scope("open")
def docs() -> Response:
    """Describe every route on a page."""
    html = render_template("docs.html", document=_describe())
    return current_app.response_class(html, headers=PAGE_HEADERS, content_type="text/html")


@cache
def _describe() -> Schema:
    paths: dict[str, Schema] = {}
    for rule in sorted(current_app.url_map.iter_rules(), key=lambda rule: rule.rule):
        if rule.endpoint in OPERATIONS:
            path = rule.rule.replace("<", "{").replace(">", "}")
            methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            paths.setdefault(path, {}).update(
                {method.lower(): _describe_operation(rule) for method in sorted(methods)}
            )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "GFIL",
            "version": VERSION,
            "description": "Candles of any timeframe and clock.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
        },
    }


def _describe_operation(rule: Rule) -> Schema:
    view = current_app.view_functions[rule.endpoint]
    parameters, content, refusals = OPERATIONS[rule.endpoint]
    is_open = getattr(view, "scope", None) == "open"
    described: Schema = {
        "operationId": rule.endpoint,
        "summary": (view.__doc__ or "").strip().splitlines()[0],
        "parameters": [PARAMETERS[name] for name in parameters],
        "responses": {
            "200": {
                "description": "done",
                "content": {kind: {"schema": schema} for kind, schema in content.items()},
            }
        },
    }
    for status in (*refusals, *(() if is_open else (401, 403, 429, 503))):
        described["responses"][str(status)] = {
            "description": "refused",
            "content": {PROBLEM: {"schema": PROBLEM_SCHEMA}},
        }
    if not is_open:
        described["security"] = [{}, {"bearer": []}, {"header": []}]
    return described
