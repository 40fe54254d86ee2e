"""Trading week: the hours of the week with candles, and the clocks on which they fit a market."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from gfil import clocks
from gfil.clocks import UTC, Clock
from gfil.timeframes import HOUR, MONDAY, WEEK

HOURS_A_WEEK = WEEK // HOUR
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# Currencies and metals are closed from Friday to Sunday, 17:00 in New York; exchanges for longer.
CLOSE, OPEN = 4 * 24 + 17, 6 * 24 + 17  # hours of the week in New York
SHARE_USUAL = 0.25  # of the weeks with data: an hour that occurs less often is an exception
SHARE_OPEN = 0.8  # of the weekend hours: a market with more of them never closes
HOURS_MIN = 24  # fewer hours do not show the week of a market
OVER_MAX = 1  # hours of trading after the close: some feeds ignore summer time
EDGES_MARGIN = 0.11  # tolerance for zones that change their clocks on other days

_FIXED = [f"{hours:+03}:00" for hours in (*range(1, 15), *range(-1, -13, -1))]
KNOWN = ("UTC", "nyclose", "Europe/Athens", "EET", "America/New_York", *_FIXED)
"""Clocks to try, the most common first."""

Hours = Mapping[int, int]
"""Number of candles in each hour, by hours since 1970."""


class ClockFit(NamedTuple):
    """Whether hours fit the week of a market, and otherwise the clocks that fit best."""

    fits: bool
    better: Sequence[str]


def count_hours(times: Iterable[int]) -> Counter[int]:
    """Return the number of candles in each hour."""
    return Counter(time // HOUR for time in times)


def fit_clocks(hours: Hours, clock: Clock) -> ClockFit:
    """Check whether hours of UTC that were read on `clock` fit a market; else find better clocks.

    Too few hours to decide count as a fit.
    """
    if len(hours) < HOURS_MIN or _find_edges(hours, OVER_MAX) is not None:
        return ClockFit(True, ())
    walls = {clock.wall(hour * HOUR) // HOUR: count for hour, count in hours.items()}
    found: list[tuple[tuple[float, ...], str]] = []
    for name in KNOWN:
        edges = _find_edges(_read_on(clocks.parse(name), walls))
        if edges is not None:
            found.append((edges, name))
    best = max((edges for edges, _ in found), default=())
    best_names = (
        name
        for edges, name in found
        if len(edges) == len(best)
        and all(edge > limit - EDGES_MARGIN for edge, limit in zip(edges, best, strict=True))
    )
    return ClockFit(False, [*best_names])


def _read_on(clock: Clock, walls: Hours) -> Counter[int]:
    read: Counter[int] = Counter()
    for wall, count in walls.items():
        read[clock.first_instant(wall * HOUR) // HOUR] += count
    return read


def _find_edges(hours: Hours, over_max: int = 0) -> tuple[float, ...] | None:
    # None if there are trades while the market is closed. Else how full the last hour before the
    # close and the first hour after the opening are: on the right clock they are fullest.
    new_york = clocks.parse("America/New_York")
    walls = [
        (new_york.wall(hour * HOUR) // HOUR - MONDAY // HOUR, count)
        for hour, count in hours.items()
    ]
    weeks = len({wall // HOURS_A_WEEK for wall, _ in walls})
    seen = Counter(wall % HOURS_A_WEEK for wall, _ in walls)
    usual = {hour for hour, count in seen.items() if count > 1 or weeks == 1}
    usual = {hour for hour in usual if seen[hour] >= SHARE_USUAL * weeks}
    weekend = range(CLOSE, OPEN)
    weekend_hours = sum(hour in usual for hour in weekend)
    if weekend_hours >= SHARE_OPEN * len(weekend):
        return (1.0,)  # the market never closes
    if weekend_hours > over_max:
        return None
    return tuple(round(seen[hour] / weeks, 1) for hour in (CLOSE - 1, OPEN % HOURS_A_WEEK))


def describe(hours: Hours, clock: Clock = UTC) -> str:
    """Return the hours of the week that usually have candles: `Mon-Thu 00-24; Fri 00-22`."""
    walls = [clock.wall(hour * HOUR) // HOUR - MONDAY // HOUR for hour in hours]
    weeks = len({wall // HOURS_A_WEEK for wall in walls})
    seen = Counter(wall % HOURS_A_WEEK for wall in walls)
    days = [
        ", ".join(_spans(hour for hour in range(24) if seen[day * 24 + hour] * 4 >= weeks > 0))
        for day in range(7)
    ]
    lines = []
    for spans, alike in groupby(range(7), key=days.__getitem__):
        first, *_, last = [*alike] * 2
        if spans:
            names = DAYS[first] if first == last else f"{DAYS[first]}-{DAYS[last]}"
            lines.append(f"{names} {spans}")
    return "; ".join(lines) or "no regular hours"


def _spans(hours: Iterable[int]) -> Iterator[str]:
    for _, numbered in groupby(enumerate(hours), key=lambda pair: pair[1] - pair[0]):
        run = [hour for _, hour in numbered]
        yield f"{run[0]:02}-{run[-1] + 1:02}"
