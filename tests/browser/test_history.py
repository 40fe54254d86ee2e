"""Scrolling through the history of a chart, and the URL that names the view."""

import contextlib
import json
from datetime import datetime

from playwright.sync_api import Error, Page, Route, expect

from tests.browser.chart_page import (
    FIRST,
    RECORD_CANDLE_PAGES,
    OpenPage,
    expose_chart,
    legend,
    next_frame,
    press_until,
    serve_changed,
    url_query,
    wait_for_url,
)
from tests.browser.conftest import PageLog, Site, wait_drawn


def test_chart_page_requests_only_stream_after_loading(
    open_page: OpenPage, page_log: PageLog
) -> None:
    page = open_page("/chart/EURUSD?tf=M15")
    expect(page.locator("#stream-status")).to_have_text("Live")
    asked = page_log.urls("/api/")
    assert ["/api/v1/stream?" in url for url in asked] == [True], "only the stream"


def open_recorded(open_page: OpenPage, path: str) -> Page:
    """Open a chart that keeps every response of /api/v1/candles."""
    page = open_page("about:blank", drawn=False)
    page.add_init_script(RECORD_CANDLE_PAGES)
    page.goto(path)
    wait_drawn(page)
    return page


def is_complete(page: Page) -> bool:
    """Return whether the last candle page loaded has no cursor."""
    complete: bool = page.evaluate("() => window.candlePages.at(-1)?.next_cursor === null")
    return complete


def loaded_times(page: Page) -> list[list[int]]:
    """Return the candle times of each response."""
    times: list[list[int]] = page.evaluate(
        "() => window.candlePages.map((page) => page.candles.map(([time]) => time))"
    )
    return times


def test_scrolling_back_loads_every_candle_once_up_to_first(
    open_page: OpenPage, page_log: PageLog, site: Site
) -> None:
    page = open_recorded(open_page, "/chart/EURUSD?tf=M1&clock=UTC")
    for _ in range(7):
        page.keyboard.press("-")
    inline = json.loads(page.locator("#chart-data").text_content() or "")
    press_until(page, "PageUp", lambda: is_complete(page), "the first candle is loaded")
    loaded = loaded_times(page)
    times = [candle[0] for candle in inline["candles"]]
    for older in loaded:
        times = older + times
    assert times == [candle[0] for candle in site.eurusd]
    page.keyboard.press("Home")
    page.keyboard.press("Shift+ArrowLeft")
    for _ in range(3):
        page.keyboard.press("PageUp")
    for _ in range(3):
        next_frame(page)
    assert len(page_log.urls("/api/v1/candles")) == len(loaded), "nothing is loaded twice"


def test_home_key_shows_first_candle_and_end_key_newest(
    open_page: OpenPage, page_log: PageLog
) -> None:
    page = open_page("/chart/EURUSD?tf=M1&clock=UTC")
    newest = legend(page)
    page.keyboard.press("Home")
    page.wait_for_function("() => new URLSearchParams(location.search).get('to') < '2025-01-07'")
    assert len(page_log.urls("/api/v1/candles")) == 1
    assert legend(page)[0].startswith("Mon 2025-01-06 0")
    expect(page.locator("#newest")).to_be_visible()
    page.keyboard.press("End")
    wait_for_url(page, to=None)
    assert legend(page) == newest
    expect(page.locator("#newest")).to_be_hidden()


def test_scrolling_forward_from_first_candle_loads_every_candle(
    open_page: OpenPage, site: Site
) -> None:
    page = open_recorded(open_page, "/chart/EURUSD?tf=M1&clock=UTC")
    page.keyboard.press("Home")
    page.wait_for_function("() => new URLSearchParams(location.search).get('to') < '2025-01-07'")
    press_until(page, "PageDown", lambda: is_complete(page), "the newest candle is loaded")
    times: list[int] = []
    for newer in loaded_times(page):
        assert not times or newer[0] == times[-1], "the last candle held is loaded again"
        times = times[:-1] + newer
    assert times == [candle[0] for candle in site.eurusd]


