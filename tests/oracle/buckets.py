"""The oracle's bucket boundaries on any clock: slow, plain Python, each instant looked up.

A bucket is `(start, stop)` in UNIX seconds; a clock and a timeframe are names. Offsets are looked
up every quarter of an hour, because hardly any zone changes its offset between two quarters.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

Bucket = tuple[int, int]

MINUTE, QUARTER, HOUR, DAY = 60, 900, 3600, 86400
SECONDS = {
    **{f"M{count}": count * MINUTE for count in (1, 2, 3, 5, 10, 15, 20, 30)},
    **{f"H{count}": count * HOUR for count in (1, 2, 3, 4, 6, 8, 12)},
    "D1": DAY,
    "W1": 7 * DAY,
    "MN1": 30 * DAY,
}
CHAIN = ("M1", "M5", "M15", "M30", "H1", "H4", "D1")
CHANGES_OFF_THE_QUARTER = ("America/St_Johns",)


def _shift_s(text: str) -> int:
    hours, minutes = text[1:].split(":")
    return (int(hours) * HOUR + int(minutes) * MINUTE) * (-1 if text[0] == "-" else 1)


@cache
def _zone_and_shift(clock: str) -> tuple[ZoneInfo, int]:
    zone, shift = re.fullmatch(r"(.*?)([+-]\d\d:\d\d)?", clock).groups()
    return ZoneInfo(zone or "UTC"), _shift_s(shift) if shift else 0


@cache
def _offset(clock: str, time: int) -> int:
    zone, shift = _zone_and_shift(clock)
    instant = datetime.fromtimestamp(time, UTC)
    return int(instant.astimezone(zone).utcoffset().total_seconds()) + shift


def _step_s(clock: str) -> int:
    return MINUTE if clock in CHANGES_OFF_THE_QUARTER else QUARTER


def offset(clock: str, time: int) -> int:
    """Return by how many seconds the wall is ahead of UTC."""
    return _offset(clock, time - time % _step_s(clock))


@cache
def first_instant(clock: str, wall: int) -> int:
    """Return the first instant at which the wall reads `wall` or later; tries each in turn."""
    step_s = _step_s(clock)
    time = wall - 30 * HOUR
    while time + offset(clock, time) < wall:
        time += step_s
    return time


@cache
def _wall_starts(timeframe: str, day: int) -> Sequence[int]:
    midnight = datetime(1970, 1, 1) + timedelta(days=day)
    near = [midnight + timedelta(days=days) for days in range(-70, 71)]
    if timeframe == "MN1":
        starts = [date for date in near if date.day == 1]
    elif timeframe == "W1":
        starts = [date for date in near if date.weekday() == 0]
    else:
        steps = range(0, DAY, SECONDS[timeframe])
        starts = [date + timedelta(seconds=step) for date in near[67:74] for step in steps]
    return [round((start - datetime(1970, 1, 1)).total_seconds()) for start in starts]


@cache
def bucket(timeframe: str, clock: str, time: int) -> Bucket:
    """Return the bucket that holds an instant (law 10)."""
    length = SECONDS[timeframe]
    if length > HOUR:
        walls = _wall_starts(timeframe, (time + offset(clock, time)) // DAY)
        starts = [first_instant(clock, wall) for wall in walls]
        after = bisect_right(starts, time)
        return starts[after - 1], starts[after]

    def label(minute: int) -> tuple[int, int]:
        return (minute + offset(clock, minute)) // length, offset(clock, minute)

    start = stop = time - time % MINUTE
    while label(start - MINUTE) == label(time):
        start -= MINUTE
    while label(stop) == label(time):
        stop += MINUTE
    return start, stop


def find_bucket(timeframe: str, clock: str, time: int) -> Bucket:
    """Return the same as `bucket`; a materialised timeframe on UTC takes a short way."""
    if clock != "UTC" or timeframe not in CHAIN:
        return bucket(timeframe, clock, time)
    start = time - time % SECONDS[timeframe]
    return start, start + SECONDS[timeframe]
