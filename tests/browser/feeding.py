"""A server that is written to while pages show it, and what a page holds by then."""

import contextlib
import json
import re
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from gfil.store import api_keys
from gfil.store.engine import connection
from tests.browser.conftest import MINUTE, wait_drawn
from tests.browser.looking import OpenPage
from tests.conftest import Server, wait_for
from tests.web.walks import Candle, store, walk

HEAL_S = 120
# What Chromium says of a server that goes away or is not ready yet.
BROKEN = ["ERR_CONNECTION_", "ERR_INCOMPLETE_CHUNKED", "ERR_EMPTY_RESPONSE", "503 (SERVICE"]


def minute(back: int = 0) -> int:
    """The start of the minute that forms, or of one so many before."""
    return int(time.time()) // MINUTE * MINUTE - back * MINUTE


class House:
    """A server with a key to write."""

    def __init__(self, start: Callable[..., Server], path: Path, **settings: str) -> None:
        self.path = path
        self._start = partial(start, GFIL_DB=str(path), **settings)
        connection.create(path)
        db = connection.connect(path)
        with connection.transaction(db):
            _, self.key = api_keys.create(db, "pump", "admin", now=int(time.time()))
        db.close()
        self.server = self._start()
        self.url = self.server.url

    def restart(self) -> None:
        """Start a new one where the last one was, once that has ended."""
        self.server = self._start("--bind", self.url.split("//")[1])

    def send(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Write over HTTP, as a pump does."""
        answer = self.server.request(method, path, body, Authorization=f"Bearer {self.key}")
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def streams(self) -> int:
        """How many live streams are open."""
        answer = self.server.get("/metrics", Authorization=f"Bearer {self.key}")
        found = re.search(r"^gfil_streams (\S+)$", answer.body.decode(), re.MULTILINE)
        return int(float(found[1])) if found else 0


class Feed:
    """A symbol of many minutes, the last of them just ended, and what is written to it."""

    def __init__(self, house: House, symbol: str = "GOLD") -> None:
        self.house = house
        self.symbol = symbol
        self.made = walk(symbol, minute(2000), 2000, price=2600)
        store(house.path, symbol, self.made)

    def tick(self, price: float, msc: int | None = None, symbol: str = "") -> None:
        """A tick of now, or of then."""
        stamp = int(time.time() * 1000) if msc is None else msc
        tick = {"symbol": symbol or self.symbol, "time_msc": stamp, "bid": price, "ask": price}
        self.house.send("POST", "/api/v1/ticks", json.dumps({"ticks": [tick]}).encode())

    def try_tick(self, price: float) -> bool:
        """A tick that may find no worker."""
        with contextlib.suppress(OSError, HTTPException):
            self.tick(price)
            return True
        return False

    def write(self, candles: Sequence[Candle], symbol: str = "") -> None:
        """Candles of a minute."""
        path = f"/api/v1/candles?symbol={symbol or self.symbol}&tf=M1"
        self.house.send("POST", path, json.dumps(candles).encode())

    def delete(self, start: int, stop: int) -> None:
        """Delete what lies between two instants."""
        path = f"/api/v1/candles?symbol={self.symbol}&from={start}&to={stop}"
        self.house.send("DELETE", path)

    def store(self, candles: Sequence[Candle]) -> None:
        """Write while no server runs."""
        store(self.house.path, self.symbol, candles)

    def candles(self, query: str = "tf=M1") -> list[list[float]]:
        """What the server has by now, the newest."""
        answer = self.house.server.get(f"/api/v1/candles?symbol={self.symbol}&limit=10000&{query}")
        found: list[list[float]] = json.loads(answer.body)["candles"]
        return found

    def open(self, open_page: OpenPage, query: str = "tf=M1&clock=UTC", **options: Any) -> Page:
        """Its chart, live, with what it holds laid open."""
        page = open_page("about:blank", drawn=False, base_url=self.house.url, **options)
        lay_open(page)
        page.goto(f"/chart/{self.symbol}?{query}")
        wait_drawn(page)
        expect_live(page)
        return page

    def expect_shown(self, page: Page, query: str = "tf=M1", seconds: float = HEAL_S) -> None:
        """What the page holds becomes what the server answers, to the last number."""

        def is_shown() -> bool:
            held = page.evaluate("window.shown.held.candles")
            found = self.candles(query)
            return bool(held) and held == found[-len(held) :]

        wait_for(is_shown, "the page shows what the server has", seconds)


def own_symbol(request: pytest.FixtureRequest) -> str:
    """The name of a symbol that no other test has."""
    return f"S{zlib.crc32(request.node.name.encode())}"


def lay_open(page: Page) -> None:
    """Let the test see what the chart holds."""

    def add(route: Route) -> None:
        script = route.fetch().text() + "\nwindow.shown = { held, plot };\n"
        route.fulfill(body=script, content_type="text/javascript")

    page.route("**/chart.js", add)


def expect_live(page: Page, seconds: float = HEAL_S) -> None:
    """The page says that it is live."""
    expect(page.locator("#live")).to_have_attribute("data-state", "live", timeout=1000 * seconds)


def workers(server: Server) -> list[int]:
    """The processes that answer."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [int(pid) for pid in children.read_text().split()]
