"""The live chart when the connection breaks: it says so, reconnects and misses no change."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from gfil.store import api_keys
from gfil.store.engine import connection
from tests.browser.chart_page import OpenPage, expose_chart, serve_changed
from tests.browser.conftest import PageLog
from tests.browser.live_server import (
    CONNECTION_ERRORS,
    RECONNECT_S,
    LiveServer,
    LiveSymbol,
    expect_live,
    minute,
    own_symbol,
    workers,
)
from tests.conftest import Server

LOST = "Connection lost, reconnecting…"


@pytest.fixture(scope="module")
def live_server(
    server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory
) -> LiveServer:
    """Start one server for this module. A test that stops it starts it again."""
    return LiveServer(server, tmp_path_factory.mktemp("broken") / "gfil.db")


@pytest.fixture
def symbol(
    live_server: LiveServer, page_log: PageLog, request: pytest.FixtureRequest
) -> LiveSymbol:
    """Create a symbol for each test."""
    page_log.expected += CONNECTION_ERRORS
    if live_server.server.process.poll() is not None:  # the previous test failed
        live_server.restart()
    return LiveSymbol(live_server, own_symbol(request))


def test_chart_has_every_change_after_server_restart(
    open_page: OpenPage, symbol: LiveSymbol
) -> None:
    page = symbol.open(open_page)
    symbol.live_server.server.stop()
    expect(page.locator("#stream-status")).to_have_text(LOST)
    expect(page).to_have_title(f"{symbol.name} M1 – GFIL")
    missed = [(minute(), 2600.0, 2601.0, 2599.0, 2600.5, 7.0)]
    corrected = [
        (time, o, high + 5, low, c, v + 1000) for time, o, high, low, c, v in symbol.candles[-9:]
    ]
    symbol.store([*corrected, *missed])
    symbol.live_server.restart()
    expect_live(page)
    symbol.expect_synced(page)
    assert page.evaluate("window.chartPage.store.candles").count(list(missed[0])) == 1
    symbol.tick(2777.5)
    symbol.expect_synced(page)


def test_chart_reloads_after_more_missed_changes_than_stream_sends(
    open_page: OpenPage, symbol: LiveSymbol
) -> None:
    page = symbol.open(open_page)
    symbol.live_server.server.stop()
    expect(page.locator("#stream-status")).to_have_text(LOST)
    symbol.store(
        [(time, o, h + 5, low, c, v + 1000) for time, o, h, low, c, v in symbol.candles[-280:]]
    )
    symbol.live_server.restart()
    expect_live(page)
    symbol.expect_synced(page)


def test_chart_has_every_change_after_workers_are_killed(
    open_page: OpenPage, symbol: LiveSymbol, eventually: Callable[..., Any]
) -> None:
    page = symbol.open(open_page)
    for price in (2701.0, 2702.0, 2703.0, 2704.0):
        for worker in workers(symbol.live_server.server):
            os.kill(worker, signal.SIGKILL)
        eventually(partial(symbol.try_tick, price), "a worker takes the tick", RECONNECT_S)
        symbol.expect_synced(page)
    expect_live(page)


def test_hidden_page_closes_stream_and_catches_up_when_visible(
    open_page: OpenPage, symbol: LiveSymbol, eventually: Callable[..., Any]
) -> None:
    page = symbol.open(open_page)
    eventually(lambda: symbol.live_server.streams() == 1, "one stream", RECONNECT_S)
    hide(page, hidden=True)
    eventually(lambda: symbol.live_server.streams() == 0, "the stream is closed", RECONNECT_S)
    expect(page).to_have_title(f"{symbol.name} M1 – GFIL")
    symbol.tick(2733.5)
    symbol.post([(symbol.candles[-5][0], 2500.0, 2900.0, 2400.0, 2800.0, 10_000.0)])
    hide(page, hidden=False)
    expect_live(page)
    symbol.expect_synced(page)
    expect(page).to_have_title(f"2,733.50 {symbol.name} M1 – GFIL")
    eventually(lambda: symbol.live_server.streams() == 1, "one stream", RECONNECT_S)


def hide(page: Page, *, hidden: bool) -> None:
    """Send the event of a tab change, which headless Chromium does not have."""
    page.evaluate(
        """state => {
        Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    }""",
        "hidden" if hidden else "visible",
    )


def test_page_left_by_navigation_closes_stream_and_reconnects_on_return(
    open_page: OpenPage, symbol: LiveSymbol, eventually: Callable[..., Any]
) -> None:
    page = symbol.open(open_page)
    page.goto("about:blank")
    eventually(lambda: symbol.live_server.streams() == 0, "the stream is closed", RECONNECT_S)
    page.go_back()
    expect_live(page)
    symbol.tick(2744.5)
    expect(page.locator("#legend dd").nth(4)).to_have_text("2,744.50")


def test_page_with_revoked_key_shows_refusal_and_stops_retrying(
    open_page: OpenPage, server: Callable[..., Server], tmp_path: Path, page_log: PageLog
) -> None:
    page_log.expected += [*CONNECTION_ERRORS, "401 (UNAUTHORIZED)"]
    live_server = LiveServer(server, tmp_path / "gfil.db", GFIL_READ="key")
    LiveSymbol(live_server)
    page = open_page("/login?next=/chart/GOLD", drawn=False, base_url=live_server.url)
    page.fill("[name=key]", live_server.key)
    page.click("main button")
    expect_live(page)
    db = connection.connect(live_server.path)
    with connection.transaction(db):
        api_keys.revoke(db, live_server.key.split("_")[1], now=int(time.time()))
    db.close()
    for worker in workers(live_server.server):  # or the stream ends at the next check of its key
        os.kill(worker, signal.SIGKILL)
    expect(page.locator("#stream-status")).to_contain_text("Not live: ", timeout=1000 * RECONNECT_S)
    asked = len(page_log.urls("/api/"))
    page.wait_for_timeout(3000)  # longer than the delay before a retry
    assert len(page_log.urls("/api/")) == asked


def test_page_polls_while_no_stream_is_free_then_goes_live(
    open_page: OpenPage, server: Callable[..., Server], tmp_path: Path, page_log: PageLog
) -> None:
    page_log.expected += CONNECTION_ERRORS
    settings = {"GFIL_WORKERS": "1", "GFIL_STREAMS_MAX": "1"}
    symbol = LiveSymbol(LiveServer(server, tmp_path / "gfil.db", **settings))
    first = symbol.open(open_page)
    second = open_page("about:blank", drawn=False, base_url=symbol.live_server.url)
    expose_chart(second)
    second.goto("/chart/GOLD?tf=M1&clock=UTC")
    expect(second.locator("#stream-status")).to_have_attribute("data-state", "polling")
    symbol.tick(2755.5)
    symbol.expect_synced(second)
    first.close()
    expect_live(second)
    symbol.tick(2756.5)
    symbol.expect_synced(second)


class Proxy(ThreadingHTTPServer):
    """A reverse proxy; with `buffers` it holds back the events of a stream."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.target = target
        self.buffers = True
        self.closing = threading.Event()


