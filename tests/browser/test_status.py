"""The status page in a browser: in both themes, on a phone, by keyboard, without scripts."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.looking import OpenPage
from tests.conftest import wait_for

PICTURE = re.compile(r'data-gaps="">\s*<span class="gaps".*?</span>\s*</span></span>', re.DOTALL)


def row(page: Page, symbol: str) -> str:
    return f'.holdings details:has(.name:text-is("{symbol}"))'


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("path", "width"), [("/status", 1280), ("/status", 360)])
def test_the_answer_stands_at_the_top(
    open_page: OpenPage, path: str, width: int, scheme: str
) -> None:
    """In the colours of the theme, within the width of the window."""
    page = open_page(
        path, drawn=False, viewport={"width": width, "height": 740}, color_scheme=scheme
    )
    heading = page.locator(".verdict h1")
    expect(heading).to_have_text("2 things are not well")
    box = heading.bounding_box()
    assert box is not None
    assert box["y"] < 140
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 19, 25)"}[scheme]


@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_of_a_symbol_fits_the_window(open_page: OpenPage, width: int) -> None:
    page = open_page("/status/BTCUSD", drawn=False, viewport={"width": width, "height": 740})
    expect(page.locator("h1")).to_have_text("BTCUSD Bitcoin, made up")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_page_leads_to_it(open_page: OpenPage) -> None:
    """By the same link in the bar."""
    for path in ("/", "/chart/BTCUSD", "/docs"):
        page = open_page(path, drawn=False)
        page.click(".bar a[href='/status']")
        page.wait_for_url("**/status")


def test_a_row_opens_by_keyboard_and_leads_to_its_gaps(open_page: OpenPage) -> None:
    page = open_page("/status", drawn=False)
    place = row(page, "BTCUSD")
    expect(page.locator(f"{place} .held")).to_be_hidden()
    page.focus(f"{place} summary")
    page.keyboard.press("Enter")
    expect(page.locator(f"{place} .held tbody th")).to_have_text(
        ["M1", "M5", "M15", "M30", "H1", "H4", "D1"]
    )
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/status/BTCUSD")
    expect(page.locator("#missing")).to_have_text("Gaps of the last 12 weeks")


def test_pictures_that_the_page_had_no_time_for_come_after_it(open_page: OpenPage) -> None:
    """One by one, with their words."""
    page = open_page("/", drawn=False)

    def strip(route: Route) -> None:
        answer = route.fetch()
        text, count = PICTURE.subn('data-gaps="/status/BTCUSD"></span>', answer.text())
        assert count == 3
        route.fulfill(response=answer, body=text)

    page.route("**/status", strip)
    page.goto("/status")
    expect(page.locator(".holdings .gaps svg")).to_have_count(3)
    expect(page.locator(".holdings .picture")).to_have_text(["no gaps"] * 3)


def test_a_picture_that_cannot_be_had_is_said(open_page: OpenPage) -> None:
    """Its symbol has gone meanwhile, or the server."""
    page = open_page("/", drawn=False)

    def strip(route: Route) -> None:
        answer = route.fetch()
        text = PICTURE.sub('data-gaps="/login"></span>', answer.text())
        route.fulfill(response=answer, body=text)

    page.route("**/status", strip)
    page.goto("/status")
    expect(page.locator(".holdings .picture")).to_have_text(["not known"] * 3)


def test_live_streams_of_all_workers_are_counted(open_page: OpenPage) -> None:
    """As charts are opened."""
    open_page("/chart/BTCUSD")
    page = open_page("/status", drawn=False)
    shown = page.locator(".tiles div", has_text="Live streams").locator("dd").first

    def is_told() -> bool:
        page.reload()
        return int(shown.inner_text()) > 0

    wait_for(is_told, "the stream of the chart to be counted")


def test_without_scripts_everything_is_there(open_page: OpenPage) -> None:
    page = open_page("/status", drawn=False, java_script_enabled=False)
    assert page.locator(".holdings .name").all_inner_texts() == ["BTCUSD", "DAILY", "EURUSD"]
    assert page.locator(".holdings .gaps svg").count() == 3
    page.click(f"{row(page, 'EURUSD')} summary")
    assert page.locator(f"{row(page, 'EURUSD')} .held tbody tr").first.inner_text().split() == [
        *("M1", "2025-01-06", "00:00", "2025-01-13", "23:59")
    ]
