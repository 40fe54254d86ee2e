"""Numbers and ages are written the same way by the server and by the page."""

import random

from gfil.wording import format_age, format_number
from tests.browser.chart_page import OpenPage

CALL = """async ([name, calls]) => {
    const { href } = document.querySelector('link[href$="/lib/format.js"]');
    const format = (await import(href))[name];
    return calls.map((values) => format(...values));
}"""


def test_format_number_of_page_equals_that_of_server(open_page: OpenPage) -> None:
    rng = random.Random(20250106)
    calls: list[tuple[float, int]] = [(0, 0), (999, 0), (1000, 0), (1.005, 2), (-1234567.891, 2)]
    calls += [(1e12 * rng.uniform(-1, 1) ** 7, rng.randrange(9)) for _ in range(500)]
    shown = open_page("/chart/EURUSD").evaluate(CALL, ["formatNumber", calls])
    assert shown == [format_number(value, digits) for value, digits in calls]


def test_format_age_of_page_equals_that_of_server(open_page: OpenPage) -> None:
    ages = [0, 59, 119.9, 120, 7199, 7200, 172_799, 172_800, 400_000_000]
    shown = open_page("/chart/EURUSD").evaluate(CALL, ["formatAge", [[age] for age in ages]])
    assert shown == [format_age(age) for age in ages]
