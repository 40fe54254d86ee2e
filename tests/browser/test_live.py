"""The chart page while candles move: what comes is shown, and where it is shown."""

from collections.abc import Callable

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from tests.browser.conftest import MINUTE, Watch
from tests.browser.feeding import Feed, House, expect_live, minute, own_symbol
from tests.browser.looking import OpenPage, legend, next_frame, texts, wait_for_address
from tests.conftest import Server


@pytest.fixture(scope="module")
def house(server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> House:
    """One server for the tests of this module."""
    return House(server, tmp_path_factory.mktemp("live") / "gfil.db")


@pytest.fixture
def feed(house: House, request: pytest.FixtureRequest) -> Feed:
    """A symbol of its own for each test."""
    return Feed(house, own_symbol(request))


def right(page: Page) -> float:
    """The instant at the right edge of the view, in candles since 1970."""
    at: float = page.evaluate(
        """() => {
        const { held, plot } = window.shown;
        const index = Math.min(Math.floor(plot.right()), held.candles.length - 1);
        return held.candles[index][0] / 60 + plot.right() - index;
    }"""
    )
    return at


def beyond(page: Page) -> float:
    """How many candles have room beside the newest."""
    found: float = page.evaluate(
        "() => window.shown.plot.right() - (window.shown.held.candles.length - 1)"
    )
    return found


def test_the_last_candle_moves_with_each_tick_as_the_api_has_it(
    open_page: OpenPage, feed: Feed
) -> None:
    page = feed.open(open_page)
    page.click("#tabulate")
    for price in (2700.25, 2701.5, 2699.75):
        feed.tick(price)
        expect(page.locator("#legend dd").nth(4)).to_have_text(f"{price:.2f}")
        feed.expect_shown(page)
    last = feed.candles()[-1]
    assert legend(page)[1:6] == texts(last, 2)
    assert page.locator("#table tbody tr").first.inner_text().split("\t")[1:] == texts(last, 2)
    expect(page).to_have_title(f"2699.75 {feed.symbol} M1 – GFIL")
    expect(page.locator(".countdown")).to_be_visible()


def test_every_timeframe_and_clock_moves(open_page: OpenPage, feed: Feed) -> None:
    page = feed.open(open_page)
    page.click("#timeframes >> text=H4")
    expect(page.locator("#timeframes [aria-current]")).to_have_text("H4")
    feed.tick(2710.5)
    feed.expect_shown(page, "tf=H4")
    page.select_option("#clock select", "Asia/Tokyo")
    wait_for_address(page, clock="Asia/Tokyo")
    page.click("#timeframes >> text=D1")
    expect(page.locator("#timeframes [aria-current]")).to_have_text("D1")
    feed.tick(2711.5)
    feed.expect_shown(page, "tf=D1&clock=Asia/Tokyo")
    expect(page.locator("#legend dd").nth(4)).to_have_text("2711.50")


def test_another_timeframe_leaves_one_stream(
    open_page: OpenPage, feed: Feed, eventually: Callable[..., object]
) -> None:
    page = feed.open(open_page)
    for tf in ("M5", "H1", "D1"):
        page.click(f"#timeframes >> text={tf}")
        expect(page.locator("#timeframes [aria-current]")).to_have_text(tf)
    eventually(lambda: feed.house.streams() == 1, "one stream per page")
    feed.tick(2722.5)
    feed.expect_shown(page, "tf=D1")


def test_the_address_follows_the_view_while_ticks_come_without_a_pause(
    open_page: OpenPage, feed: Feed
) -> None:
    page = feed.open(open_page, "tf=M1")
    page.keyboard.press("PageUp")
    for count in range(200):
        feed.tick(2700 + count / 4)
        if "to=" in page.evaluate("location.search"):
            return
    pytest.fail("the address does not say where the view ends")


def test_a_new_candle_opens_and_the_view_goes_with_it(open_page: OpenPage, feed: Feed) -> None:
    page = feed.open(open_page)
    before, room = page.evaluate("window.shown.held.candles.length"), beyond(page)
    feed.write([(minute(), 2600.0, 2601.0, 2599.0, 2600.5, 7.0)])
    feed.expect_shown(page)
    assert page.evaluate("window.shown.held.candles.length") == before + 1
    expect(page.locator("#legend dd").nth(4)).to_have_text("2600.50")
    assert beyond(page) == pytest.approx(room)
    expect(page.locator("#newest")).to_be_hidden()


def test_a_new_candle_does_not_move_a_view_into_the_past(open_page: OpenPage, feed: Feed) -> None:
    page = feed.open(open_page)
    page.keyboard.press("PageUp")
    expect(page.locator("#newest")).to_be_visible()
    seen, told = right(page), legend(page)
    feed.write([(minute(), 2600.0, 2601.0, 2599.0, 2600.5, 7.0)])
    feed.expect_shown(page)
    assert right(page) == pytest.approx(seen)
    assert legend(page) == told


def test_a_late_correction_of_an_older_candle_is_shown_where_it_is(
    open_page: OpenPage, feed: Feed
) -> None:
    page = feed.open(open_page)
    page.click("#tabulate")
    seen = right(page)
    feed.write([(feed.made[-3][0], 2500.0, 2900.0, 2400.0, 2800.0, 10_000.0)])
    row = page.locator("#table tbody tr").nth(2)
    expect(row).to_contain_text("2900.00")
    assert row.inner_text().split("\t")[1:] == texts([0, 2500, 2900, 2400, 2800, 10_000], 2)
    feed.expect_shown(page)
    assert right(page) == pytest.approx(seen)


def test_a_candle_that_was_missing_is_put_in_between(open_page: OpenPage, feed: Feed) -> None:
    hole = (feed.made[-100][0], feed.made[-100][0] + MINUTE)
    feed.delete(*hole)
    page = feed.open(open_page)
    feed.expect_shown(page)
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#newest")).to_be_visible()
    seen, before = right(page), page.evaluate("window.shown.held.candles.length")
    feed.write([feed.made[-100]])
    feed.expect_shown(page)
    assert page.evaluate("window.shown.held.candles.length") == before + 1
    assert right(page) == pytest.approx(seen), "the view stays although it grew beyond its edge"


def test_older_candles_than_there_were_are_put_in_front(open_page: OpenPage, feed: Feed) -> None:
    page = feed.open(open_page, "tf=D1&clock=UTC")
    before = page.evaluate("window.shown.held.candles.length")
    feed.write([(feed.made[0][0] - 3 * 86400, 2500.0, 2501.0, 2499.0, 2500.5, 3.0)])
    page.wait_for_function("count => window.shown.held.candles.length === count", arg=before + 1)
    feed.expect_shown(page, "tf=D1")
    assert beyond(page) == pytest.approx(4)


def test_a_candle_older_than_all_that_are_held_changes_nothing(
    open_page: OpenPage, feed: Feed
) -> None:
    page = feed.open(open_page)
    before = page.evaluate("window.shown.held.candles")
    feed.write([(feed.made[10][0], 2500.0, 2900.0, 2400.0, 2800.0, 10_000.0)])
    feed.tick(2705.5)
    expect(page.locator("#legend dd").nth(4)).to_have_text("2705.50")
    after = page.evaluate("window.shown.held.candles")
    assert after[: len(before) - 1] == before[:-1]


def test_the_candle_that_is_read_stays_while_others_move(open_page: OpenPage, feed: Feed) -> None:
    page = feed.open(open_page)
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    told = legend(page)
    feed.tick(2750.5)
    feed.expect_shown(page)
    assert legend(page) == told
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#legend dd").nth(4)).to_have_text("2750.50")
    feed.tick(2751.5)
    expect(page.locator("#legend dd").nth(4)).to_have_text("2751.50")


def test_a_view_of_the_past_is_corrected_and_gets_nothing_beyond_what_it_holds(
    open_page: OpenPage, feed: Feed
) -> None:
    to = feed.made[-1500][0]
    page = feed.open(open_page, f"tf=M1&clock=UTC&to={to}&spacing=8")
    page.wait_for_function("() => !window.shown.held.busy")
    seen = right(page)
    feed.write([(feed.made[-1510][0], 2500.0, 2900.0, 2400.0, 2800.0, 10_000.0)])
    feed.tick(2760.5)
    page.wait_for_function("() => window.shown.held.candles.some((candle) => candle[2] === 2900)")
    assert right(page) == pytest.approx(seen)
    assert page.title() == f"{feed.symbol} M1 – GFIL", "the newest price is not held"
    for _ in range(12):
        page.keyboard.press("PageDown")
        next_frame(page)
    expect(page).to_have_title(f"2760.50 {feed.symbol} M1 – GFIL")
    feed.expect_shown(page)


def test_a_deletion_is_shown_and_the_view_stays(open_page: OpenPage, feed: Feed) -> None:
    page = feed.open(open_page)
    page.keyboard.press("PageUp")
    expect(page.locator("#newest")).to_be_visible()
    seen = right(page)
    gone = (feed.made[-40][0], feed.made[-20][0])
    feed.delete(*gone)
    feed.expect_shown(page)
    assert right(page) == pytest.approx(seen)


def test_an_answer_older_than_what_the_stream_told_meanwhile_does_not_win(
    open_page: OpenPage, feed: Feed
) -> None:
    page = feed.open(open_page)
    feed.tick(2770.5)
    close = page.locator("#legend dd").nth(4)
    expect(close).to_have_text("2770.50")
    delayed = []

    def delay(route: Route) -> None:
        answer = route.fetch()
        delayed.append(answer.json()["candles"][-1][4])
        feed.tick(2771.5)
        waiting.append((route, answer))

    waiting: list[tuple[Route, APIResponse]] = []
    page.route("**/api/v1/candles?*", delay)
    gone = (feed.made[-40][0], feed.made[-20][0])
    feed.delete(*gone)
    expect(close).to_have_text("2771.50")
    assert delayed == [2770.5]
    route, answer = waiting[0]
    route.fulfill(response=answer)
    page.wait_for_function("() => !window.shown.held.busy")
    feed.expect_shown(page)
    expect(close).to_have_text("2771.50")


def test_more_candles_at_once_than_a_stream_carries_are_read_anew(
    open_page: OpenPage, feed: Feed, watch: Watch
) -> None:
    page = feed.open(open_page)
    moved = [(time, o, high + 5, low, c, v + 1000) for time, o, high, low, c, v in feed.made[-250:]]
    feed.write(moved)
    feed.expect_shown(page)
    assert len(watch.asked("/api/v1/candles")) >= 1
    assert beyond(page) == pytest.approx(4)


def test_a_symbol_that_is_deleted_says_so(open_page: OpenPage, feed: Feed, watch: Watch) -> None:
    watch.expected.append("404 (NOT FOUND)")
    page = feed.open(open_page)
    feed.house.send("DELETE", f"/api/v1/symbols/{feed.symbol}")
    expect(page.locator("#live")).to_have_text(f"Not live: unknown symbol '{feed.symbol}'")


def test_a_symbol_that_comes_again_is_live_again(
    open_page: OpenPage, feed: Feed, watch: Watch
) -> None:
    watch.expected.append("404 (NOT FOUND)")
    page = feed.open(open_page)
    feed.house.send("DELETE", f"/api/v1/symbols/{feed.symbol}")
    expect(page.locator("#live")).to_contain_text("Not live: ")
    feed.tick(2750.5)
    expect_live(page)
    feed.expect_shown(page)
    feed.tick(2751.5)
    feed.expect_shown(page)


def test_the_first_candle_of_a_timeframe_is_shown(open_page: OpenPage, feed: Feed) -> None:
    first = minute(60 * 24 * 40)
    feed.house.send(
        "POST",
        "/api/v1/candles?symbol=NEW&tf=D1",
        f"[[{first // 86400 * 86400},1,2,1,2,5]]".encode(),
    )
    page = open_page("/chart/NEW?tf=M1", base_url=feed.house.url)
    expect(page.locator("#blank")).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    feed.tick(1.5, symbol="NEW")
    expect(page.locator("#blank")).to_be_hidden()
    expect(page.locator("#legend dd").nth(4)).to_have_text("2")
