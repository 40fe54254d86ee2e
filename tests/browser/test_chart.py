"""The chart page: candles, legend, countdown, table, screenshot, themes."""

import pytest
from playwright.sync_api import expect

from tests.browser.chart_page import (
    COLORS,
    FIRST,
    NYCLOSE,
    OpenPage,
    colors_drawn,
    get_candles,
    legend,
    texts,
    wait_for_url,
)
from tests.browser.conftest import PageLog, Site


def test_chart_draws_newest_candles_and_legend_shows_last(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD")
    last = get_candles(page, f"symbol=EURUSD&tf=H1&clock={NYCLOSE}&limit=2")["candles"]
    change = 100 * (last[1][4] - last[0][4]) / last[0][4]
    sign = "−" if change < 0 else "+"
    assert legend(page) == [
        "Mon 2025-01-13 23:00",
        *texts(last[1], 5),
        f"{sign}{abs(change):.2f}%",
    ]
    assert colors_drawn(page) > COLORS["light"]
    wait_for_url(page, tf="H1", clock="America/New_York+07:00", to=None)


def test_legend_follows_crosshair(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=M5&clock=UTC")
    candles = {
        candle[0]: candle
        for candle in get_candles(page, "symbol=EURUSD&tf=M5&limit=300")["candles"]
    }
    before = legend(page)
    box = page.locator("#chart").bounding_box()
    assert box
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    expect(page.locator("#legend dd").first).not_to_have_text(before[0])
    shown = legend(page)
    hour, minute = map(int, shown[0][-5:].split(":"))
    day = int(shown[0].split("-")[2][:2])
    time = FIRST + (day - 6) * 86400 + hour * 3600 + minute * 60
    assert shown[1:6] == texts(candles[time], 5)
    page.mouse.move(box["x"] + 300, 5)
    expect(page.locator("#legend dd").first).to_have_text(before[0])


def test_shift_arrow_keys_select_and_announce_candle(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=H1&clock=UTC")
    last = get_candles(page, "symbol=EURUSD&tf=H1&limit=2")["candles"]
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    opened, high, low, close, volume = texts(last[0], 5)
    expect(page.locator("#announcer")).to_contain_text(
        f"Mon 2025-01-13 22:00, open {opened}, high {high}, low {low}, close {close}, "
        f"volume {volume}, "
    )
    assert legend(page)[0] == "Mon 2025-01-13 22:00"
    page.keyboard.press("Escape")
    expect(page.locator("#legend dd").first).to_have_text("Mon 2025-01-13 23:00")


def test_countdown_shows_time_until_forming_candle_closes(open_page: OpenPage) -> None:
    page = open_page("/chart/BTCUSD?tf=D1&clock=UTC")
    page.wait_for_function(
        """() => {
        const text = document.getElementById('countdown').textContent;
        const [s, m, h = 0] = text.split(':').reverse();
        const left = 86400 - (Date.now() / 1000) % 86400;
        return Math.abs(3600 * h + 60 * m + 1 * s - left) <= 2;
    }"""
    )
    page.goto("/chart/EURUSD")
    expect(page.locator("#countdown")).to_be_hidden()


def test_screenshot_button_downloads_png(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=M30")
    with page.expect_download() as download:
        page.click("#screenshot")
    assert download.value.suggested_filename.startswith("EURUSD_M30_20")
    saved = download.value.path().read_bytes()
    assert saved[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(saved) > 10_000


def test_candle_table_follows_timeframe_of_chart(open_page: OpenPage) -> None:
    page = open_page("/chart/EURUSD?tf=H1&clock=UTC")
    expect(page.locator("#candle-table")).to_be_hidden()
    page.click("#table-toggle")
    rows = page.locator("#candle-table tbody tr")
    expect(rows).to_have_count(12)
    expect(rows.first).to_contain_text("2025-01-13 23:00")
    page.click("#timeframes >> text=D1")
    expect(rows).to_have_count(8)
    expect(rows.last).to_contain_text("2025-01-06")
    assert page.locator("#table-toggle").get_attribute("aria-expanded") == "true"


def test_timeframe_without_candles_shows_message_until_another_is_chosen(
    open_page: OpenPage,
) -> None:
    page = open_page("/chart/DAILY?tf=H1")
    expect(page.locator("#no-candles")).to_contain_text("No H1 candles.")
    expect(page.locator("#legend")).to_be_hidden()
    page.keyboard.press("Home")
    page.keyboard.press("Shift+ArrowLeft")
    page.click("#timeframes >> text=D1")
    expect(page.locator("#no-candles")).to_be_hidden()
    expect(page.locator("#legend dd").first).to_have_text("Mon 2025-01-06")


def test_chart_page_without_scripts_shows_candle_table(open_page: OpenPage, site: Site) -> None:
    page = open_page("/chart/EURUSD?tf=M1&clock=UTC", drawn=False, java_script_enabled=False)
    last = site.eurusd[-1]
    assert page.locator("#candle-table tbody tr").first.inner_text().split("\t") == [
        "2025-01-13 23:59",
        *texts(list(last), 5),
    ]
    assert page.locator("#candle-table").is_visible()
    assert legend(page)[1:6] == texts(list(last), 5)
    page.click("#timeframes >> text=H4")
    page.wait_for_url("**/chart/EURUSD?tf=H4&clock=UTC")
    page.select_option("#clock select", "Asia/Tokyo")
    page.click("#clock button")
    page.wait_for_url("**/chart/EURUSD?tf=H4&clock=Asia%2FTokyo")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844), (360, 640)])
def test_chart_fills_window_without_overflow(
    open_page: OpenPage, size: tuple[int, int], theme: str
) -> None:
    width, height = size
    page = open_page(
        "/chart/EURUSD", viewport={"width": width, "height": height}, color_scheme=theme
    )
    seen = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert seen == [width, height]
    box = page.locator("#chart canvas").first.bounding_box()
    assert box
    assert box["height"] > height / 2
    assert colors_drawn(page) > COLORS[theme]


def test_theme_button_recolors_chart(open_page: OpenPage, page_log: PageLog) -> None:
    page_log.expected.append("willReadFrequently")  # the test reads the canvas, not the page
    page = open_page("/chart/EURUSD", color_scheme="dark")
    corner = """() => [...document.querySelector('#chart canvas').getContext('2d')
        .getImageData(2, 60, 1, 1).data].slice(0, 3)"""
    assert page.evaluate(corner) == [15, 19, 25]
    page.click("[data-action=theme]")
    page.wait_for_function(f"({corner})()[0] === 255")
