"""The live chart when what is between breaks: it says so, and heals without a hole."""

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
from playwright.sync_api import Page, Route, expect

from gfil.store import api_keys
from gfil.store.engine import connection
from tests.browser.conftest import Watch
from tests.browser.feeding import (
    BROKEN,
    HEAL_S,
    Feed,
    House,
    expect_live,
    lay_open,
    minute,
    own_symbol,
    workers,
)
from tests.browser.looking import OpenPage
from tests.conftest import Server

LOST = "Connection lost, trying again…"


@pytest.fixture(scope="module")
def house(server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> House:
    """One server for the tests of this module: whichever breaks it mends it."""
    return House(server, tmp_path_factory.mktemp("broken") / "gfil.db")


@pytest.fixture
def feed(house: House, watch: Watch, request: pytest.FixtureRequest) -> Feed:
    """A symbol of its own for each test."""
    watch.expected += BROKEN
    if house.server.process.poll() is not None:  # the test before has failed
        house.restart()
    return Feed(house, own_symbol(request))


def test_a_server_that_was_restarted_leaves_no_hole(open_page: OpenPage, feed: Feed) -> None:
    page = feed.open(open_page)
    feed.house.server.stop()
    expect(page.locator("#live")).to_have_text(LOST)
    expect(page).to_have_title(f"{feed.symbol} M1 – GFIL")
    missed = [(minute(), 2600.0, 2601.0, 2599.0, 2600.5, 7.0)]
    corrected = [
        (time, o, high + 5, low, c, v + 1000) for time, o, high, low, c, v in feed.made[-9:]
    ]
    feed.store([*corrected, *missed])
    feed.house.restart()
    expect_live(page)
    feed.expect_shown(page)
    assert page.evaluate("window.shown.held.candles").count(list(missed[0])) == 1
    feed.tick(2777.5)
    feed.expect_shown(page)


def test_more_was_missed_than_a_stream_carries(open_page: OpenPage, feed: Feed) -> None:
    page = feed.open(open_page)
    feed.house.server.stop()
    expect(page.locator("#live")).to_have_text(LOST)
    feed.store([(time, o, h + 5, low, c, v + 1000) for time, o, h, low, c, v in feed.made[-280:]])
    feed.house.restart()
    expect_live(page)
    feed.expect_shown(page)


def test_a_worker_that_is_killed_leaves_no_hole(
    open_page: OpenPage, feed: Feed, eventually: Callable[..., Any]
) -> None:
    page = feed.open(open_page)
    for price in (2701.0, 2702.0, 2703.0, 2704.0):
        for worker in workers(feed.house.server):
            os.kill(worker, signal.SIGKILL)
        eventually(partial(feed.try_tick, price), "a worker takes the tick", HEAL_S)
        feed.expect_shown(page)
    expect_live(page)


def test_a_hidden_page_lets_its_stream_go_and_heals_when_it_is_seen(
    open_page: OpenPage, feed: Feed, eventually: Callable[..., Any]
) -> None:
    page = feed.open(open_page)
    eventually(lambda: feed.house.streams() == 1, "one stream")
    hide(page, hidden=True)
    eventually(lambda: feed.house.streams() == 0, "the stream is let go")
    expect(page).to_have_title(f"{feed.symbol} M1 – GFIL")
    feed.tick(2733.5)
    feed.write([(feed.made[-5][0], 2500.0, 2900.0, 2400.0, 2800.0, 10_000.0)])
    hide(page, hidden=False)
    expect_live(page)
    feed.expect_shown(page)
    expect(page).to_have_title(f"2733.50 {feed.symbol} M1 – GFIL")
    eventually(lambda: feed.house.streams() == 1, "one stream")


def hide(page: Page, *, hidden: bool) -> None:
    """Tell the page what a browser does when another tab is chosen: headless ones have none."""
    page.evaluate(
        """state => {
        Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    }""",
        "hidden" if hidden else "visible",
    )


def test_a_page_that_is_left_lets_its_stream_go(
    open_page: OpenPage, feed: Feed, eventually: Callable[..., Any]
) -> None:
    page = feed.open(open_page)
    page.goto("about:blank")
    eventually(lambda: feed.house.streams() == 0, "the stream is let go")
    page.go_back()
    expect_live(page)
    feed.tick(2744.5)
    expect(page.locator("#legend dd").nth(4)).to_have_text("2744.50")


def test_a_key_that_is_revoked_is_told_and_not_tried_again(
    open_page: OpenPage, server: Callable[..., Server], tmp_path: Path, watch: Watch
) -> None:
    watch.expected += [*BROKEN, "401 (UNAUTHORIZED)"]
    house = House(server, tmp_path / "gfil.db", GFIL_READ="key")
    Feed(house)
    page = open_page("/login?next=/chart/GOLD", drawn=False, base_url=house.url)
    page.fill("[name=key]", house.key)
    page.click("main button")
    expect_live(page)
    db = connection.connect(house.path)
    with connection.transaction(db):
        api_keys.revoke(db, house.key.split("_")[1], now=int(time.time()))
    db.close()
    for worker in workers(house.server):  # else the stream ends when its key is looked at again
        os.kill(worker, signal.SIGKILL)
    expect(page.locator("#live")).to_contain_text("Not live: ", timeout=1000 * HEAL_S)
    asked = len(watch.asked("/api/"))
    page.wait_for_timeout(3000)
    assert len(watch.asked("/api/")) == asked


def test_when_all_streams_are_taken_the_page_asks_every_few_seconds_until_one_is_free(
    open_page: OpenPage, server: Callable[..., Server], tmp_path: Path, watch: Watch
) -> None:
    watch.expected += BROKEN
    settings = {"GFIL_WORKERS": "1", "GFIL_STREAMS_MAX": "1"}
    feed = Feed(House(server, tmp_path / "gfil.db", **settings))
    first = feed.open(open_page)
    second = open_page("about:blank", drawn=False, base_url=feed.house.url)
    lay_open(second)
    second.goto("/chart/GOLD?tf=M1&clock=UTC")
    expect(second.locator("#live")).to_have_attribute("data-state", "polling")
    feed.tick(2755.5)
    feed.expect_shown(second)
    first.close()
    expect_live(second, 60)
    feed.tick(2756.5)
    feed.expect_shown(second)


class Proxy(ThreadingHTTPServer):
    """A proxy before `target`; while it `buffers`, nothing comes of an answer that does not end."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.target = target
        self.buffers = True
        self.is_over = threading.Event()


class Passing(BaseHTTPRequestHandler):
    """One request through the proxy."""

    server: Proxy

    def do_GET(self) -> None:
        if "/stream" in self.path and self.server.buffers:
            self.server.is_over.wait()
            return
        behind = HTTPConnection(self.server.target)
        kept = {name: value for name, value in self.headers.items() if name != "Host"}
        behind.request("GET", self.path, headers=kept)
        answer = behind.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            while piece := answer.read1():
                self.wfile.write(piece)
        behind.close()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def proxy(house: House) -> Iterator[Proxy]:
    """A proxy that runs before the server."""
    server = Proxy(house.url.split("//")[1])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.is_over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_where_a_proxy_holds_the_stream_back_the_page_asks_every_few_seconds(
    open_page: OpenPage, feed: Feed, proxy: Proxy
) -> None:
    page = open_page("about:blank", drawn=False, base_url=f"http://127.0.0.1:{proxy.server_port}")
    lay_open(page)
    hurry(page)
    page.goto(f"/chart/{feed.symbol}?tf=M1&clock=UTC")
    expect(page.locator("#live")).to_have_attribute("data-state", "polling", timeout=20_000)
    statuses: list[int] = []
    page.on(
        "response",
        lambda got: statuses.append(got.status) if "/api/v1/candles" in got.url else None,
    )
    page.wait_for_event("response", lambda got: got.status == 304)
    feed.tick(2766.5)
    feed.write([(feed.made[-5][0], 2500.0, 2900.0, 2400.0, 2800.0, 10_000.0)])
    feed.expect_shown(page)
    expect(page.locator("#legend dd").nth(4)).to_have_text("2766.50")
    assert 200 in statuses
    gone = (feed.made[-40][0], feed.made[-20][0])
    feed.delete(*gone)
    feed.expect_shown(page)
    proxy.buffers = False
    expect_live(page)
    feed.tick(2767.5)
    feed.expect_shown(page)


def hurry(page: Page) -> None:
    """Give a stream up sooner, and try it again after seconds, not a minute."""

    def lower(route: Route) -> None:
        script = route.fetch().text()
        for usual, sooner in (("MUTE_MS = 5000;", "MUTE_MS = 1500;"), ("60_000;", "4_000;")):
            assert usual in script
            script = script.replace(usual, sooner)
        route.fulfill(body=script, content_type="text/javascript")

    page.route("**/live.js", lower)
