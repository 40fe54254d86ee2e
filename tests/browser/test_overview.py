"""The overview and the pages that refuse, in a browser."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Site, Watch
from tests.browser.looking import OpenPage


def test_a_row_opens_its_chart(open_page: OpenPage) -> None:
    page = open_page("/", drawn=False)
    page.click("text=EURUSD")
    page.wait_for_url("**/chart/EURUSD?tf=H1&clock=America/New_York%2B07:00")


def test_typing_finds_a_symbol_and_enter_opens_it(open_page: OpenPage) -> None:
    page = open_page("/", drawn=False)
    page.keyboard.type("btc")
    expect(page.locator("#search-list li")).to_have_text(["BTCUSD Bitcoin, made up"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/chart/BTCUSD?tf=H1&clock=UTC")


@pytest.mark.parametrize("path", ["/", "/chart/NOPE", "/chart/EURUSD?tf=M7"])
@pytest.mark.parametrize("width", [1280, 360])
def test_a_page_fits_the_width_of_the_window(
    open_page: OpenPage, watch: Watch, path: str, width: int
) -> None:
    watch.expected += ["404 (NOT FOUND)", "400 (BAD REQUEST)"]
    page = open_page(path, drawn=False, viewport={"width": width, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_theme_follows_the_system_until_one_is_chosen_and_is_kept(open_page: OpenPage) -> None:
    page = open_page("/", drawn=False, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.click("[data-do=theme]")
    light = page.evaluate(ground)
    assert (dark, light) == ("rgb(15, 19, 25)", "rgb(255, 255, 255)")
    page.reload()
    assert page.evaluate(ground) == light


def test_without_scripts_every_symbol_can_be_read_and_reached(
    open_page: OpenPage, site: Site
) -> None:
    page = open_page("/", drawn=False, java_script_enabled=False)
    assert page.locator(".quotes tbody th a").all_inner_texts() == ["BTCUSD", "DAILY", "EURUSD"]
    assert page.locator("tr", has_text="EURUSD").locator(".last").inner_text() == (
        f"{site.eurusd[-1][4]:.5f}"
    )
    assert page.locator(".js").first.is_hidden()
    page.click("text=EURUSD")
    page.wait_for_url("**/chart/EURUSD")
