"""Schemas and examples of the API: bodies of requests and shapes of answers."""

from typing import Any

from gfil import timeframes
from gfil.store import symbols
from gfil.web.request.schema import (
    COUNT,
    FLAG,
    INTEGER,
    NUMBER,
    TEXT,
    TIME,
    Schema,
    array,
    component,
    one_of,
    open_record,
    or_null,
    record,
    table,
)

TIMEFRAME = one_of(*(each.name for each in timeframes.TIMEFRAMES))
PRICE = one_of(*symbols.PRICES)
DIGITS = INTEGER | {"minimum": 0, "maximum": symbols.DIGITS_MAX}

# Candles

CANDLE = component(
    "Candle",
    array(NUMBER, minItems=6, maxItems=6)
    | {"description": "[time, open, high, low, close, volume]; time is the start of the bucket"},
)
CANDLE_PAGE = component(
    "CandlePage",
    record(
        {
            "symbol": TEXT,
            "tf": TIMEFRAME,
            "clock": TEXT,
            "candles": array(CANDLE),
            "next_cursor": or_null(TEXT),
            "forming": or_null(TIME),
            "epoch": TEXT,
            "change": INTEGER,
        }
    ),
)
CANDLE_PAGE_EXAMPLE: dict[str, Any] = {
    "symbol": "XAUUSD",
    "tf": "H1",
    "clock": "UTC",
    "candles": [
        [1747728000, 3229.47, 3231.1, 3224.05, 3226.9, 5210.0],
        [1747731600, 3226.9, 3230.2, 3225.4, 3229.8, 4890.0],
    ],
    "next_cursor": None,
    "forming": 1747731600,
    "epoch": "4f0c1d2e",
    "change": 1207,
}
CANDLES_CSV_EXAMPLE = (
    "time,open,high,low,close,volume\n2025-05-20T08:00:00Z,3229.47,3231.1,3224.05,3226.9,5210\n"
)
CANDLE_ROW = component(
    "CandleRow",
    open_record(
        {"time": TIME} | dict.fromkeys(("open", "high", "low", "close", "volume"), NUMBER), "volume"
    ),
)
# An object: openapi-python-client generates broken code for an array next to another content type.
CANDLE_BATCH = component(
    "CandleBatch",
    open_record(
        {"symbol": TEXT, "tf": TEXT, "clock": TEXT}
        | {"candles": array({"anyOf": [CANDLE_ROW, CANDLE]})},
        *("symbol", "tf", "clock"),
    ),
)
CANDLE_BATCH_EXAMPLE: dict[str, Any] = {
    "symbol": "XAUUSD",
    "tf": "H1",
    "candles": [
        {"time": 1747728000, "open": 3229.47, "high": 3231.1, "low": 3224.05, "close": 3226.9},
        {"time": 1747731600, "open": 3226.9, "high": 3230.2, "low": 3225.4, "close": 3229.8},
    ],
}

# Ticks

TICK = component(
    "Tick",
    array(NUMBER, minItems=6, maxItems=6)
    | {"description": "[time_msc, bid, ask, last, volume, flags]; time_msc is UNIX milliseconds"},
)
TICK_PAGE = component(
    "TickPage", record({"symbol": TEXT, "ticks": array(TICK), "next_cursor": or_null(TEXT)})
)
TICK_PAGE_EXAMPLE: dict[str, Any] = {
    "symbol": "XAUUSD",
    "ticks": [[1747728000123, 3229.47, 3229.71, 0.0, 0.0, 6]],
    "next_cursor": None,
}
TICK_ROW = component(
    "TickRow",
    open_record(
        {"symbol": TEXT, "time_msc": INTEGER}
        | dict.fromkeys(("bid", "ask", "last", "volume"), NUMBER)
        | {"flags": INTEGER},
        *("symbol", "bid", "ask", "last", "volume", "flags"),
    ),
)
TICK_BATCH = component("TickBatch", open_record({"ticks": array(TICK_ROW), "clock": TEXT}, "clock"))
TICK_BATCH_EXAMPLE: dict[str, Any] = {
    "ticks": [
        {"symbol": "XAUUSD", "time_msc": 1747728000123, "bid": 3229.47, "ask": 3229.71, "flags": 6}
    ]
}

# Reports of uploads: a dry run adds fields

