"""A real Chromium before a real server; a page that complains or looks elsewhere fails its test."""

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
WAIT_MS = 60_000
expect.set_options(timeout=WAIT_MS)


@dataclass
class Site:
    """A running server, and the minutes that were stored before it started."""

    url: str
    eurusd: list[Candle]
    btcusd: list[Candle]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's own Chromium; nothing is downloaded."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("the page tests need Chromium, and none is installed")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def site(server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """EURUSD: eight days of minutes in the past. BTCUSD: up to a minute that is still forming."""
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
class Watch:
    """What a page asked for and complained of."""

    complaints: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def asked(self, path: str) -> list[str]:
        """The URLs of this path that were asked for."""
        return [request.url for request in self.requests if path in request.url]


@pytest.fixture
def watch() -> Watch:
    """Fill `expected` with parts of complaints that a test provokes."""
    return Watch()


@pytest.fixture
def open_page(browser: Browser, site: Site, watch: Watch) -> Iterator[Callable[..., Page]]:
    """`open_page(path, **context)`: a page of its own, with the chart's first candles drawn."""
    contexts, homes = [], set[str]()

    def open_(path: str, *, drawn: bool = True, **options: Any) -> Page:
        usual = {"viewport": {"width": 1280, "height": 800}, "timezone_id": "UTC"}
        options = {"base_url": site.url, **usual, **options}
        homes.add(options["base_url"])
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("request", lambda request: watch.requests.append(request))
        page.on("pageerror", lambda error: watch.complaints.append(f"error: {error}"))
        page.on(
            "console",
            lambda said: (
                watch.complaints.append(said.text) if said.type in ("error", "warning") else None
            ),
        )
        page.goto(path)
        if drawn:
            wait_drawn(page)
        return page

    yield open_
    for context in contexts:
        context.close()
    unforeseen = [
        said for said in watch.complaints if not any(part in said for part in watch.expected)
    ]
    assert unforeseen == [], "the browser complained"
    away = {r.url for r in watch.requests if not r.url.startswith((*homes, "blob:", "data:"))}
    assert away == set(), "a request left the origin"


def wait_drawn(page: Page) -> None:
    """Wait for the chart's first frame with candles."""
    page.wait_for_function("() => performance.getEntriesByName('candles-drawn').length > 0")
