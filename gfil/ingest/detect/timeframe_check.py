"""The spacing of rows, and whether it contradicts their stated timeframe."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from operator import gt, lt

from gfil import timeframes
from gfil.timeframes import DAY, HOUR, MINUTE, MN1, WEEK, Timeframe
from gfil.wording import format_count

SAMPLE_ROWS = 1000  # enough to decide; later rows are not examined
ROWS_MIN = 3  # fewer rows prove nothing
GRID_ROWS_MIN = 20  # fewer unordered rows prove nothing
IN_ORDER = 0.9  # share of steps in one direction, or of times on the grid
MONTH = range(28 * DAY, 31 * DAY + 1)
UNITS = ((WEEK, "week"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1, "second"))


def find_step(times: Sequence[int]) -> int | None:
    """Return the most frequent step between times in any order, in seconds; None if too few."""
    count = _count(times)
    return count.most_common(1)[0][0] if count else None


def contradicts(times: Sequence[int], timeframe: Timeframe) -> bool:
    """Whether the most frequent step between times is not the timeframe's."""
    count = _count(times)
    if not count or (timeframe == MN1 and not _is_in_order(times)):
        return False
    most = count.most_common(1)[0][1]
    return most > 1 and most > sum(count[step] for step in _lengths(timeframe))


def format_step(seconds: int) -> str:
    """Return a step in its largest whole unit: `1 day`, `15 minutes`."""
    if seconds in MONTH and seconds % WEEK:
        return "1 month"
    size, name = next(unit for unit in UNITS if seconds % unit[0] == 0)
    return format_count(seconds // size, name)


def find_timeframe(step_s: int) -> Timeframe | None:
    """Return the timeframe with this step between its candles, or None."""
    every = timeframes.TIMEFRAMES
    return next((timeframe for timeframe in every if step_s in _lengths(timeframe)), None)


def _lengths(timeframe: Timeframe) -> Sequence[int]:
    return MONTH if timeframe == MN1 else (timeframe.seconds,)


def _count(times: Sequence[int]) -> Counter[int]:
    ascending = sorted(set(times))
    if len(ascending) < ROWS_MIN:
        return Counter()
    if _is_in_order(times):
        return Counter(later - earlier for earlier, later in pairwise(ascending))
    # Neighbours in the sample of a shuffled file are not neighbours in the whole file.
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