REFUSED_ROW = component(
    "RefusedRow", record({"row": COUNT, "reason": TEXT, "text": TEXT | {"maxLength": 200}})
)
REPORT: dict[str, Schema] = {
    "rows": COUNT,
    "inserted": COUNT,
    "duplicates": COUNT,
    "rejected": COUNT,
    "reasons": table(COUNT),
    "errors": array(REFUSED_ROW, maxItems=100),
    "warnings": array(TEXT),
    "change": COUNT,
}
CANDLE_REPORT = component(
    "CandleReport",
    open_record(
        REPORT
        | {
            "updated": COUNT,
            "unchanged": COUNT,
            "kept": COUNT,
            "from": or_null(TIME),
            "to": or_null(TIME),
        }
    ),
)
REPORT_EXAMPLE: dict[str, Any] = {
    "rows": 2,
    "inserted": 2,
    "duplicates": 0,
    "rejected": 0,
    "reasons": {},
    "errors": [],
    "warnings": [],
    "change": 1208,
}
CANDLE_REPORT_EXAMPLE = REPORT_EXAMPLE | {
    "updated": 0,
    "unchanged": 0,
    "kept": 0,
    "from": 1747728000,
    "to": 1747731600,
}
TICK_REPORT = component("TickReport", open_record(REPORT | {"last": table(COUNT)}))
TICK_REPORT_EXAMPLE = REPORT_EXAMPLE | {
    "rows": 1,
    "inserted": 1,
    "last": {"XAUUSD": 1747728000123},
}
DELETION = component(
    "Deletion",
    record({"deleted": COUNT, "ticks": COUNT, "warnings": array(TEXT), "change": COUNT}),
)
DELETION_EXAMPLE = {"deleted": 120, "ticks": 0, "warnings": [], "change": 1209}

# Symbols

_SYMBOL: dict[str, Schema] = {
    "symbol": TEXT,
    "description": TEXT,
    "digits": DIGITS,
    "clock": TEXT,
    "price": or_null(PRICE),
    "base": TEXT,
    "quote": TEXT,
    "last": or_null(NUMBER),
    "bid": or_null(NUMBER),
    "ask": or_null(NUMBER),
    "last_tick_msc": or_null(INTEGER),
    "last_time": or_null(TIME),
    "stale": FLAG,
    "change": INTEGER,
}
SYMBOL = component("Symbol", record(_SYMBOL))
HOLDING = component(
    "Holding", record({"tf": TEXT, "clock": TEXT, "first": TIME, "last": TIME, "count": COUNT})
)
SYMBOL_DETAIL = component("SymbolDetail", record(_SYMBOL | {"timeframes": array(HOLDING)}))
SYMBOL_LIST = component("SymbolList", record({"symbols": array(SYMBOL)}))
SYMBOL_EXAMPLE: dict[str, Any] = {
    "symbol": "XAUUSD",
    "description": "Gold",
    "digits": 2,
    "clock": "America/New_York+07:00",
    "price": None,
    "base": "XAU",
    "quote": "USD",
    "last": 3229.8,
    "bid": 3229.8,
    "ask": 3230.04,
    "last_tick_msc": 1747733105441,
    "last_time": 1747733100,
    "stale": False,
    "change": 1207,
}
HOLDING_EXAMPLE = {
    "tf": "M1",
    "clock": "UTC",
    "first": 1739836800,
    "last": 1747733100,
    "count": 89_021,
}
SYMBOL_SETTINGS = component(
    "SymbolSettings",
    {
        "type": "object",
        "properties": {
            "description": TEXT | {"maxLength": symbols.DESCRIPTION_LENGTH_MAX},
            "digits": or_null(DIGITS),
            "base": TEXT,
            "quote": TEXT,
            "clock": TEXT,
            "price": or_null(PRICE),
        },
        "additionalProperties": False,
    },
)
SYMBOL_SETTINGS_EXAMPLE = {"description": "Gold", "digits": 2}

# Gaps and health

GAP = component("Gap", record({"symbol": TEXT, "from": TIME, "to": TIME, "minutes": INTEGER}))
GAP_LIST = component("GapList", record({"gaps": array(GAP)}))
GAP_LIST_EXAMPLE = {
    "gaps": [{"symbol": "XAUUSD", "from": 1747731600, "to": 1747732200, "minutes": 10}]
}
HEALTH = component("Health", record({"status": {"type": "string", "const": "ok"}}))
HEALTH_EXAMPLE = {"status": "ok"}

# Errors

PROBLEM = component(
    "Problem",
    open_record(
        {
            "type": TEXT | {"description": "code of the error, for programs"},
            "title": TEXT,
            "status": INTEGER,
            "detail": TEXT | {"description": "one sentence, for people"},
            "parameter": TEXT | {"description": "name of the wrong parameter"},
            "request_id": TEXT | {"description": "X-Request-ID of a 5xx answer, as in the log"},
        },
        *("parameter", "request_id"),
    ),
)