class ProxyHandler(BaseHTTPRequestHandler):
    """Forwards one request."""

    server: Proxy

    def do_GET(self) -> None:
        if self.path.startswith("/api/v1/stream") and self.server.buffers:
            self.server.closing.wait()
            return
        upstream = HTTPConnection(self.server.target)
        headers = {name: value for name, value in self.headers.items() if name != "Host"}
        upstream.request("GET", self.path, headers=headers)
        response = upstream.getresponse()
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            while chunk := response.read1():
                self.wfile.write(chunk)
        upstream.close()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def proxy(live_server: LiveServer) -> Iterator[Proxy]:
    """Run a proxy in front of the server."""
    running = Proxy(live_server.url.split("//")[1])
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.closing.set()
    running.shutdown()
    running.server_close()
    thread.join()


def test_page_polls_while_proxy_buffers_stream_then_goes_live(
    open_page: OpenPage, symbol: LiveSymbol, proxy: Proxy
) -> None:
    page = open_page("about:blank", drawn=False, base_url=f"http://127.0.0.1:{proxy.server_port}")
    expose_chart(page)
    shorten_waits(page)
    page.goto(f"/chart/{symbol.name}?tf=M1&clock=UTC")
    expect(page.locator("#stream-status")).to_have_attribute("data-state", "polling")
    statuses: list[int] = []
    page.on(
        "response",
        lambda got: statuses.append(got.status) if "/api/v1/candles" in got.url else None,
    )
    page.wait_for_event("response", lambda got: got.status == 304)
    symbol.tick(2766.5)
    symbol.post([(symbol.candles[-5][0], 2500.0, 2900.0, 2400.0, 2800.0, 10_000.0)])
    symbol.expect_synced(page)
    expect(page.locator("#legend dd").nth(4)).to_have_text("2,766.50")
    assert 200 in statuses
    deleted = (symbol.candles[-40][0], symbol.candles[-20][0])
    symbol.delete(*deleted)
    symbol.expect_synced(page)
    proxy.buffers = False
    expect_live(page)
    symbol.tick(2767.5)
    symbol.expect_synced(page)


def shorten_waits(page: Page) -> None:
    """Let the page detect a buffered stream sooner, and retry it after seconds, not a minute."""

    def change(script: str) -> str:
        for usual, shorter in (
            ("FIRST_EVENT_MS = 5000;", "FIRST_EVENT_MS = 1500;"),
            ("RETRY_STREAM_MS = 60_000;", "RETRY_STREAM_MS = 4000;"),
        ):
            assert usual in script
            script = script.replace(usual, shorter)
        return script

    serve_changed(page, "lib/event-stream.js", change)
