"""Tests of gfil/trading_week.py."""

import gzip
from collections import Counter
from pathlib import Path

import pytest

from gfil import clocks, trading_week
from gfil.clocks import UTC
from gfil.ingest import importer
from gfil.trading_week import count_hours, describe, fit_clocks

HOUR, DAY = 3600, 86400
MONDAY = 1_704_067_200  # 2024-01-01
WEEKS = 40  # with two clock changes in America and in Europe


def trades(stamped_on: str = "UTC", weeks: int = WEEKS, quiet: int = 0) -> Counter[int]:
    """Hours of a currency with the times of a clock read as UTC."""
    new_york, wall = clocks.parse("America/New_York"), clocks.parse(stamped_on)
    hours = Counter[int]()
    for time in range(MONDAY, MONDAY + weeks * 7 * DAY, HOUR):
        since_monday = (new_york.wall(time) - MONDAY) % (7 * DAY) // HOUR
        closed = range(4 * 24 + 17 - quiet, 6 * 24 + 17 + quiet)
        if since_monday not in closed:
            hours[wall.wall(time) // HOUR] += 60
    return hours


def test_currency_in_utc_fits_a_market() -> None:
    assert fit_clocks(trades(), UTC) == (True, ())
    assert fit_clocks(trades(quiet=1), UTC) == (True, ())


@pytest.mark.parametrize("clock", ["nyclose", "America/New_York"])
def test_clock_of_the_times_is_found(clock: str) -> None:
    fits, better = fit_clocks(trades(clock), UTC)
    assert (fits, better[0]) == (False, clock)


def test_clocks_with_other_summer_times_are_named_too() -> None:
    fits, better = fit_clocks(trades("nyclose"), UTC)
    assert not fits
    assert better == ["nyclose", "Europe/Athens", "EET"]


def test_few_weeks_give_every_clock_that_fits() -> None:
    fits, better = fit_clocks(trades("nyclose", weeks=4), UTC)
    assert not fits
    assert better == ["nyclose", "Europe/Athens", "EET", "+02:00"]


def test_times_read_on_their_own_clock_fit_a_market() -> None:
    for name in ("nyclose", "Europe/Athens"):
        clock = clocks.parse(name)
        shown = trades(name)
        hours = Counter({clock.first_instant(hour * HOUR) // HOUR: n for hour, n in shown.items()})
        assert fit_clocks(hours, clock) == (True, ())


def test_clock_wrong_in_the_other_direction_is_corrected() -> None:
    nyclose = clocks.parse("nyclose")
    hours = Counter({nyclose.first_instant(h * HOUR) // HOUR: n for h, n in trades().items()})
    assert fit_clocks(hours, nyclose) == (False, ["UTC"])


def test_markets_that_never_close_or_open_by_day_fit() -> None:
    crypto = count_hours(range(MONDAY, MONDAY + 9 * 7 * DAY, HOUR))
    assert fit_clocks(crypto, UTC).fits
    shares = count_hours(
        MONDAY + day * DAY + hour * HOUR
        for day in range(60)
        for hour in range(14, 21)
        if day % 7 < 5
    )
    assert fit_clocks(shares, UTC).fits


def test_too_few_hours_fit() -> None:
    assert fit_clocks(count_hours(range(MONDAY + 5 * DAY, MONDAY + 6 * DAY - HOUR, HOUR)), UTC).fits


def test_week_that_no_clock_explains_has_no_better_clock() -> None:
    odd = count_hours(
        MONDAY + day * DAY + hour * HOUR
        for day in range(90)
        for hour in range(0, 24, 2)
        if day % 7 in (2, 5)
    )
    assert fit_clocks(odd, UTC) == (False, [])


def test_week_is_described_by_day() -> None:
    assert describe(trades(weeks=8)) == "Mon-Thu 00-24; Fri 00-22; Sun 22-24"
    assert describe(Counter()) == "no regular hours"
    assert (
        describe(count_hours([MONDAY, MONDAY + 5 * HOUR, MONDAY + 6 * HOUR])) == "Mon 00-01, 05-07"
    )


@pytest.mark.parametrize(
    ("name", "clock", "fits", "first"),
    [
        ("eurusd_utc_multitf/EURUSD1.csv", "UTC", True, None),
        ("eurusd_utc_multitf/EURUSD1.csv", "nyclose", False, "UTC"),
        ("xauusd_server_time_multitf/XAUUSD_M1.csv", "UTC", False, "nyclose"),
        ("xauusd_server_time_multitf/XAUUSD_M1.csv", "Europe/Athens", True, None),
        ("histdata/DAT_ASCII_EURUSD_M1_201701.csv", "UTC", False, "America/New_York"),
        ("mt5/EURUSD_H1.csv", "UTC", False, "nyclose"),
        ("legacy_json/EURUSD_1m.json", "UTC", True, None),
        ("legacy_json/ETH_BTC-1m.json", "UTC", True, None),
        ("bulk/frxEURUSD_M1_2017_2019.csv", "UTC", True, None),
    ],
)
def test_clocks_of_broker_files_are_found(
    shared_hours: Path, name: str, clock: str, fits: bool, first: str | None
) -> None:
    data = gzip.decompress((shared_hours / f"{name}.gz").read_bytes())[:8_000_000]
    options = importer.Options(symbol="X", clock=clocks.parse(clock))
    hours = Counter[int]()
    for batch in importer.read(None, [data], options, now=2e9, name=name).batches:
        for _, _, rows in batch:
            hours.update(count_hours(rows.time))  # type: ignore[union-attr]
    judgement = fit_clocks(hours, clocks.parse(clock))
    assert (judgement.fits, next(iter(judgement.better), None)) == (fits, first)
    assert trading_week.KNOWN[0] == "UTC"
