"""The pages a person sees, overview and chart, and the assets they load."""

import gzip
import hashlib
import math
import time
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache, lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson
from flask import Blueprint, Response, g, redirect, render_template, request
from markupsafe import Markup

from gfil import clocks, timeframes
from gfil.clocks import Clock
from gfil.config import ROOT
from gfil.errors import GfilError, Unauthorized
from gfil.store import symbols
from gfil.store.candles import page as page_request
from gfil.store.engine.connection import read_state
from gfil.store.symbols import Symbol
from gfil.timeframes import Timeframe
from gfil.web.pages import overview_rows
from gfil.web.pages.overview_rows import percent
from gfil.web.request.connections import read_db
from gfil.web.request.parameters import instant_parameter, text_parameter
from gfil.web.request.problems import error_headers, has_key_header
from gfil.web.request.responses import PAGE_HEADERS
from gfil.web.request.scope import scope
from gfil.wording import format_count, format_number

STATIC = ROOT / "static"
INLINE_CANDLES = 300
TABLE_ROWS = 12
YEAR_S = 365 * 86400

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Clocks worth offering by name; any other is typed.
COMMON_CLOCKS = {
    "UTC": "UTC",
    "America/New_York+07:00": "New York close",
    "Europe/London": "London",
    "Europe/Athens": "Athens",
    "America/New_York": "New York",
    "Asia/Tokyo": "Tokyo",
}
TIMEFRAME_LENGTHS = [(timeframe.name, timeframe.seconds) for timeframe in timeframes.TIMEFRAMES]
LIB_MODULES = (
    *("api", "back-off", "dom", "event-stream", "format", "page-visibility", "shortcuts"),
    *("stream-status", "symbol-search", "time-zones"),
)
CHART_MODULES = (
    "vendor/lightweight-charts@5.2.1/lightweight-charts.standalone.production.mjs",
    *(f"chart/{path.name}" for path in sorted((STATIC / "chart").glob("*.js"))),
    *(f"lib/{name}.js" for name in LIB_MODULES),
)
INLINE_ESCAPES = (
    ("<", "\\u003c"),
    (">", "\\u003e"),
    ("&", "\\u0026"),
    ("\u2028", "\\u2028"),
    ("\u2029", "\\u2029"),
)
Rows = Sequence[Sequence[Any]]


bp = Blueprint("pages", __name__)
bp.add_app_template_global(format_count)
bp.add_app_template_global(format_number)


@bp.get("/")
@scope("read")
def overview() -> Response:
    """Show every symbol: last price, change over the day, sparkline, how fresh it is."""
    db, now = read_db(), time.time()
    epoch, change = read_state(db)
    return page(
        "overview.html",
        quotes=overview_rows.list_rows(epoch),
        since=f"{epoch}-{change}",
        now=now,
        age=overview_rows.age,
        format_instant=clocks.format_instant,
        host=request.host_url,
    )


@bp.get("/chart/<symbol>")
@scope("read")
def chart(symbol: str) -> Response:
    """Show one symbol's candles, the newest 300 of them, or of those before `to`, inline."""
    db, now = read_db(), time.time()
    known = symbols.read(db, symbol)
    timeframe = timeframes.parse(text_parameter("tf", "") or "H1")
    clock = clocks.parse(text_parameter("clock", "") or known.clock)
    stop = instant_parameter("to")
    epoch, _ = read_state(db)
    drawn = _draw(epoch, known, timeframe, clock, stop, 0)
    if drawn.until <= now:
        drawn = _draw(epoch, known, timeframe, clock, stop, drawn.until)
    facts = {
        "digits": known.digits_shown,
        "to": stop,
        "now": now,
        "rows": TABLE_ROWS,
        "timeframes": TIMEFRAME_LENGTHS,
    }
    return _send(drawn.head + _inline(facts).encode() + drawn.tail)


class Drawn(NamedTuple):
    """A chart page but for its facts; right for one state of the symbol, and `until` an instant."""

    head: bytes
    tail: bytes
    until: float


@lru_cache(maxsize=128)
def _draw(
    epoch: str, symbol: Symbol, timeframe: Timeframe, clock: Clock, stop: int | None, since: float
) -> Drawn:
    # The arguments name all that a page depends on, the symbol with its change number. `since` is
    # when the page drawn before expired, because its last candle had formed.
    now = max(time.time(), since)
    answer = page_request.read_page(
        read_db(), symbol, timeframe, clock, stop=stop, limit=INLINE_CANDLES, now=now
    )
    rows, digits = answer.candles, symbol.digits_shown
    filled = {
        **_legend(rows, digits, timeframe, clock),
        "hidden": "hidden" if rows else "",
        "rows": _table_rows(rows[-TABLE_ROWS:], digits, timeframe, clock),
        "data": _inline(answer._asdict()),
        "facts": "\0",
    }
    shell = _chart_shell(symbol.name, symbol.description, symbol.clock, timeframe.name, clock.name)
    text = "".join([text + filled.get(slot, "") for text, slot in shell])
    head, tail = text.encode().split(b"\0")
    forming = answer.forming is not None
    return Drawn(head, tail, clock.bucket(timeframe, rows[-1][0]).stop if forming else math.inf)


