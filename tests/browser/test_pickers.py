"""Choosing timeframe, clock, zone and symbol on a chart, by pointer and by keys."""

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import Watch, wait_drawn
from tests.browser.looking import NYCLOSE, OpenPage, address, api, legend, texts, wait_for_address


def test_another_timeframe_is_shown_without_loading_the_page_again(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD")
    page.evaluate("window.stayed = true")
    page.click("#timeframes >> text=H4")
    wait_for_address(page, tf="H4", clock="America/New_York+07:00")
    last = api(page, f"symbol=EURUSD&tf=H4&clock={NYCLOSE}&limit=1")["candles"][0]
    assert legend(page)[1:6] == texts(last, 5)
    assert page.locator("#timeframes [aria-current]").all_inner_texts() == ["H4"]
    expect(page).to_have_title(f"{last[4]:.5f} EURUSD H4 – GFIL")
    assert page.evaluate("window.stayed")
    download = page.locator("#download").get_attribute("href")
    assert download == f"/api/v1/export?symbol=EURUSD&tf=H4&clock={NYCLOSE}&format=csv"
    lines = page.request.get(download).text().splitlines()
    assert lines[0] == "time,open,high,low,close,volume"
    assert lines[-1].startswith("2025-01-13T22:00:00Z,")


def test_another_clock_is_shown_without_loading_the_page_again(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=D1")
    page.evaluate("window.stayed = true")
    page.select_option("#clock select", "Asia/Tokyo")
    wait_for_address(page, tf="D1", clock="Asia/Tokyo")
    last = api(page, "symbol=EURUSD&tf=D1&clock=Asia/Tokyo&limit=1")["candles"][0]
    assert legend(page)[0] == "Tue 2025-01-14", "the date of its own clock, whatever zone is shown"
    assert legend(page)[1:6] == texts(last, 5)
    assert page.evaluate("window.stayed")


def test_a_choice_made_while_another_loads_adds_to_it(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=H1&clock=UTC")
    waiting: list[Route] = []
    page.route("**/api/v1/candles?*", lambda route: waiting.append(route))
    page.select_option("#clock select", "Asia/Tokyo")
    page.click("#timeframes >> text=D1")
    page.unroute("**/api/v1/candles?*")
    page.click("#timeframes >> text=W1")
    wait_for_address(page, tf="W1", clock="Asia/Tokyo")


def test_any_clock_can_be_typed_and_a_wrong_one_is_refused_in_words(
    open_page: OpenPage, watch: Watch
) -> None:
    watch.expected.append("400 (BAD REQUEST)")
    page = open_page("/chart/EURUSD?tf=D1")
    page.select_option("#clock select", label="Other clock…")
    page.fill("#ask input", "+05:30")
    page.keyboard.press("Enter")
    wait_for_address(page, clock="+05:30")
    page.select_option("#clock select", label="Other clock…")
    page.fill("#ask input", "Nowhere/Land")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("unknown clock 'Nowhere/Land'")
    assert page.locator("#clock select").input_value() == "+05:30"
    assert address(page)["clock"] == "+05:30"


@pytest.mark.parametrize(
    ("zone", "time"),
    [
        ("UTC", "Mon 2025-01-13 23:00"),
        ("local", "Tue 2025-01-14 04:30"),
        ("clock", "Tue 2025-01-14 01:00"),
    ],
)
def test_times_are_shown_in_the_zone_chosen_and_the_choice_is_kept(
    open_page: OpenPage, zone: str, time: str
) -> None:
    page = open_page("/chart/EURUSD", timezone_id="Asia/Kolkata")
    candle = legend(page)[1:]
    page.select_option("#zone", zone)
    assert legend(page) == [time, *candle]
    page.reload()
    wait_drawn(page)
    assert legend(page) == [time, *candle]


def test_any_zone_can_be_typed(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD")
    page.select_option("#zone", label="other zone…")
    page.fill("#ask input", "America/New_York")
    page.keyboard.press("Enter")
    expect(page.locator("#legend dd").first).to_have_text("Mon 2025-01-13 18:00")
    page.select_option("#zone", label="other zone…")
    page.fill("#ask input", "Nowhere/Land")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("This browser knows no zone Nowhere/Land.")
    assert legend(page)[0] == "Mon 2025-01-13 18:00"


def test_typing_finds_symbols_and_timeframes(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD")
    page.keyboard.type("4h")
    expect(page.locator("#search-list li").first).to_have_text("H4 timeframe")
    page.keyboard.press("Enter")
    wait_for_address(page, tf="H4")
    page.keyboard.press("/")
    expect(page.locator("#search-list li")).to_have_count(3)
    page.keyboard.press("ArrowDown")
    assert page.locator("#search input").get_attribute("aria-activedescendant") == "search-1"
    page.keyboard.press("Escape")
    page.keyboard.type("bitcoin")
    expect(page.locator("#search-list li")).to_have_text(["BTCUSD Bitcoin, made up"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/chart/BTCUSD?tf=H4&clock=UTC")
    page.keyboard.type("zzz")
    expect(page.locator("#search .note")).to_have_text("Nothing of that name.")


def test_the_help_names_the_keys(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press(".")
    wait_for_address(page, tf="H2")
