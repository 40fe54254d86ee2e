"""The chart page while its symbol receives ticks, corrections and deletions."""

from collections.abc import Callable

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from tests.browser.chart_page import OpenPage, legend, press_until, texts, wait_for_url
from tests.browser.conftest import MINUTE, PageLog
from tests.browser.live_server import (
    RECONNECT_S,
    LiveServer,
    LiveSymbol,
    expect_live,
    minute,
    own_symbol,
)
from tests.conftest import Server


@pytest.fixture(scope="module")
def live_server(
    server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory
) -> LiveServer:
    """Start one server for this module."""
    return LiveServer(server, tmp_path_factory.mktemp("live") / "gfil.db")


@pytest.fixture
def symbol(live_server: LiveServer, request: pytest.FixtureRequest) -> LiveSymbol:
    """Create a symbol for each test."""
    return LiveSymbol(live_server, own_symbol(request))


def right_edge(page: Page) -> float:
    """Return the time at the right edge of the view, in minutes since 1970."""
    at: float = page.evaluate(
        """() => {
        const { store, view } = window.chartPage;
        const index = Math.min(Math.floor(view.right()), store.candles.length - 1);
        return store.candles[index][0] / 60 + view.right() - index;
    }"""
    )
    return at


def margin(page: Page) -> float:
    """Return the space right of the newest candle, in candles."""
    found: float = page.evaluate(
        "() => window.chartPage.view.right() - (window.chartPage.store.candles.length - 1)"
    )
    return found


def test_last_candle_equals_api_after_each_tick(open_page: OpenPage, symbol: LiveSymbol) -> None:
    page = symbol.open(open_page)
    page.click("#table-toggle")
    for price in (2700.25, 2701.5, 2699.75):
        symbol.tick(price)
        expect(page.locator("#legend dd").nth(4)).to_have_text(f"{price:,.2f}")
        symbol.expect_synced(page)
    last = symbol.served()[-1]
    assert legend(page)[1:6] == texts(last, 2)
    assert page.locator("#candle-table tbody tr").first.inner_text().split("\t")[1:] == texts(
        last, 2
    )
    expect(page).to_have_title(f"2,699.75 {symbol.name} M1 – GFIL")
    expect(page.locator(".countdown")).to_be_visible()


def test_tick_updates_every_timeframe_and_clock(open_page: OpenPage, symbol: LiveSymbol) -> None:
    page = symbol.open(open_page)
    page.click("#timeframes >> text=H4")
    expect(page.locator("#timeframes [aria-current]")).to_have_text("H4")
    symbol.tick(2710.5)
    symbol.expect_synced(page, "tf=H4")
    page.select_option("#clock select", "Asia/Tokyo")
    wait_for_url(page, clock="Asia/Tokyo")
    page.click("#timeframes >> text=D1")
    expect(page.locator("#timeframes [aria-current]")).to_have_text("D1")
    symbol.tick(2711.5)
    symbol.expect_synced(page, "tf=D1&clock=Asia/Tokyo")
    expect(page.locator("#legend dd").nth(4)).to_have_text("2,711.50")


def test_changing_timeframe_leaves_one_open_stream(
    open_page: OpenPage, symbol: LiveSymbol, eventually: Callable[..., object]
) -> None:
    page = symbol.open(open_page)
    for tf in ("M5", "H1", "D1"):
        page.click(f"#timeframes >> text={tf}")
        expect(page.locator("#timeframes [aria-current]")).to_have_text(tf)
    eventually(lambda: symbol.live_server.streams() == 1, "one stream per page", RECONNECT_S)
    symbol.tick(2722.5)
    symbol.expect_synced(page, "tf=D1")


def test_url_follows_view_during_continuous_ticks(open_page: OpenPage, symbol: LiveSymbol) -> None:
    page = symbol.open(open_page, "tf=M1")
    page.keyboard.press("PageUp")
    for count in range(200):
        symbol.tick(2700 + count / 4)
        if "to=" in page.evaluate("location.search"):
            return
    pytest.fail("the URL does not name the end of the view")


def test_new_candle_moves_view_that_shows_newest(open_page: OpenPage, symbol: LiveSymbol) -> None:
    page = symbol.open(open_page)
    before, space = page.evaluate("window.chartPage.store.candles.length"), margin(page)
    symbol.post([(minute(), 2600.0, 2601.0, 2599.0, 2600.5, 7.0)])
    symbol.expect_synced(page)
    assert page.evaluate("window.chartPage.store.candles.length") == before + 1
    expect(page.locator("#legend dd").nth(4)).to_have_text("2,600.50")
    assert margin(page) == pytest.approx(space)
    expect(page.locator("#newest")).to_be_hidden()


