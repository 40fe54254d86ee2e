"""The week of a market: which hours have candles, and on which clock that is a week of trade."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from gfil import clocks
from gfil.clocks import UTC, Clock
from gfil.timeframes import HOUR, MONDAY, WEEK

HOURS_A_WEEK = WEEK // HOUR
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# Currencies and metals rest from Friday to Sunday, 17:00 in New York; exchanges do for longer.
CLOSE, OPEN = 4 * 24 + 17, 6 * 24 + 17  # hours of the week in New York
SHARE_USUAL = 0.25  # of the weeks in which the market is open at all
SHARE_OPEN = 0.8  # of the hours that rest elsewhere, where a market never does
HOURS_MIN = 24  # fewer tell nothing
OVER_MAX = 1  # hours by which a market may be late to rest: some feeds know no summer time
EDGES_MARGIN = 0.11  # zones that change their clocks on other days are nearly alike

_FIXED = [f"{hours:+03}:00" for hours in (*range(1, 15), *range(-1, -13, -1))]
KNOWN = ("UTC", "nyclose", "Europe/Athens", "EET", "America/New_York", *_FIXED)
"""The clocks that are tried, the likeliest first."""

Hours = Mapping[int, int]
"""How many candles each hour has, by its number since 1970."""


class ClockFit(NamedTuple):
    """Whether hours make a week of trade, and which clocks would fit as well as any if not."""

    fits: bool
    better: Sequence[str]


def count_hours(times: Iterable[int]) -> Counter[int]:
    """Return how many candles each hour has."""
    return Counter(time // HOUR for time in times)


def fit_clocks(hours: Hours, clock: Clock) -> ClockFit:
    """Say whether hours of UTC, read on this clock, are a market's; if not, look for a better one.

    Too few hours to tell are taken for a market's.
    """
    if len(hours) < HOURS_MIN or _rests(hours, OVER_MAX) is not None:
        return ClockFit(True, ())
    walls = {clock.wall(hour * HOUR) // HOUR: count for hour, count in hours.items()}
    found: list[tuple[tuple[float, ...], str]] = []
    for name in KNOWN:
        edges = _rests(_read_on(clocks.parse(name), walls))
        if edges is not None:
            found.append((edges, name))
    best = max((edges for edges, _ in found), default=())
    alike = (
        name
        for edges, name in found
        if len(edges) == len(best)
        and all(edge > most - EDGES_MARGIN for edge, most in zip(edges, best, strict=True))
    )
    return ClockFit(False, [*alike])


def _read_on(clock: Clock, walls: Hours) -> Counter[int]:
    read: Counter[int] = Counter()
    for wall, count in walls.items():
        read[clock.first_instant(wall * HOUR) // HOUR] += count
    return read


def _rests(hours: Hours, over_max: int = 0) -> tuple[float, ...] | None:
    # None where the market trades in hours of rest. Else how full the hours are before it closes
    # and after it opens: where several clocks fit, the right one trades up to the last minute.
    new_york = clocks.parse("America/New_York")
    walls = [
        (new_york.wall(hour * HOUR) // HOUR - MONDAY // HOUR, count)
        for hour, count in hours.items()
    ]
    weeks = len({wall // HOURS_A_WEEK for wall, _ in walls})
    seen = Counter(wall % HOURS_A_WEEK for wall, _ in walls)
    usual = {hour for hour, count in seen.items() if count > 1 or weeks == 1}
    usual = {hour for hour in usual if seen[hour] >= SHARE_USUAL * weeks}
    rest = range(CLOSE, OPEN)
    open_in_rest = sum(hour in usual for hour in rest)
    if open_in_rest >= SHARE_OPEN * len(rest):
        return (1.0,)  # it never closes
    if open_in_rest > over_max:
        return None
    return tuple(round(seen[hour] / weeks, 1) for hour in (CLOSE - 1, OPEN % HOURS_A_WEEK))


def describe(hours: Hours, clock: Clock = UTC) -> str:
    """Return the hours of the week that usually have candles: `Mon-Thu 00-24, Fri 00-22 …`."""
    walls = [clock.wall(hour * HOUR) // HOUR - MONDAY // HOUR for hour in hours]
    weeks = len({wall // HOURS_A_WEEK for wall in walls})
    seen = Counter(wall % HOURS_A_WEEK for wall in walls)
    days = [
        ", ".join(_spans(hour for hour in range(24) if seen[day * 24 + hour] * 4 >= weeks > 0))
        for day in range(7)
    ]
    told = []
    for spans, some in groupby(range(7), key=days.__getitem__):
        first, *_, last = [*some] * 2
        if spans:
            named = DAYS[first] if first == last else f"{DAYS[first]}-{DAYS[last]}"
            told.append(f"{named} {spans}")
    return "; ".join(told) or "no hour usually"


def _spans(hours: Iterable[int]) -> Iterator[str]:
    for _, some in groupby(enumerate(hours), key=lambda each: each[1] - each[0]):
        run = [hour for _, hour in some]
        yield f"{run[0]:02}-{run[-1] + 1:02}"
