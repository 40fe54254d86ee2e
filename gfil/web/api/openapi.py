"""The API described: `/openapi.json` made from the routes, and `/docs` for a person."""

from functools import cache

from flask import Blueprint, Response, current_app, render_template
from werkzeug.routing import Rule

from gfil.config import VERSION
from gfil.web.api.schemas import (
    ANSWER,
    ANY,
    CANDLE,
    CANDLE_ROW,
    DELETED,
    FACTS,
    GAPS,
    OF_CANDLES,
    OF_TICKS,
    OUTCOME,
    PACKED,
    PARAMETERS,
    PROBLEM_SCHEMA,
    SYMBOL,
    TEXT,
    TICK_ROW,
    TICKS,
    WHOLE_SYMBOL,
    Schema,
    outcome,
    record,
)
from gfil.web.request.problems import PROBLEM
from gfil.web.request.responses import PAGE_HEADERS, json_response
from gfil.web.request.scope import scope

bp = Blueprint("openapi", __name__)

ROWS = ("rows_symbol", "rows_clock", "rows_format", "rows_columns", "rows_on_error", "rows_dry_run")
UPLOADED = (400, 408, 409, 413, 415, 422, 507)

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
    "gaps.read": (
        ("symbol", "gap_from", "gap_to"),
        {"application/json": GAPS},
        (400, 404),
    ),
    "stream.read": (
        ("sub", "since", "last_event_id"),
        {"text/event-stream": TEXT},
        (400, 404),
    ),
    "ticks.read": (
        ("symbol", "from", "to", "tick_limit", "cursor"),
        {"application/json": TICKS},
        (400, 404),
    ),
    "candles.write": (
        (*ROWS, "rows_tf", "rows_mode", "rows_force_tf", "key"),
        {"application/json": outcome(OUTCOME | OF_CANDLES)},
        UPLOADED,
    ),
    "candles.delete": (
        ("symbol", "gone_from", "gone_to", "only_tf", "key"),
        {"application/json": DELETED},
        (400, 404, 422, 507),
    ),
    "ticks.write": (
        (*ROWS, "key"),
        {"application/json": outcome(OUTCOME | OF_TICKS)},
        UPLOADED,
    ),
    "symbols.change": (
        ("name", "key"),
        {"application/json": record(SYMBOL)},
        (404, *UPLOADED),
    ),
    "symbols.delete": (
        ("name", "key"),
        {"application/json": DELETED},
        (400, 404, 422, 507),
    ),
    "symbols.list": (
        (),
        {"application/json": record({"symbols": {"type": "array", "items": record(SYMBOL)}})},
        (),
    ),
    "symbols.read": (
        ("name",),
        {"application/json": WHOLE_SYMBOL},
        (404,),
    ),
    "health.healthz": ((), {"application/json": record({"status": {"const": "ok"}})}, ()),
    "health.readyz": (
        ("stale",),
        {"application/json": record({"status": {"const": "ok"}})},
        (400, 503),
    ),
    "metrics.read": ((), {"text/plain": TEXT}, ()),
    "openapi.document": ((), {"application/json": ANY}, ()),
}
BODIES: dict[str, dict[str, Schema]] = {
    "candles.write": {
        "application/json": {"type": "array", "items": {"anyOf": [CANDLE_ROW, CANDLE]}},
        "text/csv": TEXT,
        "application/gzip": PACKED,
    },
    "ticks.write": {
        "application/json": {
            "type": "object",
            "properties": {"ticks": {"type": "array", "items": TICK_ROW}, "clock": TEXT},
            "required": ["ticks"],
        },
        "text/csv": TEXT,
        "application/gzip": PACKED,
    },
    "symbols.change": {"application/json": FACTS},
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
    scope = getattr(view, "scope", None)
    is_open = scope == "open"
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
    if bodies := BODIES.get(rule.endpoint):
        content = {kind: {"schema": schema} for kind, schema in bodies.items()}
        described["requestBody"] = {"required": True, "content": content}
    for status in (*refusals, *(() if is_open else (401, 403, 429, 503))):
        described["responses"][str(status)] = {
            "description": "refused",
            "content": {PROBLEM: {"schema": PROBLEM_SCHEMA}},
        }
    if not is_open:
        keys: list[Schema] = [{"bearer": []}, {"header": []}]
        described["security"] = [{}, *keys] if scope == "read" else keys
    return described