def test_new_candle_does_not_move_view_of_past(open_page: OpenPage, symbol: LiveSymbol) -> None:
    page = symbol.open(open_page)
    page.keyboard.press("PageUp")
    expect(page.locator("#newest")).to_be_visible()
    edge, shown = right_edge(page), legend(page)
    symbol.post([(minute(), 2600.0, 2601.0, 2599.0, 2600.5, 7.0)])
    symbol.expect_synced(page)
    assert right_edge(page) == pytest.approx(edge)
    assert legend(page) == shown


def test_correction_of_older_candle_is_drawn_in_place(
    open_page: OpenPage, symbol: LiveSymbol
) -> None:
    page = symbol.open(open_page)
    page.click("#table-toggle")
    edge = right_edge(page)
    symbol.post([(symbol.candles[-3][0], 2500.0, 2900.0, 2400.0, 2800.0, 10_000.0)])
    row = page.locator("#candle-table tbody tr").nth(2)
    expect(row).to_contain_text("2,900.00")
    assert row.inner_text().split("\t")[1:] == texts([0, 2500, 2900, 2400, 2800, 10_000], 2)
    symbol.expect_synced(page)
    assert right_edge(page) == pytest.approx(edge)


def test_missing_candle_is_inserted_without_moving_view(
    open_page: OpenPage, symbol: LiveSymbol
) -> None:
    missing = (symbol.candles[-100][0], symbol.candles[-100][0] + MINUTE)
    symbol.delete(*missing)
    page = symbol.open(open_page)
    symbol.expect_synced(page)
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#newest")).to_be_visible()
    edge, before = right_edge(page), page.evaluate("window.chartPage.store.candles.length")
    symbol.post([symbol.candles[-100]])
    symbol.expect_synced(page)
    assert page.evaluate("window.chartPage.store.candles.length") == before + 1
    assert right_edge(page) == pytest.approx(edge), "the view stays although a candle was inserted"


def test_candle_before_first_is_inserted_in_front(open_page: OpenPage, symbol: LiveSymbol) -> None:
    page = symbol.open(open_page, "tf=D1&clock=UTC")
    before = page.evaluate("window.chartPage.store.candles.length")
    symbol.post([(symbol.candles[0][0] - 3 * 86400, 2500.0, 2501.0, 2499.0, 2500.5, 3.0)])
    page.wait_for_function(
        "count => window.chartPage.store.candles.length === count", arg=before + 1
    )
    symbol.expect_synced(page, "tf=D1")
    assert margin(page) == pytest.approx(4)


def test_candle_older_than_loaded_range_is_ignored(open_page: OpenPage, symbol: LiveSymbol) -> None:
    page = symbol.open(open_page)
    before = page.evaluate("window.chartPage.store.candles")
    symbol.post([(symbol.candles[10][0], 2500.0, 2900.0, 2400.0, 2800.0, 10_000.0)])
    symbol.tick(2705.5)
    expect(page.locator("#legend dd").nth(4)).to_have_text("2,705.50")
    after = page.evaluate("window.chartPage.store.candles")
    assert after[: len(before) - 1] == before[:-1]


def test_candle_selected_by_keys_stays_selected_during_ticks(
    open_page: OpenPage, symbol: LiveSymbol
) -> None:
    page = symbol.open(open_page)
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    shown = legend(page)
    symbol.tick(2750.5)
    symbol.expect_synced(page)
    assert legend(page) == shown
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#legend dd").nth(4)).to_have_text("2,750.50")
    symbol.tick(2751.5)
    expect(page.locator("#legend dd").nth(4)).to_have_text("2,751.50")


