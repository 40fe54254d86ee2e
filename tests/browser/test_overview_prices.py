"""The overview while its symbols receive ticks."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.chart_page import OpenPage
from tests.browser.conftest import PageLog
from tests.browser.live_server import RECONNECT_S, LiveServer, LiveSymbol, expect_live, minute
from tests.conftest import Server
from tests.web.walks import store, walk

SYMBOLS = 60


@pytest.fixture(scope="module")
def live_server(
    server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory
) -> LiveServer:
    """Start a server with more symbols than fit into the window."""
    running = LiveServer(server, tmp_path_factory.mktemp("prices") / "gfil.db")
    for number in range(SYMBOLS):
        store(running.path, f"Z{number:02}", walk(f"{number}", minute(5), 5, price=100))
    return running


@pytest.fixture
def symbol(live_server: LiveServer) -> LiveSymbol:
    """Create a symbol that is shown in the first row."""
    return LiveSymbol(live_server, "GOLD")


def row(page: Page, symbol: str) -> Locator:
    return page.locator(f"tr[data-symbol={symbol}]")


def open_overview(open_page: OpenPage, live_server: LiveServer, **options: Any) -> Page:
    page = open_page("/", drawn=False, base_url=live_server.url, **options)
    expect_live(page)
    return page


def test_tick_updates_price_change_and_age(open_page: OpenPage, symbol: LiveSymbol) -> None:
    page = open_overview(open_page, symbol.live_server)
    symbol.tick(2700.25)
    expect(row(page, "GOLD").locator(".last")).to_have_text("2,700.25")
    expect(row(page, "GOLD").locator(".age")).to_have_text("now")
    change = row(page, "GOLD").locator(".change").inner_text()
    page.reload()
    assert row(page, "GOLD").locator(".change").inner_text() == change
    assert row(page, "GOLD").locator(".last").inner_text() == "2,700.25"


def test_row_scrolled_into_view_shows_earlier_and_later_ticks(
    open_page: OpenPage, symbol: LiveSymbol, page_log: PageLog, eventually: Callable[..., Any]
) -> None:
    page = open_overview(open_page, symbol.live_server)
    symbol.tick(55.5, symbol="Z59")
    symbol.tick(2701.5)
    expect(row(page, "GOLD").locator(".last")).to_have_text("2,701.50")
    assert "55.5" not in row(page, "Z59").locator(".last").inner_text()
    row(page, "Z59").scroll_into_view_if_needed()
    expect(row(page, "Z59").locator(".last")).to_have_text("55.50")
    symbol.tick(56.5, symbol="Z59")
    expect(row(page, "Z59").locator(".last")).to_have_text("56.50")
    symbol.tick(2702.5)
    row(page, "GOLD").scroll_into_view_if_needed()
    expect(row(page, "GOLD").locator(".last")).to_have_text("2,702.50")
    urls = page_log.urls("/api/v1/stream")
    assert max(url.count("sub=") for url in urls) <= 32
    eventually(lambda: symbol.live_server.streams() == 1, "one stream per page", RECONNECT_S)


def test_tick_causes_no_layout_shift(open_page: OpenPage, symbol: LiveSymbol) -> None:
    page = open_overview(open_page, symbol.live_server)
    page.evaluate(
        """() => {
        window.layoutShift = 0;
        new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) window.layoutShift += entry.value;
        }).observe({ type: 'layout-shift' });
    }"""
    )
    for price in (2703.25, 2799.75, 2688.5):
        symbol.tick(price)
        expect(row(page, "GOLD").locator(".last")).to_have_text(f"{price:,.2f}")
    assert page.evaluate("window.layoutShift") == 0


@pytest.mark.parametrize(("motion", "count"), [("no-preference", 1), ("reduce", 0)])
def test_changed_price_flashes_unless_reduced_motion_is_set(
    open_page: OpenPage, symbol: LiveSymbol, motion: str, count: int
) -> None:
    page = open_overview(open_page, symbol.live_server, reduced_motion=motion)
    page.evaluate(
        """() => {
        window.flashed = [];
        const animate = Element.prototype.animate;
        Element.prototype.animate = function (...options) {
            window.flashed.push(this.tagName);
            return animate.apply(this, options);
        };
    }"""
    )
    symbol.tick(2900.25)
    expect(row(page, "GOLD").locator(".last")).to_have_text("2,900.25")
    assert page.evaluate("window.flashed") == ["SPAN"] * count
    symbol.tick(2600.0)


def test_deleted_symbol_disappears_and_other_rows_stay_live(
    open_page: OpenPage, symbol: LiveSymbol
) -> None:
    deleted = LiveSymbol(symbol.live_server, "DELETED")
    page = open_overview(open_page, symbol.live_server)
    expect(row(page, deleted.name)).to_have_count(1)
    symbol.live_server.send("DELETE", f"/api/v1/symbols/{deleted.name}")
    expect(row(page, deleted.name)).to_have_count(0)
    symbol.tick(2704.5)
    expect(row(page, "GOLD").locator(".last")).to_have_text("2,704.50")
    expect_live(page)


def test_change_on_new_day_starts_from_previous_close(
    open_page: OpenPage, live_server: LiveServer
) -> None:
    today = minute() // 86400 * 86400
    store(live_server.path, "DAYS", [(today - 60, 100.0, 100.0, 100.0, 100.0, 1.0)])
    page = open_overview(open_page, live_server)
    expect(row(page, "DAYS").locator(".change")).to_have_text("+0.00%")
    LiveSymbol(live_server, "GOLD").tick(110.0, symbol="DAYS")
    expect(row(page, "DAYS").locator(".change")).to_have_text("+10.00%")
