"""What the API takes and gives: its parameters, the bodies of requests, the shapes of answers."""

from typing import Any

from gfil import clocks, timeframes
from gfil.ingest import formats
from gfil.store import cursors, symbols
from gfil.store.candles import ticks
from gfil.store.candles.page import LIMIT_DEFAULT, LIMIT_MAX
from gfil.web.request import idempotency

Schema = dict[str, Any]

TIME: Schema = {"type": "integer", "description": "UNIX seconds, UTC"}
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}


def or_null(schema: Schema) -> Schema:
    """Return the schema of a value that may be missing."""
    return {"anyOf": [schema, {"type": "null"}]}


def record(properties: dict[str, Schema]) -> Schema:
    """Return the schema of an object with these properties, all of them and no other."""
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


def outcome(properties: dict[str, Schema]) -> Schema:
    """Return the schema of what became of an upload: a dry run tells more than these."""
    return {"type": "object", "properties": properties, "required": [*properties]}


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
    "sub": {
        "name": "sub",
        "in": "query",
        "description": "What to follow: SYMBOL,TF or SYMBOL,TF,CLOCK; UTC where no clock is named.",
        "required": True,
        "schema": {"type": "array", "items": TEXT, "minItems": 1, "maxItems": 32},
        "examples": {"two": {"value": ["XAUUSD,M1", "EURUSD,H4,nyclose"]}},
    },
    "since": _parameter(
        "since",
        "The id of the last event seen, or epoch and change of an answer: what came after it is "
        "sent first.",
        {"type": "string", "pattern": "^[0-9A-Za-z]{1,64}-[0-9]{1,16}$"},
    ),
    "last_event_id": {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "As since, and before it; browsers send it when they connect again.",
        "schema": TEXT,
    },
    "stale": _parameter("stale", "1: not ready while a symbol is stale.", {"enum": ["0", "1"]}),
    "format": _parameter("format", "The shape of the file.", {"enum": ["csv", "ndjson", "json"]}),
    "key": {
        "name": idempotency.HEADER,
        "in": "header",
        "required": False,
        "description": "Sent again with the same one, a request gets its first answer again, 24 h.",
        "schema": {"type": "string", "pattern": f"^{idempotency.HEADER_FORM.pattern}$"},
    },
    **{
        f"rows_{name}": _parameter(name, sentence, schema)
        for name, sentence, schema in (
            ("symbol", "Whose rows; without it a column tells.", TEXT),
            ("tf", "Their timeframe; without it a column tells.", TEXT),
            ("clock", "Clock of the stamps; without it a JSON head tells, else UTC.", TEXT),
            ("format", "The format; without it the content tells.", {"enum": [*formats.NAMES]}),
            ("columns", "What the cells hold: time,open,close,high,low,volume; _ skips.", TEXT),
            ("on_error", "abort: one bad row refuses all.", {"enum": ["skip", "abort"]}),
            ("mode", "fill: stored candles stay.", {"enum": ["fill"]}),
            ("dry_run", "1: tell what would be done.", {"enum": ["0", "1"]}),
            ("force_tf", "1: even if the rows contradict it.", {"enum": ["0", "1"]}),
        )
    },
    "gap_from": _parameter("from", "Missing from here on; without it of 12 weeks.", INSTANT),
    "gap_to": _parameter("to", "Missing before this; without it to now.", INSTANT),
    "gone_from": _parameter("from", "What starts here or later goes.", INSTANT, required=True),
    "gone_to": _parameter("to", "What ends here or before goes.", INSTANT, required=True),
    "only_tf": _parameter("tf", "Only candles of this timeframe.", TEXT),
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
    "price": or_null({"enum": [*symbols.PRICES]}),
    "base": TEXT,
    "quote": TEXT,
    "last": or_null(NUMBER),
    "bid": or_null(NUMBER),
    "ask": or_null(NUMBER),
    "last_tick_msc": or_null({"type": "integer"}),
    "last_time": or_null(TIME),
    "stale": FLAG,
    "change": {"type": "integer"},
}
HOLDING = record({"tf": TEXT, "clock": TEXT, "first": TIME, "last": TIME, "count": NUMBER})
WHOLE_SYMBOL = record(SYMBOL | {"timeframes": {"type": "array", "items": HOLDING}})
TICK: Schema = {
    "type": "array",
    "description": "time_msc, bid, ask, last, volume, flags",
    "items": NUMBER,
    "minItems": 6,
    "maxItems": 6,
}
TICKS = record(
    {
        "symbol": TEXT,
        "ticks": {"type": "array", "items": TICK},
        "next_cursor": or_null(TEXT),
    }
)
GAP = record({"symbol": TEXT, "from": TIME, "to": TIME, "minutes": {"type": "integer"}})
GAPS = record({"gaps": {"type": "array", "items": GAP}})
ANSWER = record(
    {
        "symbol": TEXT,
        "tf": {"enum": [each.name for each in timeframes.TIMEFRAMES]},
        "clock": TEXT,
        "candles": {"type": "array", "items": CANDLE},
        "next_cursor": or_null(TEXT),
        "forming": or_null(TIME),
        "epoch": TEXT,
        "change": {"type": "integer"},
    }
)
COUNT: Schema = {"type": "integer", "minimum": 0}
OUTCOME: dict[str, Schema] = {
    "rows": COUNT,
    "inserted": COUNT,
    "duplicates": COUNT,
    "rejected": COUNT,
    "reasons": {"type": "object", "additionalProperties": COUNT},
    "errors": {
        "type": "array",
        "items": record({"row": COUNT, "reason": TEXT, "text": TEXT | {"maxLength": 200}}),
        "maxItems": 100,
    },
    "warnings": {"type": "array", "items": TEXT},
    "change": COUNT,
}
OF_CANDLES: dict[str, Schema] = {
    "updated": COUNT,
    "unchanged": COUNT,
    "kept": COUNT,
    "from": or_null(TIME),
    "to": or_null(TIME),
}
OF_TICKS: dict[str, Schema] = {"last": {"type": "object", "additionalProperties": COUNT}}
DELETED = record(
    {"deleted": COUNT, "ticks": COUNT, "warnings": OUTCOME["warnings"]} | {"change": COUNT}
)
PROBLEM_SCHEMA = {
    "type": "object",
    "properties": {
        "type": TEXT,
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": TEXT,
        "request_id": TEXT | {"description": "of 5xx: the X-Request-ID, as the log has it"},
    },
    "required": ["type", "title", "status", "detail"],
}
ANY = {"description": "anything"}
FACTS: Schema = {
    "type": "object",
    "properties": {
        "description": TEXT | {"maxLength": symbols.DESCRIPTION_LENGTH_MAX},
        "digits": or_null(SYMBOL["digits"]),
        "base": TEXT,
        "quote": TEXT,
        "clock": TEXT,
        "price": SYMBOL["price"],
    },
    "additionalProperties": False,
}
TICK_ROW: Schema = {
    "type": "object",
    "properties": dict.fromkeys(("bid", "ask", "last", "volume"), NUMBER)
    | {"symbol": TEXT, "time_msc": {"type": "integer"}, "flags": {"type": "integer"}},
    "required": ["time_msc"],
}
CANDLE_ROW: Schema = {
    "type": "object",
    "properties": {"time": TIME}
    | dict.fromkeys(("open", "high", "low", "close", "volume"), NUMBER),
    "required": ["time", "open", "high", "low", "close"],
}
PACKED: Schema = {"type": "string", "format": "binary", "description": "any of these, as gzip"}