def test_view_of_past_is_corrected_without_newer_candles(
    open_page: OpenPage, symbol: LiveSymbol
) -> None:
    to = symbol.candles[-1500][0]
    page = symbol.open(open_page, f"tf=M1&clock=UTC&to={to}&spacing=8")
    page.wait_for_function("() => !window.chartPage.store.isLoading")
    edge = right_edge(page)
    symbol.post([(symbol.candles[-1510][0], 2500.0, 2900.0, 2400.0, 2800.0, 10_000.0)])
    symbol.tick(2760.5)
    page.wait_for_function(
        "() => window.chartPage.store.candles.some((candle) => candle[2] === 2900)"
    )
    assert right_edge(page) == pytest.approx(edge)
    assert page.title() == f"{symbol.name} M1 – GFIL", "the newest candle is not loaded"
    title = f"2,760.50 {symbol.name} M1 – GFIL"
    press_until(page, "PageDown", lambda: page.title() == title, "the newest candle")
    symbol.expect_synced(page)


def test_deletion_is_drawn_without_moving_view(open_page: OpenPage, symbol: LiveSymbol) -> None:
    page = symbol.open(open_page)
    page.keyboard.press("PageUp")
    expect(page.locator("#newest")).to_be_visible()
    edge = right_edge(page)
    deleted = (symbol.candles[-40][0], symbol.candles[-20][0])
    symbol.delete(*deleted)
    symbol.expect_synced(page)
    assert right_edge(page) == pytest.approx(edge)


def test_delayed_response_does_not_overwrite_newer_stream_event(
    open_page: OpenPage, symbol: LiveSymbol
) -> None:
    page = symbol.open(open_page)
    symbol.tick(2770.5)
    close = page.locator("#legend dd").nth(4)
    expect(close).to_have_text("2,770.50")
    delayed = []

    def delay(route: Route) -> None:
        answer = route.fetch()
        delayed.append(answer.json()["candles"][-1][4])
        symbol.tick(2771.5)
        waiting.append((route, answer))

    waiting: list[tuple[Route, APIResponse]] = []
    page.route("**/api/v1/candles?*", delay)
    deleted = (symbol.candles[-40][0], symbol.candles[-20][0])
    symbol.delete(*deleted)
    expect(close).to_have_text("2,771.50")
    assert delayed == [2770.5]
    route, answer = waiting[0]
    route.fulfill(response=answer)
    page.wait_for_function("() => !window.chartPage.store.isLoading")
    symbol.expect_synced(page)
    expect(close).to_have_text("2,771.50")


def test_more_changes_than_stream_sends_cause_reload(
    open_page: OpenPage, symbol: LiveSymbol, page_log: PageLog
) -> None:
    page = symbol.open(open_page)
    changed = [
        (time, o, high + 5, low, c, v + 1000) for time, o, high, low, c, v in symbol.candles[-250:]
    ]
    symbol.post(changed)
    symbol.expect_synced(page)
    assert len(page_log.urls("/api/v1/candles")) >= 1
    assert margin(page) == pytest.approx(4)


def test_deleted_symbol_shows_unknown_symbol(
    open_page: OpenPage, symbol: LiveSymbol, page_log: PageLog
) -> None:
    page_log.expected.append("404 (NOT FOUND)")
    page = symbol.open(open_page)
    symbol.live_server.send("DELETE", f"/api/v1/symbols/{symbol.name}")
    expect(page.locator("#stream-status")).to_have_text(f"Not live: unknown symbol '{symbol.name}'")


def test_recreated_symbol_goes_live_again(
    open_page: OpenPage, symbol: LiveSymbol, page_log: PageLog
) -> None:
    page_log.expected.append("404 (NOT FOUND)")
    page = symbol.open(open_page)
    symbol.live_server.send("DELETE", f"/api/v1/symbols/{symbol.name}")
    expect(page.locator("#stream-status")).to_contain_text("Not live: ")
    symbol.tick(2750.5)
    expect_live(page)
    symbol.expect_synced(page)
    symbol.tick(2751.5)
    symbol.expect_synced(page)


def test_first_candle_of_empty_timeframe_is_drawn(open_page: OpenPage, symbol: LiveSymbol) -> None:
    first = minute(60 * 24 * 40)
    symbol.live_server.send(
        "POST",
        "/api/v1/candles?symbol=NEW&tf=D1",
        f"[[{first // 86400 * 86400},1,2,1,2,5]]".encode(),
    )
    page = open_page("/chart/NEW?tf=M1", base_url=symbol.live_server.url)
    expect(page.locator("#no-candles")).to_be_visible()
    expect(page.locator("#stream-status")).to_have_attribute("data-state", "live")
    symbol.tick(1.5, symbol="NEW")
    expect(page.locator("#no-candles")).to_be_hidden()
    expect(page.locator("#legend dd").nth(4)).to_have_text("2")
