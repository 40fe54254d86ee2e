"""Choosing the timeframe, clock, zone and symbol of a chart by pointer and by keys."""

import pytest
from playwright.sync_api import Route, expect

from tests.browser.chart_page import (
    NYCLOSE,
    OpenPage,
    get_candles,
    legend,
    texts,
    url_query,
    wait_for_url,
)
from tests.browser.conftest import PageLog, wait_drawn


def test_timeframe_link_changes_chart_without_page_load(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD")
    page.evaluate("window.isSamePage = true")
    page.click("#timeframes >> text=H4")
    wait_for_url(page, tf="H4", clock="America/New_York+07:00")
    last = get_candles(page, f"symbol=EURUSD&tf=H4&clock={NYCLOSE}&limit=1")["candles"][0]
    assert legend(page)[1:6] == texts(last, 5)
    assert page.locator("#timeframes [aria-current]").all_inner_texts() == ["H4"]
    expect(page).to_have_title(f"{last[4]:.5f} EURUSD H4 – GFIL")
    assert page.evaluate("window.isSamePage")
    download = page.locator("#download").get_attribute("href")
    assert download == f"/api/v1/export?symbol=EURUSD&tf=H4&clock={NYCLOSE}&format=csv"
    lines = page.request.get(download).text().splitlines()
    assert lines[0] == "time,open,high,low,close,volume"
    assert lines[-1].startswith("2025-01-13T22:00:00Z,")


def test_clock_picker_changes_chart_without_page_load(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=D1")
    page.evaluate("window.isSamePage = true")
    page.select_option("#clock select", "Asia/Tokyo")
    wait_for_url(page, tf="D1", clock="Asia/Tokyo")
    last = get_candles(page, "symbol=EURUSD&tf=D1&clock=Asia/Tokyo&limit=1")["candles"][0]
    assert legend(page)[0] == "Tue 2025-01-14", "the date of the clock, not of the zone shown"
    assert legend(page)[1:6] == texts(last, 5)
    assert page.evaluate("window.isSamePage")


def test_choice_during_load_adds_to_choice_before(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=H1&clock=UTC")
    waiting: list[Route] = []
    page.route("**/api/v1/candles?*", lambda route: waiting.append(route))
    page.select_option("#clock select", "Asia/Tokyo")
    page.click("#timeframes >> text=D1")
    page.unroute("**/api/v1/candles?*")
    page.click("#timeframes >> text=W1")
    wait_for_url(page, tf="W1", clock="Asia/Tokyo")


def test_typed_clock_is_used_and_unknown_clock_is_refused(
    open_page: OpenPage, page_log: PageLog
) -> None:
    page_log.expected.append("400 (BAD REQUEST)")
    page = open_page("/chart/EURUSD?tf=D1")
    page.select_option("#clock select", label="Other clock…")
    page.fill("#zone-dialog input", "+05:30")
    page.keyboard.press("Enter")
    wait_for_url(page, clock="+05:30")
    page.select_option("#clock select", label="Other clock…")
    page.fill("#zone-dialog input", "Nowhere/Land")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_contain_text("unknown clock 'Nowhere/Land'")
    assert page.locator("#clock select").input_value() == "+05:30"
    assert url_query(page)["clock"] == "+05:30"


@pytest.mark.parametrize(
    ("zone", "time"),
    [
        ("UTC", "Mon 2025-01-13 23:00"),
        ("local", "Tue 2025-01-14 04:30"),
        ("clock", "Tue 2025-01-14 01:00"),
    ],
)
def test_chosen_zone_changes_times_and_survives_reload(
    open_page: OpenPage, zone: str, time: str
) -> None:
    page = open_page("/chart/EURUSD", timezone_id="Asia/Kolkata")
    candle = legend(page)[1:]
    page.select_option("#zone", zone)
    assert legend(page) == [time, *candle]
    page.reload()
    wait_drawn(page)
    assert legend(page) == [time, *candle]


def test_typed_zone_is_used_and_unknown_zone_is_refused(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD")
    page.select_option("#zone", label="other zone…")
    page.fill("#zone-dialog input", "America/New_York")
    page.keyboard.press("Enter")
    expect(page.locator("#legend dd").first).to_have_text("Mon 2025-01-13 18:00")
    page.select_option("#zone", label="other zone…")
    page.fill("#zone-dialog input", "Nowhere/Land")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_have_text(
        "This browser does not know the zone Nowhere/Land."
    )
    assert legend(page)[0] == "Mon 2025-01-13 18:00"


def test_search_finds_symbols_and_timeframes(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD")
    page.keyboard.type("4h")
    expect(page.locator("#search-list li").first).to_have_text("H4 timeframe")
    page.keyboard.press("Enter")
    wait_for_url(page, tf="H4")
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
    expect(page.locator("#search .note")).to_have_text("No symbol or timeframe matches.")


def test_question_mark_key_shows_keyboard_shortcuts(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press(".")
    wait_for_url(page, tf="H2")


def test_key_pressed_right_after_escape_opens_search_again(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD")
    for text in ("btc", "eur", "dai"):
        page.keyboard.type(text)
        expect(page.locator("#search-list li")).to_have_count(1)
        assert page.locator("#search input").input_value() == text
        page.keyboard.press("Escape")