def test_url_restores_view_after_page_reload(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=M1&clock=UTC")
    for _ in range(5):
        page.keyboard.press("PageUp")
    page.keyboard.press("+")
    page.wait_for_function("() => new URLSearchParams(location.search).get('spacing') === '10'")
    seen, shown = page.url, legend(page)
    assert url_query(page).keys() == {"tf", "clock", "to", "spacing"}
    page.reload()
    wait_drawn(page)
    expect(page.locator("#legend dd").first).to_have_text(shown[0])
    assert legend(page) == shown
    assert page.url == seen


def test_changing_timeframe_keeps_right_edge_of_view(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=M5&clock=UTC&to=2025-01-09T12:00:00Z")
    assert legend(page)[0] == "Thu 2025-01-09 11:55"
    page.click("#timeframes >> text=M15")
    wait_for_url(page, tf="M15", to="2025-01-09T12:00:00Z")
    assert legend(page)[0] == "Thu 2025-01-09 11:45"


def test_scrolling_forward_from_link_into_past_reaches_newest_candle(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=M5&clock=UTC&to=2025-01-09T12:00:00Z")
    press_until(
        page, "PageDown", lambda: legend(page)[0] == "Mon 2025-01-13 23:55", "the newest candle"
    )


def test_failed_load_shows_message_until_next_load_succeeds(
    open_page: OpenPage, page_log: PageLog
) -> None:
    page_log.expected.append("ERR_INTERNET_DISCONNECTED")
    page = open_page("/chart/EURUSD")
    page.context.set_offline(True)
    page.click("#timeframes >> text=M5")
    expect(page.locator("#message")).not_to_be_empty()
    assert page.locator("#timeframes [aria-current]").all_inner_texts() == ["H1"]
    page.context.set_offline(False)
    page.click("#timeframes >> text=M5")
    wait_for_url(page, tf="M5")
    expect(page.locator("#message")).to_be_empty()


def test_candles_beyond_limit_are_dropped_without_moving_view(
    open_page: OpenPage, site: Site
) -> None:
    def lower_limit(script: str) -> str:
        assert "CANDLES_MAX = 100_000;" in script
        return script.replace("CANDLES_MAX = 100_000;", "CANDLES_MAX = 8000;")

    page = open_page("about:blank", drawn=False)
    serve_changed(page, "chart/candle-store.js", lower_limit)
    expose_chart(page)
    page.goto("/chart/EURUSD?tf=M1&clock=UTC")
    wait_drawn(page)
    screen, at = 150, seconds(legend(page)[0])
    for key, way, end in (("PageUp", -1, site.eurusd[0][0]), ("PageDown", 1, site.eurusd[-1][0])):
        for _ in range(1000):
            before = at
            page.keyboard.press(key)
            next_frame(page)
            page.wait_for_function("() => !window.chartPage.store.isLoading")
            next_frame(page)
            at = seconds(legend(page)[0])
            assert 0 <= way * (at - before) <= screen * 60, "at most one screen, never backwards"
            if abs(at - end) < screen * 60:
                break
        assert abs(at - end) < screen * 60


def seconds(shown: str) -> float:
    return datetime.strptime(shown + " +0000", "%a %Y-%m-%d %H:%M %z").timestamp()


def test_page_up_key_stops_at_first_candle(open_page: OpenPage) -> None:
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
    assert FIRST + 100 * 3600 < seen < FIRST + 160 * 3600, "one screen from the first candle on"


def test_link_before_first_candle_offers_newest_candle(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=H1&clock=UTC&to=2001-01-01T00:00:00Z")
    expect(page.locator("#no-candles")).to_be_visible()
    page.click("#newest")
    page.mouse.move(0, 0)  # outside the chart, so the legend shows the last candle
    expect(page.locator("#legend dd").first).to_have_text("Mon 2025-01-13 23:00")
    wait_for_url(page, to=None)


def test_chart_reloads_after_epoch_changed(open_page: OpenPage, page_log: PageLog) -> None:
    page = open_page("/chart/EURUSD?tf=M1&clock=UTC")
    replaced = "0" * 16

    def serve_other_epoch(route: Route) -> None:
        with contextlib.suppress(Error):  # the page cancels requests of the view before
            answer = route.fetch()
            route.fulfill(response=answer, json={**answer.json(), "epoch": replaced})

    page.route("**/api/v1/candles?*", serve_other_epoch)
    page.keyboard.press("PageUp")  # once: a second press may follow the reload
    expect(page.locator("#newest")).to_be_hidden()
    expect(page.locator("#legend dd").first).to_have_text("Mon 2025-01-13 23:59")
    older, reloaded = page_log.urls("/api/v1/candles")[:2]
    assert "cursor=" in older
    assert "cursor=" not in reloaded
    assert "limit=300" in reloaded
