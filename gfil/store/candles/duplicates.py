"""Duplicate rows: of two rows in one bucket the larger volume wins, then the later row."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import compress, count, islice
from operator import eq, le, lt

PART_ROWS = 20_000  # sorted in one call: a list of all indices takes more memory than the rows


def is_ascending(times: Sequence[int]) -> bool:
    """Whether each time is later than the one before, so that no bucket has two rows."""
    return all(map(lt, times, islice(times, 1, None)))


def find_winners(
    time: Sequence[int], extra_s: Sequence[int], volume: Sequence[float]
) -> Iterator[int]:
    """Yield the index of the row that wins each bucket, in order of the buckets.

    A bucket is a start `time` and a length beyond the timeframe's, `extra_s`.
    """
    order = iter(_order_by_time(time))
    pending: list[int] = []  # rows of the last time so far: more of them may follow
    while True:
        more = list(islice(order, PART_ROWS))
        part = pending + more
        times = list(map(time.__getitem__, part))
        end = bisect_left(times, times[-1]) if more else len(part)
        yield from _pick(part[:end], times[:end], extra_s, volume)
        if not more:
            return
        pending = part[end:]


def _order_by_time(times: Sequence[int]) -> Iterable[int]:
    # Stable: rows of one time stay in the order of the request.
    rows = len(times)
    if all(map(le, times, islice(times, 1, None))):
        return range(rows)
    parts = [
        array("I", sorted(range(start, min(start + PART_ROWS, rows)), key=times.__getitem__))
        for start in range(0, rows, PART_ROWS)
    ]
    return merge(*parts, key=times.__getitem__) if len(parts) > 1 else parts[0]


def _pick(
    part: Sequence[int], times: Sequence[int], extra_s: Sequence[int], volume: Sequence[float]
) -> Iterator[int]:
    start = 0
    for second in compress(count(1), map(eq, times, islice(times, 1, None))):
        if second > start:  # the second row of the next run of equal times
            yield from part[start : second - 1]
            start = bisect_right(times, times[second])
            yield from _pick_from_run(part[second - 1 : start], extra_s, volume)
    yield from part[start:]


def _pick_from_run(
    rivals: Sequence[int], extra_s: Sequence[int], volume: Sequence[float]
) -> list[int]:
    winners: dict[int, int] = {}  # by extra_s: one time may start buckets of two lengths
    for index in rivals:
        winner = winners.get(extra_s[index])
        if winner is None or volume[index] >= volume[winner]:
            winners[extra_s[index]] = index
    return [winners[length] for length in sorted(winners)]
