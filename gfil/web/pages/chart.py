"""`/chart/<symbol>`: the chart page, with the newest candles inline."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple
from urllib.parse import urlencode

from flask import Response, render_template
from markupsafe import Markup

from gfil import clocks, timeframes
from gfil.clocks import Clock
from gfil.store import symbols
from gfil.store.candles.page import read_page
from gfil.store.engine.connection import read_state
from gfil.store.symbols import Symbol
from gfil.timeframes import Timeframe
from gfil.web.pages.assets import CHART_MODULES
from gfil.web.pages.page import inline_json, page_blueprint, send_page
from gfil.web.pages.page_cache import PAGES
from gfil.web.request.connections import read_db
from gfil.web.request.parameters import CLOCK, TF, instant, number
from gfil.web.request.route import route
from gfil.wording import format_change, format_number

INLINE_CANDLES = 300
TABLE_ROWS = 12
UNIX_DAY_0 = date(1970, 1, 1).toordinal()

# Clocks that the picker offers by name; any other can be typed.
COMMON_CLOCKS = {
    "UTC": "UTC",
    "America/New_York+07:00": "New York close",
    "Europe/London": "London",
    "Europe/Athens": "Athens",
    "America/New_York": "New York",
    "Asia/Tokyo": "Tokyo",
}
TIMEFRAME_LENGTHS = [(timeframe.name, timeframe.seconds) for timeframe in timeframes.TIMEFRAMES]
Rows = Sequence[Sequence[Any]]

bp = page_blueprint("chart")

CHART_TF = replace(TF, required=False, default=timeframes.H1)
CHART_CLOCK = replace(CLOCK, default=None, description="Clock (default: the symbol's).")
CHART_TO = instant("to", "stop", "Show the candles before this (default: the newest).")
SPACING = number("spacing", "Pixels per candle; the script of the page reads it.")


@route(
    bp,
    "GET",
    "/chart/<symbol>",
    scope="read",
    parameters=[CHART_TF, CHART_CLOCK, CHART_TO, SPACING],
)
def show_chart(
    symbol: str, tf: Timeframe, clock: Clock | None, stop: int | None, spacing: float | None
) -> Response:
    """Chart of a symbol with its newest 300 candles, or those before `to`, inline."""
    db, now = read_db(), time.time()
    found = symbols.read(db, symbol)
    clock = clock or clocks.parse(found.clock)
    epoch, _ = read_state(db)
    key = (epoch, found, tf, clock, stop)  # the symbol holds its change number
    drawn = PAGES.get(key, now)
    if drawn is None:
        drawn = _draw(found, tf, clock, stop, now)
        PAGES.put(key, drawn, drawn.expires)
    facts = {
        "digits": found.digits_shown,
        "to": stop,
        "now": now,
        "rows": TABLE_ROWS,
        "timeframes": TIMEFRAME_LENGTHS,
    }
    return send_page(drawn.head + inline_json(facts).encode() + drawn.tail)


class _Drawn(NamedTuple):
    # A page without the facts of the request. It expires when its last candle has formed.
    head: bytes
    tail: bytes
    expires: float


def _draw(
    symbol: Symbol, timeframe: Timeframe, clock: Clock, stop: int | None, now: float
) -> _Drawn:
    answer = read_page(
        read_db(), symbol, timeframe, clock, stop=stop, limit=INLINE_CANDLES, now=now
    )
    rows, digits = answer.candles, symbol.digits_shown
    filled = {
        **_legend(rows, digits, timeframe, clock),
        "hidden": "hidden" if rows else "",
        "rows": _table_rows(rows[-TABLE_ROWS:], digits, timeframe, clock),
        "data": inline_json(answer._asdict()),
        "facts": "\0",
    }
    shell = _read_shell(symbol, timeframe.name, clock.name)
    text = "".join([text + filled.get(slot, "") for text, slot in shell])
    head, tail = text.encode().split(b"\0")
    forming = answer.forming is not None
    return _Drawn(head, tail, clock.bucket(timeframe, rows[-1][0]).stop if forming else math.inf)


def _read_shell(symbol: Symbol, tf: str, clock: str) -> Sequence[tuple[str, str]]:
    # The shell is all that does not depend on candles. Rendering the template takes longer than
    # reading the candles, and the shell outlives the changes of the symbol.
    key = ("shell", symbol.name, symbol.description, symbol.clock, tf, clock)
    shell: Sequence[tuple[str, str]] | None = PAGES.get(key, 0)
    if shell is None:
        shell = _render_shell(symbol, tf, clock)
        PAGES.put(key, shell)
    return shell


def _render_shell(symbol: Symbol, tf: str, clock: str) -> Sequence[tuple[str, str]]:
    # Parts of the page, each with the name of the slot that follows.
    query = urlencode({"symbol": symbol.name, "tf": tf, "clock": clock, "format": "csv"})
    text = render_template(
        "chart.html",
        name=symbol.name,
        description=symbol.description,
        tf=tf,
        clock=clock,
        modules=CHART_MODULES,
        timeframes=[
            (each, urlencode({"tf": each, "clock": clock})) for each, _ in TIMEFRAME_LENGTHS
        ],
        clocks=_offered_clocks(clock, symbol.name, symbol.clock),
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


def _legend(rows: Rows, digits: int, timeframe: Timeframe, clock: Clock) -> dict[str, str]:
    if not rows:
        return {}
    instant, *prices, volume = rows[-1]
    before = rows[-2][4] if len(rows) > 1 else prices[0]
    texts = [format_number(price, digits) for price in prices]
    return {
        "time": _format_wall(instant, timeframe, clock),
        **dict(zip(("open", "high", "low", "close"), texts, strict=True)),
        "volume": _format_volume(volume),
        "change": format_change(prices[3], before),
    }


def _table_rows(rows: Rows, digits: int, timeframe: Timeframe, clock: Clock) -> str:
    price = f"<td>{{:,.{digits}f}}</td>"
    row = f'<tr><th scope="row">{{}}</th>{4 * price}<td>{{}}</td></tr>\n'
    return "".join(
        [
            row.format(_format_wall(instant, timeframe, clock), *prices, _format_volume(volume))
            for instant, *prices, volume in reversed(rows)
        ]
    )


def _format_wall(instant: int, timeframe: Timeframe, clock: Clock) -> str:
    day, second = divmod(clock.wall(instant), timeframes.DAY)
    if timeframe.seconds >= timeframes.DAY:
        return _format_day(day)
    return f"{_format_day(day)} {second // 3600:02}:{second // 60 % 60:02}"


def _format_day(day: int) -> str:
    return date.fromordinal(UNIX_DAY_0 + day).isoformat()


def _format_volume(volume: float) -> str:
    whole = f"{volume:,.0f}"
    return whole if volume == int(volume) else f"{volume:,.8f}".rstrip("0")