@lru_cache(maxsize=256)
def _chart_shell(
    name: str, description: str, own_clock: str, tf: str, clock: str
) -> Sequence[tuple[str, str]]:
    # All that does not depend on the candles, as pieces of text, each with the slot after it:
    # rendering a template takes longer than reading the candles.
    query = urlencode({"symbol": name, "tf": tf, "clock": clock, "format": "csv"})
    text = render_template(
        "chart.html",
        name=name,
        description=description,
        tf=tf,
        clock=clock,
        modules=CHART_MODULES,
        timeframes=[
            (each, urlencode({"tf": each, "clock": clock})) for each, _ in TIMEFRAME_LENGTHS
        ],
        clocks=_offered_clocks(clock, name, own_clock),
        download=f"/api/v1/export?{query}",
        slot=lambda slot: Markup(f"\0{slot}\0"),
    )
    parts = [*text.split("\0"), ""]
    return list(zip(parts[::2], parts[1::2], strict=True))


def _offered_clocks(shown: str, symbol: str, own: str) -> dict[str, str]:
    texts = {own: f"{COMMON_CLOCKS.get(own, own)} ({symbol})"} if own != "UTC" else {}
    for name, text in COMMON_CLOCKS.items():
        texts.setdefault(name, text)
    texts.setdefault(shown, shown)
    return texts


@bp.get("/static/<version>/<path:name>")
@scope("open")
def static(version: str, name: str) -> Response:
    """Send an asset; one asked for under its own version may be kept for a year."""
    found = assets()
    content = found.contents.get(name)
    if content is None:
        return Response("No such file.\n", 404, PAGE_HEADERS, content_type="text/plain")
    keep = f"public, max-age={YEAR_S}, immutable" if version == found.version else "no-cache"
    response = Response(content.body, headers=PAGE_HEADERS, content_type=content.content_type)
    if request.accept_encodings["gzip"]:
        response.set_data(content.gzipped)
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = keep
    return response


@bp.errorhandler(GfilError)
def refuse(error: GfilError) -> Response:
    """Say in a plain sentence, on a page, why a page cannot be shown."""
    if isinstance(error, Unauthorized) and not has_key_header():
        return redirect(f"/login?{urlencode({'next': request.full_path.rstrip('?')})}", 303)  # type: ignore[return-value]
    g.detail = error.detail  # for the log
    response = page("error.html", title=error.title, detail=error.detail)
    response.status_code = error.status
    response.headers.update(error_headers(error))
    return response


def page(template: str, **facts: Any) -> Response:
    """Return a page made of a template, kept by nobody without asking again."""
    return _send(render_template(template, **facts))


def _send(text: str | bytes) -> Response:
    response = Response(text, headers=PAGE_HEADERS, mimetype="text/html")
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _inline(data: Any) -> str:
    # Nothing in it may end the <script> element it stands in.
    text = orjson.dumps(data).decode()
    for character, escaped in INLINE_ESCAPES:
        text = text.replace(character, escaped)
    return text


class Content(NamedTuple):
    """One file under static/, as it is sent."""

    body: bytes
    gzipped: bytes
    content_type: str


class Assets(NamedTuple):
    """Every file under static/ by its name, and the hash of them all."""

    version: str
    contents: dict[str, Content]


@cache
def assets() -> Assets:
    """Read every asset, once per process.

    One version names them all, so a module finds the module beside it under the same version.
    """
    digest = hashlib.blake2b(digest_size=8)
    contents = {}
    for path in sorted(STATIC.rglob("*")):
        if path.suffix not in CONTENT_TYPES:
            continue
        name, body = path.relative_to(STATIC).as_posix(), path.read_bytes()
        digest.update(f"{name}\0{len(body)}\0".encode() + body)
        contents[name] = Content(body, gzip.compress(body, 9, mtime=0), CONTENT_TYPES[path.suffix])
    return Assets(digest.hexdigest(), contents)


@bp.app_template_global()
def asset(name: str) -> str:
    """Return the versioned URL of a file under static/."""
    found = assets()
    if name not in found.contents:
        raise LookupError(f"no file static/{name}")
    return f"/static/{found.version}/{name}"


def _legend(rows: Rows, digits: int, timeframe: Timeframe, clock: Clock) -> dict[str, str]:
    if not rows:
        return {}
    instant, *prices, volume = rows[-1]
    before = rows[-2][4] if len(rows) > 1 else prices[0]
    texts = [format_number(price, digits) for price in prices]
    return {
        "time": _wall(instant, timeframe, clock),
        **dict(zip(("open", "high", "low", "close"), texts, strict=True)),
        "volume": _volume(volume),
        "change": percent(prices[3], before),
    }


def _table_rows(rows: Rows, digits: int, timeframe: Timeframe, clock: Clock) -> str:
    price = f"<td>{{:,.{digits}f}}</td>"
    row = f'<tr><th scope="row">{{}}</th>{4 * price}<td>{{}}</td></tr>\n'
    return "".join(
        [
            row.format(_wall(instant, timeframe, clock), *prices, _volume(volume))
            for instant, *prices, volume in reversed(rows)
        ]
    )


def _wall(instant: int, timeframe: Timeframe, clock: Clock) -> str:
    day, second = divmod(clock.wall(instant), timeframes.DAY)
    if timeframe.seconds >= timeframes.DAY:
        return _date(day)
    return f"{_date(day)} {second // 3600:02}:{second // 60 % 60:02}"


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def _volume(volume: float) -> str:
    whole = f"{volume:,.0f}"
    return whole if volume == int(volume) else f"{volume:,.8f}".rstrip("0")
