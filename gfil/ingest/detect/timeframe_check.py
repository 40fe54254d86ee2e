"""How far apart rows are, and whether that fits the timeframe they are said to have."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from operator import gt, lt

from gfil import timeframes
from gfil.timeframes import DAY, HOUR, MINUTE, MN1, WEEK, Timeframe

SAMPLE_ROWS = 1000  # enough to know; more of them are not looked at
ROWS_MIN = 3  # fewer prove nothing
GRID_ROWS_MIN = 20  # fewer in disorder prove nothing
IN_ORDER = 0.9  # of the steps go the same way, or of the times lie on the grid
MONTH = range(28 * DAY, 31 * DAY + 1)
UNITS = ((WEEK, "week"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1, "second"))


def commonest(times: Sequence[int]) -> int | None:
    """Return the commonest distance of times in any order, in seconds; None if too few tell."""
    count = _count(times)
    return count.most_common(1)[0][0] if count else None


def contradicts(times: Sequence[int], timeframe: Timeframe) -> bool:
    """Whether the commonest distance of times is not the timeframe's."""
    count = _count(times)
    if not count or (timeframe == MN1 and not _is_in_order(times)):
        return False
    most = count.most_common(1)[0][1]
    return most > 1 and most > sum(count[distance] for distance in _lengths(timeframe))


def say(seconds: int) -> str:
    """Return a distance in words: `1 day`, `15 minutes`."""
    if seconds in MONTH and seconds % WEEK:
        return "1 month"
    size, name = next(unit for unit in UNITS if seconds % unit[0] == 0)
    number = seconds // size
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def fitting(seconds: int) -> Timeframe | None:
    """Return the timeframe whose candles are this far apart."""
    every = timeframes.TIMEFRAMES
    return next((timeframe for timeframe in every if seconds in _lengths(timeframe)), None)


def _lengths(timeframe: Timeframe) -> Sequence[int]:
    return MONTH if timeframe == MN1 else (timeframe.seconds,)


def _count(times: Sequence[int]) -> Counter[int]:
    ascending = sorted(set(times))
    if len(ascending) < ROWS_MIN:
        return Counter()
    if _is_in_order(times):
        return Counter(later - earlier for earlier, later in pairwise(ascending))
    # Neighbours in a part of a shuffled file are not neighbours in the whole.
    return _count_grid(ascending)


def _is_in_order(times: Sequence[int]) -> bool:
    ups, downs = sum(map(lt, times, times[1:])), sum(map(gt, times, times[1:]))
    return bool(max(ups, downs) >= IN_ORDER * (ups + downs))


def _count_grid(times: Sequence[int]) -> Counter[int]:
    if len(times) >= GRID_ROWS_MIN:
        for timeframe in reversed(timeframes.TIMEFRAMES[:-1]):
            remainders = Counter(time % timeframe.seconds for time in times)
            if remainders.most_common(1)[0][1] >= IN_ORDER * len(times):
                return Counter({timeframe.seconds: len(times)})
    return Counter()
