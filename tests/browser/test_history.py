"""Scrolling through the history of a chart, and the address that names where one is."""

import json
from datetime import datetime
from typing import Any

from playwright.sync_api import Route, expect

from tests.browser.conftest import Site, Watch, wait_drawn
from tests.browser.looking import (
    FIRST,
    OpenPage,
    address,
    legend,
    next_frame,
    wait_for_address,
)


def test_the_first_candles_come_with_the_page_and_not_by_another_request(
    open_page: OpenPage, watch: Watch
) -> None:
    page = open_page("/chart/EURUSD?tf=M15")
    expect(page.locator("#live")).to_have_text("Live")
    asked = watch.asked("/api/")
    assert ["/api/v1/stream?" in url for url in asked] == [True], "nothing but what will change"


def test_scrolling_back_loads_every_candle_once_and_ends_at_the_first(
    open_page: OpenPage, watch: Watch, site: Site
) -> None:
    page = open_page("/chart/EURUSD?tf=M1&clock=UTC")
    answers: list[Any] = []
    page.on("response", lambda got: answers.append(got) if "/api/v1/candles" in got.url else None)
    page.keyboard.press("-")
    for _ in range(6):
        page.keyboard.press("-")
    inline = json.loads(page.locator("#chart-data").text_content() or "")
    held = [candle[0] for candle in inline["candles"]]
    for _ in range(400):
        page.keyboard.press("PageUp")
        next_frame(page)
        if answers and answers[-1].json()["next_cursor"] is None:
            break
    for answer in answers:
        held = [candle[0] for candle in answer.json()["candles"]] + held
    assert held == [candle[0] for candle in site.eurusd]
    page.keyboard.press("Home")
    page.keyboard.press("Shift+ArrowLeft")
    for _ in range(3):
        page.keyboard.press("PageUp")
    for _ in range(3):
        next_frame(page)
    assert len(watch.asked("/api/v1/candles")) == len(answers), "nothing is asked for twice"


def test_home_goes_to_the_first_candle_at_once_and_end_back_to_the_newest(
    open_page: OpenPage, watch: Watch
) -> None:
    page = open_page("/chart/EURUSD?tf=M1&clock=UTC")
    newest = legend(page)
    page.keyboard.press("Home")
    page.wait_for_function("() => new URLSearchParams(location.search).get('to') < '2025-01-07'")
    assert len(watch.asked("/api/v1/candles")) == 1
    assert legend(page)[0].startswith("Mon 2025-01-06 0")
    expect(page.locator("#newest")).to_be_visible()
    page.keyboard.press("End")
    wait_for_address(page, to=None)
    assert legend(page) == newest
    expect(page.locator("#newest")).to_be_hidden()


def test_from_the_first_candle_one_scrolls_forward_without_a_hole(
    open_page: OpenPage, site: Site
) -> None:
    page = open_page("/chart/EURUSD?tf=M1&clock=UTC")
    answers: list[Any] = []
    page.on("response", lambda got: answers.append(got) if "/api/v1/candles" in got.url else None)
    page.keyboard.press("Home")
    page.wait_for_function("() => new URLSearchParams(location.search).get('to') < '2025-01-07'")
    for _ in range(400):
        page.keyboard.press("PageDown")
        next_frame(page)
        if answers[-1].json()["next_cursor"] is None:
            break
    held: list[int] = []
    for answer in answers:
        times = [candle[0] for candle in answer.json()["candles"]]
        assert not held or times[0] == held[-1], "the newest one held is asked for again"
        held = held[:-1] + times
    assert held == [candle[0] for candle in site.eurusd]


