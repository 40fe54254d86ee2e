"""How far apart rows are, and whether that fits the timeframe they are said to have."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from gfil import timeframes
from gfil.timeframes import DAY, HOUR, MINUTE, MN1, WEEK, Timeframe

SAMPLE_ROWS = 1000  # enough to know; more of them are not looked at
ROWS_MIN = 3  # fewer prove nothing
MONTH = range(28 * DAY, 31 * DAY + 1)
UNITS = ((WEEK, "week"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1, "second"))


def commonest(times: Sequence[int]) -> int | None:
    """Return the commonest distance of times in any order, in seconds; None if too few tell."""
    count = _count(times)
    return count.most_common(1)[0][0] if count else None


def contradicts(times: Sequence[int], timeframe: Timeframe) -> bool:
    """Whether the commonest distance of times is not the timeframe's."""
    count = _count(times)
    if not count:
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
    return Counter(later - earlier for earlier, later in pairwise(ascending))
