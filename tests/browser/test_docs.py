"""The API reference on a wide window and on a phone."""

import pytest
from playwright.sync_api import expect

from tests.browser.chart_page import OpenPage

WIDEST = """
[...document.querySelectorAll(".operations th, .operations td, .parameters th, .parameters td")]
  .map((cell) => Math.max(cell.scrollWidth - cell.clientWidth, 0))
  .reduce((most, each) => Math.max(most, each))
"""


@pytest.mark.parametrize("width", [1280, 360])
def test_api_reference_fits_width_of_window(open_page: OpenPage, width: int) -> None:
    page = open_page("/docs", drawn=False, viewport={"width": width, "height": 740})
    expect(page.locator("h1")).to_contain_text("API reference")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(WIDEST) == 0  # no text runs into the next cell
