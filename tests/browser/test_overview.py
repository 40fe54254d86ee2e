"""The overview and the error pages."""

import pytest
from playwright.sync_api import expect

from tests.browser.chart_page import OpenPage
from tests.browser.conftest import PageLog, Site


def test_click_on_row_opens_chart(open_page: OpenPage) -> None:
    page = open_page("/", drawn=False)
    page.click("text=EURUSD")
    page.wait_for_url("**/chart/EURUSD?tf=H1&clock=America/New_York%2B07:00")


def test_symbol_search_opens_chart_on_enter(open_page: OpenPage) -> None:
    page = open_page("/", drawn=False)
    page.keyboard.type("btc")
    expect(page.locator("#search-list li")).to_have_text(["BTCUSD Bitcoin, made up"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/chart/BTCUSD?tf=H1&clock=UTC")


@pytest.mark.parametrize("path", ["/", "/chart/NOPE", "/chart/EURUSD?tf=M7"])
@pytest.mark.parametrize("width", [1280, 360])
def test_page_fits_width_of_window(
    open_page: OpenPage, page_log: PageLog, path: str, width: int
) -> None:
    page_log.expected += ["404 (NOT FOUND)", "400 (BAD REQUEST)"]
    page = open_page(path, drawn=False, viewport={"width": width, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_chosen_theme_overrides_system_and_survives_reload(open_page: OpenPage) -> None:
    page = open_page("/", drawn=False, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.click("[data-action=theme]")
    light = page.evaluate(ground)
    assert (dark, light) == ("rgb(15, 19, 25)", "rgb(255, 255, 255)")
    page.reload()
    assert page.evaluate(ground) == light


def test_overview_without_scripts_lists_and_links_symbols(open_page: OpenPage, site: Site) -> None:
    page = open_page("/", drawn=False, java_script_enabled=False)
    assert page.locator(".overview tbody th a").all_inner_texts() == ["BTCUSD", "DAILY", "EURUSD"]
    assert page.locator("tr", has_text="EURUSD").locator(".last").inner_text() == (
        f"{site.eurusd[-1][4]:.5f}"
    )
    assert page.locator(".script-only").first.is_hidden()
    page.click("text=EURUSD")
    page.wait_for_url("**/chart/EURUSD")