def test_the_address_names_what_is_seen_and_a_reload_shows_it_again(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=M1&clock=UTC")
    for _ in range(5):
        page.keyboard.press("PageUp")
    page.keyboard.press("+")
    page.wait_for_function("() => new URLSearchParams(location.search).get('spacing') === '10'")
    seen, told = page.url, legend(page)
    assert address(page).keys() == {"tf", "clock", "to", "spacing"}
    page.reload()
    wait_drawn(page)
    expect(page.locator("#legend dd").first).to_have_text(told[0])
    assert legend(page) == told
    assert page.url == seen


def test_another_timeframe_keeps_where_one_has_scrolled_to(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=M5&clock=UTC&to=2025-01-09T12:00:00Z")
    assert legend(page)[0] == "Thu 2025-01-09 11:55"
    page.click("#timeframes >> text=M15")
    wait_for_address(page, tf="M15", to="2025-01-09T12:00:00Z")
    assert legend(page)[0] == "Thu 2025-01-09 11:45"


def test_a_link_into_the_past_loads_what_comes_after_it(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=M5&clock=UTC&to=2025-01-09T12:00:00Z")
    for _ in range(30):
        page.keyboard.press("PageDown")
        next_frame(page)
    expect(page.locator("#legend dd").first).to_have_text("Mon 2025-01-13 23:55")


def test_a_lost_connection_is_told_and_asked_again_later(open_page: OpenPage, watch: Watch) -> None:
    watch.expected.append("ERR_INTERNET_DISCONNECTED")
    page = open_page("/chart/EURUSD")
    page.context.set_offline(True)
    page.click("#timeframes >> text=M5")
    expect(page.locator("#status")).not_to_be_empty()
    assert page.locator("#timeframes [aria-current]").all_inner_texts() == ["H1"]
    page.context.set_offline(False)
    page.click("#timeframes >> text=M5")
    wait_for_address(page, tf="M5")
    expect(page.locator("#status")).to_be_empty()


def test_what_is_held_stays_within_a_limit_and_the_view_does_not_jump(
    open_page: OpenPage, site: Site
) -> None:
    def lower(route: Route) -> None:
        script = route.fetch().text()
        assert "HELD_MAX = 100_000;" in script
        script = script.replace("HELD_MAX = 100_000;", "HELD_MAX = 8000;")
        route.fulfill(body=script, content_type="text/javascript")

    page = open_page("about:blank", drawn=False)
    page.route("**/history.js", lower)
    page.goto("/chart/EURUSD?tf=M1&clock=UTC")
    wait_drawn(page)
    screen, at = 150, seconds(legend(page)[0])
    for key, way, end in (("PageUp", -1, site.eurusd[0][0]), ("PageDown", 1, site.eurusd[-1][0])):
        for _ in range(1000):
            before = at
            page.keyboard.press(key)
            next_frame(page)
            next_frame(page)
            at = seconds(legend(page)[0])
            assert 0 <= way * (at - before) <= screen * 60, "one screen at most, and never back"
            if abs(at - end) < screen * 60:
                break
        assert abs(at - end) < screen * 60


def seconds(shown: str) -> float:
    return datetime.strptime(shown + " +0000", "%a %Y-%m-%d %H:%M %z").timestamp()


def test_keys_scroll_no_further_than_to_the_first_candle(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=H1&clock=UTC")
    for _ in range(10):
        page.keyboard.press("PageUp")
    next_frame(page)
    next_frame(page)
    seen = seconds(legend(page)[0])
    page.keyboard.press("PageUp")
    next_frame(page)
    next_frame(page)
    assert seconds(legend(page)[0]) == seen
    assert FIRST + 100 * 3600 < seen < FIRST + 160 * 3600, "a whole screen from the first one on"


def test_a_link_before_the_first_candle_leads_to_the_newest(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=H1&clock=UTC&to=2001-01-01T00:00:00Z")
    expect(page.locator("#blank")).to_be_visible()
    page.click("#newest")
    page.mouse.move(0, 0)  # off the chart, where the legend would follow the pointer
    expect(page.locator("#legend dd").first).to_have_text("Mon 2025-01-13 23:00")
    wait_for_address(page, to=None)


def test_a_database_that_was_replaced_is_shown_anew(open_page: OpenPage, watch: Watch) -> None:
    page = open_page("/chart/EURUSD?tf=M1&clock=UTC")
    replaced = "0" * 16

    def of_another_history(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "epoch": replaced})

    page.route("**/api/v1/candles?*", of_another_history)
    page.keyboard.press("PageUp")  # once: a second might come after all is drawn anew
    expect(page.locator("#newest")).to_be_hidden()
    expect(page.locator("#legend dd").first).to_have_text("Mon 2025-01-13 23:59")
    older, anew = watch.asked("/api/v1/candles")[:2]
    assert "cursor=" in older
    assert "cursor=" not in anew
    assert "limit=300" in anew
