"""How the page tests look at a chart: its legend, its address, its canvas, the API behind it."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page

OpenPage = Callable[..., Page]
FIRST = 1736121600  # the first minute of EURUSD, 2025-01-06T00:00:00Z
NYCLOSE = "America/New_York%2B07:00"


def api(page: Page, query: str) -> Any:
    """Ask for candles beside the page."""
    answer = page.request.get(f"/api/v1/candles?{query}")
    assert answer.ok, answer.text()
    return answer.json()


def legend(page: Page) -> list[str]:
    """Time, open, high, low, close, volume and change as shown."""
    return page.locator("#legend dd").all_inner_texts()


def texts(candle: list[float], digits: int) -> list[str]:
    """Open, high, low, close and volume as they should be shown."""
    volume = f"{candle[5]:,.8f}".rstrip("0").rstrip(".")
    return [*(f"{price:.{digits}f}" for price in candle[1:5]), volume]


def address(page: Page) -> dict[str, str]:
    """What the page's URL says."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


UP_AND_DOWN = {
    "light": {(8, 127, 107), (199, 50, 47)},
    "dark": {(47, 180, 159), (240, 100, 95)},
}


def colors_drawn(page: Page) -> set[tuple[int, ...]]:
    """The colours on the canvas of the candles."""
    found = page.evaluate(
        """() => {
        const canvas = document.querySelector('#chart canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return [...new Set(new Uint32Array(data.buffer))];
    }"""
    )
    return {tuple(color.to_bytes(4, "little")[:3]) for color in found}


def wait_for_address(page: Page, **wanted: str | None) -> None:
    """Wait until the URL says so; None is for what it must not say."""
    page.wait_for_function(
        """wanted => {
        const now = new URLSearchParams(location.search);
        return Object.entries(wanted).every(([name, value]) => now.get(name) === value);
    }""",
        arg=wanted,
    )


def next_frame(page: Page) -> None:
    """Wait until the browser has drawn once more."""
    page.evaluate("() => new Promise(requestAnimationFrame)")
