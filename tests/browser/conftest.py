"""Fixtures for tests in a real Chromium; console errors and foreign requests fail the test."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from gfil.store.engine import connection
from tests.web.walks import Candle, store, walk

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MINUTE = 60
WAIT_MS = 60_000  # the tests wait for conditions, also on a busy machine

expect.set_options(timeout=WAIT_MS)


@dataclass
class Site:
    """A running server, and the M1 candles stored before it started."""

    url: str
    eurusd: list[Candle]
    btcusd: list[Candle]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the Chromium installed on this machine; nothing is downloaded."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("the page tests need Chromium, and none is installed")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def site(server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Serve EURUSD (eight past days of M1), BTCUSD (M1 up to the forming one), DAILY (one D1)."""
    path = tmp_path_factory.mktemp("site") / "gfil.db"
    connection.create(path)
    now = int(time.time()) // MINUTE * MINUTE
    euro = walk("euro", 1736121600, 8 * 1440, price=1.08, digits=5)
    coin = walk("coin", now - 3000 * MINUTE, 3001, price=64_000)
    store(path, "EURUSD", euro, clock="America/New_York+07:00", description="Euro, made up")
    store(path, "BTCUSD", coin, description="Bitcoin, made up")
    store(path, "DAILY", [(1736121600, 1.0, 2.0, 0.5, 1.5, 10.0)], tf="D1")
    return Site(server(GFIL_DB=str(path)).url, euro, coin)


@dataclass
class PageLog:
    """The requests and console messages of the pages of one test."""

    messages: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def urls(self, path: str) -> list[str]:
        """Return the URLs of requests that contain `path`."""
        return [request.url for request in self.requests if path in request.url]


@pytest.fixture
def page_log() -> PageLog:
    """Log the pages. A test that provokes console errors adds parts of them to `expected`."""
    return PageLog()


@pytest.fixture
def open_page(browser: Browser, site: Site, page_log: PageLog) -> Iterator[Callable[..., Page]]:
    """Open pages: `open_page(path, **context)` waits for the first candles unless `drawn=False`."""
    contexts, origins = [], set[str]()

    def open_(path: str, *, drawn: bool = True, **options: Any) -> Page:
        usual = {"viewport": {"width": 1280, "height": 800}, "timezone_id": "UTC"}
        options = {"base_url": site.url, **usual, **options}
        origins.add(options["base_url"])
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("request", lambda request: page_log.requests.append(request))
        page.on("pageerror", lambda error: page_log.messages.append(f"error: {error}"))
        page.on(
            "console",
            lambda message: (
                page_log.messages.append(message.text)
                if message.type in ("error", "warning")
                else None
            ),
        )
        page.goto(path)
        if drawn:
            wait_drawn(page)
        return page

    yield open_
    for context in contexts:
        # A handler that still runs would raise in a later test.
        for page in context.pages:
            page.unroute_all(behavior="ignoreErrors")
        context.close()
    unexpected = [
        text for text in page_log.messages if not any(part in text for part in page_log.expected)
    ]
    assert unexpected == [], "messages in the browser's console"
    foreign = {
        request.url
        for request in page_log.requests
        if not request.url.startswith((*origins, "blob:", "data:", "about:"))
    }
    assert foreign == set(), "requests to another origin"


def wait_drawn(page: Page) -> None:
    """Wait for the chart's first frame with candles."""
    page.wait_for_function("() => performance.getEntriesByName('candles-drawn').length > 0")
