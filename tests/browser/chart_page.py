"""Read a chart page: its legend, URL, canvas and loaded candles."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route

from gfil.config import ROOT

OpenPage = Callable[..., Page]
FIRST = 1736121600  # the first M1 of EURUSD, 2025-01-06T00:00:00Z
NYCLOSE = "America/New_York%2B07:00"
LOAD_S = 120

COLORS = {
    "light": {(8, 127, 107), (199, 50, 47)},
    "dark": {(47, 180, 159), (240, 100, 95)},
}

# Keeps the body of every response of /api/v1/candles in the page: a body read from outside is gone
# after the page has navigated.
RECORD_CANDLE_PAGES = """
window.candlePages = [];
const originalFetch = window.fetch;
window.fetch = async (...request) => {
    const response = await originalFetch(...request);
    if (String(request[0]).includes('/api/v1/candles')) {
        window.candlePages.push(await response.clone().json());
    }
    return response;
};
"""


def get_candles(page: Page, query: str) -> Any:
    """Return the body of /api/v1/candles, requested outside the page."""
    response = page.request.get(f"/api/v1/candles?{query}")
    assert response.ok, response.text()
    return response.json()


def legend(page: Page) -> list[str]:
    """Return time, open, high, low, close, volume and change as shown."""
    return page.locator("#legend dd").all_inner_texts()


def texts(candle: list[float], digits: int) -> list[str]:
    """Return open, high, low, close and volume as the page should show them."""
    volume = f"{candle[5]:,.8f}".rstrip("0").rstrip(".")
    return [*(f"{price:,.{digits}f}" for price in candle[1:5]), volume]


def url_query(page: Page) -> dict[str, str]:
    """Return the query parameters of the page's URL."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def colors_drawn(page: Page) -> set[tuple[int, ...]]:
    """Return the colours on the canvas of the candles."""
    found = page.evaluate(
        """() => {
        const canvas = document.querySelector('#chart canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return [...new Set(new Uint32Array(data.buffer))];
    }"""
    )
    return {tuple(color.to_bytes(4, "little")[:3]) for color in found}


def wait_for_url(page: Page, **wanted: str | None) -> None:
    """Wait until the URL has these query parameters; None means that one is absent."""
    page.wait_for_function(
        """wanted => {
        const query = new URLSearchParams(location.search);
        return Object.entries(wanted).every(([name, value]) => query.get(name) === value);
    }""",
        arg=wanted,
    )


def next_frame(page: Page) -> None:
    """Wait until the browser has drawn a frame."""
    page.evaluate("() => new Promise(requestAnimationFrame)")


def press_until(page: Page, key: str, check: Callable[[], Any], what: str) -> None:
    """Press a key once per frame until `check` is true."""
    deadline = time.monotonic() + LOAD_S
    while not check():
        if time.monotonic() > deadline:
            pytest.fail(f"{LOAD_S} s of {key} are not enough: {what}")
        page.keyboard.press(key)
        next_frame(page)


def serve_changed(page: Page, name: str, change: Callable[[str], str]) -> None:
    """Serve the file static/`name` with a changed text."""
    text = change((ROOT / "static" / name).read_text("utf-8"))

    def fulfill(route: Route) -> None:
        route.fulfill(body=text, content_type="text/javascript")

    page.route(f"**/static/*/{name}", fulfill)


def expose_chart(page: Page) -> None:
    """Make the chart's store and view available as `window.chartPage`."""
    hook = "\nwindow.chartPage = { store, view };\n"
    serve_changed(page, "chart/main.js", lambda text: text + hook)
