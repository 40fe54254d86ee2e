"""Duplicate rows: of two rows in one bucket the larger volume wins, then the later row."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice
from operator import le, lt

SORTED_ROWS_MAX = 20_000  # sorted at once: a list of all indices takes more memory than the rows


def is_ascending(times: Sequence[int]) -> bool:
    """Whether each time is later than the one before, so that no bucket has two rows."""
    return all(map(lt, times, islice(times, 1, None)))


def find_winners(
    time: Sequence[int], extra_s: Sequence[int], volume: Sequence[float]
) -> Iterator[int]:
    """Yield the index of the row that wins each bucket, in order of the buckets.

    A bucket is a start `time` and a length beyond the timeframe's, `extra_s`.
    """
    rivals: list[int] = []
    for index in _order_by_time(time):
        if rivals and time[rivals[0]] != time[index]:
            yield from _pick(rivals, extra_s, volume)
            rivals.clear()
        rivals.append(index)
    yield from _pick(rivals, extra_s, volume)


def _order_by_time(times: Sequence[int]) -> Iterable[int]:
    # Stable: rows of one time stay in the order of the request.
    count = len(times)
    if all(map(le, times, islice(times, 1, None))):
        return range(count)
    parts = [
        array("I", sorted(range(start, min(start + SORTED_ROWS_MAX, count)), key=times.__getitem__))
        for start in range(0, count, SORTED_ROWS_MAX)
    ]
    return merge(*parts, key=times.__getitem__) if len(parts) > 1 else parts[0]


def _pick(rivals: Sequence[int], extra_s: Sequence[int], volume: Sequence[float]) -> Iterable[int]:
    if len(rivals) < 2:
        return tuple(rivals)
    winners: dict[int, int] = {}  # by extra_s: one time may start buckets of two lengths
    for index in rivals:
        winner = winners.get(extra_s[index])
        if winner is None or volume[index] >= volume[winner]:
            winners[extra_s[index]] = index
    return [winners[length] for length in sorted(winners)]
