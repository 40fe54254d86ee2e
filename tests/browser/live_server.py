"""A server that receives data while pages show it, and symbols to write to."""

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
from playwright.sync_api import Page, expect

from gfil.store import api_keys
from gfil.store.engine import connection
from tests.browser.chart_page import OpenPage, expose_chart
from tests.browser.conftest import MINUTE, wait_drawn
from tests.conftest import Server, wait_for
from tests.web.walks import Candle, store, walk

RECONNECT_S = 120
# Chromium's console messages about a server that is down or not ready.
CONNECTION_ERRORS = [
    *("ERR_CONNECTION_", "ERR_INCOMPLETE_CHUNKED", "ERR_EMPTY_RESPONSE"),
    *("ERR_SOCKET_NOT_CONNECTED", "503 (SERVICE"),
]


def minute(back: int = 0) -> int:
    """Return the start of the current minute, or of one `back` minutes earlier."""
    return int(time.time()) // MINUTE * MINUTE - back * MINUTE


class LiveServer:
    """A server and an admin key for it."""

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
        """Start a new server at the same address, after the old one has ended."""
        self.server = self._start("--bind", self.url.split("//")[1])

    def send(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Send a request with the key and return the JSON response."""
        answer = self.server.request(method, path, body, Authorization=f"Bearer {self.key}")
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def streams(self) -> int:
        """Return the number of open streams."""
        answer = self.server.get("/metrics", Authorization=f"Bearer {self.key}")
        found = re.search(r"^gfil_streams (\S+)$", answer.body.decode(), re.MULTILINE)
        return int(float(found[1])) if found else 0


class LiveSymbol:
    """A symbol with 2,000 M1 candles, the last of them just ended."""

    def __init__(self, live_server: LiveServer, name: str = "GOLD") -> None:
        self.live_server = live_server
        self.name = name
        self.candles = walk(name, minute(2000), 2000, price=2600)
        store(live_server.path, name, self.candles)

    def tick(self, price: float, msc: int | None = None, symbol: str = "") -> None:
        """Post a tick, by default with the current time."""
        time_msc = int(time.time() * 1000) if msc is None else msc
        tick = {"symbol": symbol or self.name, "time_msc": time_msc, "bid": price, "ask": price}
        self.live_server.send("POST", "/api/v1/ticks", json.dumps({"ticks": [tick]}).encode())

    def try_tick(self, price: float) -> bool:
        """Post a tick and return whether a worker took it."""
        with contextlib.suppress(OSError, HTTPException):
            self.tick(price)
            return True
        return False

    def post(self, candles: Sequence[Candle], symbol: str = "") -> None:
        """Post M1 candles."""
        path = f"/api/v1/candles?symbol={symbol or self.name}&tf=M1"
        self.live_server.send("POST", path, json.dumps(candles).encode())

    def delete(self, start: int, stop: int) -> None:
        """Delete the candles of a time range."""
        path = f"/api/v1/candles?symbol={self.name}&from={start}&to={stop}"
        self.live_server.send("DELETE", path)

    def store(self, candles: Sequence[Candle]) -> None:
        """Write M1 candles to the database file while no server runs."""
        store(self.live_server.path, self.name, candles)

    def served(self, query: str = "tf=M1") -> list[list[float]]:
        """Return the newest candles of the API."""
        path = f"/api/v1/candles?symbol={self.name}&limit=10000&{query}"
        candles: list[list[float]] = json.loads(self.live_server.server.get(path).body)["candles"]
        return candles

    def open(self, open_page: OpenPage, query: str = "tf=M1&clock=UTC", **options: Any) -> Page:
        """Open the chart and wait until it is live."""
        page = open_page("about:blank", drawn=False, base_url=self.live_server.url, **options)
        expose_chart(page)
        page.goto(f"/chart/{self.name}?{query}")
        wait_drawn(page)
        expect_live(page)
        return page

    def expect_synced(self, page: Page, query: str = "tf=M1", seconds: float = RECONNECT_S) -> None:
        """Wait until the candles of the page equal those of the API."""

        def is_synced() -> bool:
            held = page.evaluate("window.chartPage.store.candles")
            served = self.served(query)
            return bool(held) and held == served[-len(held) :]

        wait_for(is_synced, "the page shows the candles of the API", seconds)


def own_symbol(request: pytest.FixtureRequest) -> str:
    """Return a symbol that no other test uses."""
    return f"S{zlib.crc32(request.node.name.encode())}"


def expect_live(page: Page, seconds: float = RECONNECT_S) -> None:
    """Wait until the page says that it is live."""
    status = page.locator("#stream-status")
    expect(status).to_have_attribute("data-state", "live", timeout=1000 * seconds)


def workers(server: Server) -> list[int]:
    """Return the process ids of the server's workers."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [int(pid) for pid in children.read_text().split()]
