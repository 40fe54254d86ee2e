"""Inventory: time ranges, and staleness also across clock changes."""

import apsw
import pytest

from gfil import clocks
from gfil.store import symbols
from gfil.store.candles import inventory, ticks
from gfil.store.candles.inventory import TimeRange
from gfil.store.engine import connection
from gfil.timeframes import DAY, MINUTE, WEEK
from tests.store.model import write


def minutes(wall: str, monday: str, weeks: int) -> list[int]:
    """Return the minutes 9:30 to 10:30 of each Monday on a wall clock, for a number of weeks."""
    clock, last = clocks.parse(wall), clocks.parse_instant(monday)
    opened = (
        clock.first_instant(last - week * WEEK + 9 * 3600 + 1800) for week in reversed(range(weeks))
    )
    return [time for first in opened for time in range(first, first + 3600, MINUTE)]


def is_stale(db: apsw.Connection, times: list[int], now: int) -> bool:
    candle = (1.0, 1.0, 1.0, 1.0, 1.0)
    write(db, "X", "M1", [((time, time + MINUTE), candle) for time in times])
    return inventory.is_stale(db, symbols.read(db, "X"), now)


@pytest.mark.parametrize(
    ("wall", "change"),
    [
        ("America/New_York", "2024-03-11"),
        ("America/New_York", "2024-11-04"),
        ("Europe/Berlin", "2024-04-01"),
        ("Europe/Berlin", "2024-10-28"),
    ],
)
def test_symbol_is_not_stale_before_opening_after_clock_change(
    db: apsw.Connection, wall: str, change: str
) -> None:
    """On the first Monday after the clock change it opens an hour earlier or later in UTC."""
    times = minutes(wall, change, 9)
    last_week, today = times[:-60], times[-60:]
    assert not any(is_stale(db, last_week, today[0] - early) for early in (7200, 3600, 60, 0))


@pytest.mark.parametrize(("late", "stale"), [(0, False), (9, False), (10, True), (600, True)])
def test_symbol_is_stale_after_ten_missing_minutes_of_session(
    db: apsw.Connection, late: int, stale: bool
) -> None:
    times = minutes("UTC", "2024-06-10", 9)[:-30]
    assert is_stale(db, times, times[-1] + MINUTE + late * MINUTE) is stale


def test_symbol_needs_three_weeks_of_data_to_be_stale(db: apsw.Connection) -> None:
    times = minutes("UTC", "2024-06-10", 3)
    assert not is_stale(db, times[:90], times[89] + 3600)
    assert is_stale(db, times[:150], times[149] + 3600)


def test_symbol_without_minutes_is_never_stale(db: apsw.Connection) -> None:
    day = clocks.parse_instant("2024-06-10")
    write(db, "X", "D1", [((day, day + DAY), (1.0, 1.0, 1.0, 1.0, 1.0))])
    assert not inventory.is_stale(db, symbols.read(db, "X"), day + 100 * DAY)


def test_time_ranges_list_ticks_then_finest_timeframe_first(
    db: apsw.Connection,
) -> None:
    """Other symbols are not included."""
    start, flat = 1_700_006_400, (1.0, 1.0, 1.0, 1.0, 1.0)
    write(db, "A", "H1", [((start, start + 3600), flat), ((start + 7200, start + 10800), flat)])
    write(db, "A", "D1", [((start - 86400, start), flat)])
    write(db, "B", "M1", [((start, start + 60), flat)])
    with connection.transaction(db):
        bare = symbols.ensure(db, "C")
        columns = ticks.Ticks(
            [start * 1000, start * 1000 + 61_500], *[[1.0] * 2] * 3, [0.0] * 2, [6] * 2
        )
        ticks.write_ticks(db, symbols.ensure(db, "T"), columns)
    assert inventory.list_time_ranges(db, symbols.read(db, "A")) == [
        TimeRange("H1", start, start + 7200),
        TimeRange("H4", start, start),
        TimeRange("D1", start - 86400, start),
    ]
    assert inventory.list_time_ranges(db, symbols.read(db, "T"))[:2] == [
        TimeRange("ticks", start, start + 61),
        TimeRange("M1", start, start + 60),
    ]
    assert inventory.list_time_ranges(db, bare) == []
