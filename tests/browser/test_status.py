"""The status page in both themes, on a phone, by keyboard, and without scripts."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.chart_page import OpenPage
from tests.conftest import wait_for

HEATMAP = re.compile(
    r'data-heatmap-page="">\s*<span class="heatmap".*?</span>\s*</span></span>', re.DOTALL
)


def row(page: Page, symbol: str) -> str:
    return f'.inventory details:has(.name:text-is("{symbol}"))'


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("path", "width"), [("/status", 1280), ("/status", 360)])
def test_health_is_at_top_in_colors_of_theme(
    open_page: OpenPage, path: str, width: int, scheme: str
) -> None:
    page = open_page(
        path, drawn=False, viewport={"width": width, "height": 740}, color_scheme=scheme
    )
    heading = page.locator(".health h1")
    expect(heading).to_have_text("2 problems")
    box = heading.bounding_box()
    assert box is not None
    assert box["y"] < 140
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 19, 25)"}[scheme]


@pytest.mark.parametrize("width", [1280, 360])
def test_symbol_status_fits_width_of_window(open_page: OpenPage, width: int) -> None:
    page = open_page("/status/BTCUSD", drawn=False, viewport={"width": width, "height": 740})
    expect(page.locator("h1")).to_have_text("BTCUSD Bitcoin, made up")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_topbar_of_every_page_links_to_status(open_page: OpenPage) -> None:
    for path in ("/", "/chart/BTCUSD", "/docs"):
        page = open_page(path, drawn=False)
        page.click(".topbar a[href='/status']")
        page.wait_for_url("**/status")


def test_row_opens_by_keyboard_and_links_to_symbol_status(open_page: OpenPage) -> None:
    page = open_page("/status", drawn=False)
    place = row(page, "BTCUSD")
    expect(page.locator(f"{place} .stored-timeframes")).to_be_hidden()
    page.focus(f"{place} summary")
    page.keyboard.press("Enter")
    expect(page.locator(f"{place} .stored-timeframes tbody th")).to_have_text(
        ["M1", "M5", "M15", "M30", "H1", "H4", "D1"]
    )
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/status/BTCUSD")
    expect(page.locator("#gaps")).to_have_text("Gaps of the last 12 weeks")


def test_missing_heatmaps_are_loaded_after_page(open_page: OpenPage) -> None:
    page = open_page("/", drawn=False)

    def remove_heatmaps(route: Route) -> None:
        answer = route.fetch()
        text, count = HEATMAP.subn('data-heatmap-page="/status/BTCUSD"></span>', answer.text())
        assert count == 3
        route.fulfill(response=answer, body=text)

    page.route("**/status", remove_heatmaps)
    page.goto("/status")
    expect(page.locator(".inventory .heatmap svg")).to_have_count(3)
    expect(page.locator(".inventory .heatmap-slot")).to_have_text(["no gaps"] * 3)


def test_heatmap_that_fails_to_load_says_not_available(open_page: OpenPage) -> None:
    page = open_page("/", drawn=False)

    def remove_heatmaps(route: Route) -> None:
        answer = route.fetch()
        text = HEATMAP.sub('data-heatmap-page="/login"></span>', answer.text())
        route.fulfill(response=answer, body=text)

    page.route("**/status", remove_heatmaps)
    page.goto("/status")
    expect(page.locator(".inventory .heatmap-slot")).to_have_text(["not available"] * 3)


def test_live_streams_tile_counts_open_chart(open_page: OpenPage) -> None:
    open_page("/chart/BTCUSD")
    page = open_page("/status", drawn=False)
    shown = page.locator(".tiles div", has_text="Live streams").locator("dd").first

    def is_counted() -> bool:
        page.reload()
        return int(shown.inner_text()) > 0

    wait_for(is_counted, "the stream of the chart is counted", 120)


def test_status_without_scripts_is_complete(open_page: OpenPage) -> None:
    page = open_page("/status", drawn=False, java_script_enabled=False)
    assert page.locator(".inventory .name").all_inner_texts() == ["BTCUSD", "DAILY", "EURUSD"]
    assert page.locator(".inventory .heatmap svg").count() == 3
    page.click(f"{row(page, 'EURUSD')} summary")
    assert page.locator(
        f"{row(page, 'EURUSD')} .stored-timeframes tbody tr"
    ).first.inner_text().split() == [*("M1", "2025-01-06", "00:00", "2025-01-13", "23:59")]
