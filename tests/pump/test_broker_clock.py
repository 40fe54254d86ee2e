"""The broker's clock: its forms, and the hours that a clock skips or repeats."""

import pytest

from scripts.pump.broker_clock import BrokerClock
from tests.pump.broker import AUTUMN, HOUR, SPRING

NEW_YEAR = 1_704_067_200  # 2024-01-01 00:00 UTC
SUMMER = 1_719_792_000  # 2024-07-01 00:00 UTC


@pytest.mark.parametrize(
    ("text", "winter_h", "summer_h"),
    [
        ("UTC", 0, 0),
        ("gmt", 0, 0),
        ("nyclose", 2, 3),
        ("NYclose", 2, 3),
        ("America/New_York+07:00", 2, 3),
        ("america/new_york+7", 2, 3),
        ("Europe/Athens", 2, 3),
        ("EET", 2, 3),
        ("+03:00", 3, 3),
        ("+0330", 3.5, 3.5),
        ("-5", -5, -5),
        ("Etc/GMT+3", -3, -3),
        ("UTC+14:00", 14, 14),
        ("Asia/Kolkata-09:15", -3.75, -3.75),
    ],
)
def test_clock_has_the_offset_of_its_text(text: str, winter_h: float, summer_h: float) -> None:
    clock = BrokerClock(text)
    assert clock.offset_s(NEW_YEAR) == winter_h * HOUR
    assert clock.offset_s(SUMMER) == summer_h * HOUR


@pytest.mark.parametrize(
    "text",
    ["Europe/Atlantis", "+15:00", "-14:01", "America/New_York+7:5", "+7:60", "7", "", " ", "x\ny"],
)
def test_unknown_clock_is_refused(text: str) -> None:
    with pytest.raises(SystemExit, match="unknown clock"):
        BrokerClock(text)


def test_skipped_wall_time_has_no_utc_time() -> None:
    clock = BrokerClock("nyclose")
    before = clock.to_wall(SPRING - 1)
    after = clock.to_wall(SPRING)
    assert after - before == HOUR + 1
    assert clock.to_utc([before, before + 1800, after], 1, 0) == [SPRING - 1, None, SPRING]


def test_repeated_wall_times_follow_the_order_of_the_rows() -> None:
    clock = BrokerClock("nyclose")
    times = [AUTUMN - 1800, AUTUMN - 60, AUTUMN, AUTUMN + 1800, AUTUMN + HOUR]
    walls = [clock.to_wall(time) for time in times]
    assert walls[0] == walls[3]
    assert clock.to_utc(walls, 1, 0) == times
    assert clock.to_utc([wall * 1000 + 7 for wall in walls], 1000, -60_000) == [
        time * 1000 + 7 for time in times
    ]


def test_lone_repeated_wall_time_is_the_earlier_time() -> None:
    clock = BrokerClock("nyclose")
    assert clock.to_utc([clock.to_wall(AUTUMN)], 1, 0) == [AUTUMN - HOUR]


def test_repeated_hour_is_found_from_any_of_its_wall_times() -> None:
    clock = BrokerClock("nyclose")
    first = clock.to_wall(AUTUMN)
    for wall in (first, first + 1800, first + HOUR - 1):
        assert clock.repeated_hour(wall) == range(first, first + HOUR)
    for wall in (first - 1, first + HOUR):
        assert clock.repeated_hour(wall) == range(wall, wall)
        assert clock.repeated_hour(wall).start == wall
