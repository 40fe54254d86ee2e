"""The overview while prices move."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Watch
from tests.browser.feeding import Feed, House, expect_live, minute
from tests.browser.looking import OpenPage
from tests.conftest import Server
from tests.web.walks import store, walk

MANY = 60


@pytest.fixture(scope="module")
def house(server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> House:
    """A server with more symbols than a window has rows."""
    made = House(server, tmp_path_factory.mktemp("prices") / "gfil.db")
    for number in range(MANY):
        store(made.path, f"Z{number:02}", walk(f"{number}", minute(5), 5, price=100))
    return made


@pytest.fixture
def feed(house: House) -> Feed:
    """A symbol in the first row."""
    return Feed(house, "GOLD")


def row(page: Page, symbol: str) -> Locator:
    return page.locator(f"tr[data-symbol={symbol}]")


def open_overview(open_page: OpenPage, house: House, **options: Any) -> Page:
    page = open_page("/", drawn=False, base_url=house.url, **options)
    expect_live(page)
    return page


def test_a_price_moves_and_with_it_the_change_over_the_day(open_page: OpenPage, feed: Feed) -> None:
    page = open_overview(open_page, feed.house)
    feed.tick(2700.25)
    expect(row(page, "GOLD").locator(".last")).to_have_text("2700.25")
    expect(row(page, "GOLD").locator(".fresh")).to_have_text("now")
    told = row(page, "GOLD").locator(".change").inner_text()
    page.reload()
    assert row(page, "GOLD").locator(".change").inner_text() == told
    assert row(page, "GOLD").locator(".last").inner_text() == "2700.25"


def test_rows_that_come_into_view_move_and_none_missed_what_came_before(
    open_page: OpenPage, feed: Feed, watch: Watch, eventually: Callable[..., Any]
) -> None:
    page = open_overview(open_page, feed.house)
    feed.tick(55.5, symbol="Z59")
    feed.tick(2701.5)
    expect(row(page, "GOLD").locator(".last")).to_have_text("2701.50")
    assert "55.5" not in row(page, "Z59").locator(".last").inner_text()
    row(page, "Z59").scroll_into_view_if_needed()
    expect(row(page, "Z59").locator(".last")).to_have_text("55.50")
    feed.tick(56.5, symbol="Z59")
    expect(row(page, "Z59").locator(".last")).to_have_text("56.50")
    feed.tick(2702.5)
    row(page, "GOLD").scroll_into_view_if_needed()
    expect(row(page, "GOLD").locator(".last")).to_have_text("2702.50")
    asked = watch.asked("/api/v1/stream")
    assert max(url.count("sub=") for url in asked) <= 32
    eventually(lambda: feed.house.streams() == 1, "one stream per page")


def test_a_price_does_not_shift_the_rows(open_page: OpenPage, feed: Feed) -> None:
    page = open_overview(open_page, feed.house)
    page.evaluate(
        """() => {
        window.shifted = 0;
        new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) window.shifted += entry.value;
        }).observe({ type: 'layout-shift' });
    }"""
    )
    for price in (2703.25, 2799.75, 2688.5):
        feed.tick(price)
        expect(row(page, "GOLD").locator(".last")).to_have_text(f"{price:.2f}")
    assert page.evaluate("window.shifted") == 0


@pytest.mark.parametrize(("motion", "count"), [("no-preference", 1), ("reduce", 0)])
def test_what_moved_is_lit_up_unless_motion_is_unwanted(
    open_page: OpenPage, feed: Feed, motion: str, count: int
) -> None:
    page = open_overview(open_page, feed.house, reduced_motion=motion)
    page.evaluate(
        """() => {
        window.lit = [];
        const animate = Element.prototype.animate;
        Element.prototype.animate = function (...how) {
            window.lit.push(this.tagName);
            return animate.apply(this, how);
        };
    }"""
    )
    feed.tick(2900.25)
    expect(row(page, "GOLD").locator(".last")).to_have_text("2900.25")
    assert page.evaluate("window.lit") == ["SPAN"] * count
    feed.tick(2600.0)


def test_a_deleted_symbol_leaves_and_its_neighbours_go_on(open_page: OpenPage, feed: Feed) -> None:
    gone = Feed(feed.house, "GONE")
    page = open_overview(open_page, feed.house)
    expect(row(page, gone.symbol)).to_have_count(1)
    feed.house.send("DELETE", f"/api/v1/symbols/{gone.symbol}")
    expect(row(page, gone.symbol)).to_have_count(0)
    feed.tick(2704.5)
    expect(row(page, "GOLD").locator(".last")).to_have_text("2704.50")
    expect_live(page)


def test_a_new_day_counts_its_change_from_the_close_of_the_day_before(
    open_page: OpenPage, house: House
) -> None:
    today = minute() // 86400 * 86400
    store(house.path, "DAYS", [(today - 60, 100.0, 100.0, 100.0, 100.0, 1.0)])
    page = open_overview(open_page, house)
    expect(row(page, "DAYS").locator(".change")).to_have_text("+0.00%")
    Feed(house, "GOLD").tick(110.0, symbol="DAYS")
    expect(row(page, "DAYS").locator(".change")).to_have_text("+10.00%")
