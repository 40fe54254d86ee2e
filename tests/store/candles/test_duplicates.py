"""Tests of gfil/store/candles/duplicates.py: the winner of each bucket, against a plain fold."""

import random
from collections.abc import Sequence

import pytest

from gfil.store.candles import duplicates

SEED = 307


def fold(time: Sequence[int], extra_s: Sequence[int], volume: Sequence[float]) -> list[int]:
    """The winners by law 6, one row after another."""
    winners: dict[tuple[int, int], int] = {}
    for index, bucket in enumerate(zip(time, extra_s, strict=True)):
        if bucket not in winners or volume[index] >= volume[winners[bucket]]:
            winners[bucket] = index
    return [winners[bucket] for bucket in sorted(winners)]


@pytest.mark.parametrize(
    ("time", "extra_s", "volume", "winners"),
    [
        ([], [], [], []),
        ([60], [0], [1], [0]),
        ([60, 60], [0, 0], [2, 1], [0]),
        ([60, 60], [0, 0], [1, 1], [1]),
        ([60, 60, 60], [3600, 0, 0], [9, 1, 2], [2, 0]),
        ([120, 60, 120], [0, 0, 0], [1, 5, 3], [1, 2]),
    ],
)
def test_larger_volume_then_later_row_wins(
    time: list[int], extra_s: list[int], volume: list[float], winners: list[int]
) -> None:
    assert list(duplicates.find_winners(time, extra_s, volume)) == winners
    assert fold(time, extra_s, volume) == winners


@pytest.mark.parametrize("part", [1, 2, 7, 20_000])
def test_winners_do_not_depend_on_order_and_parts(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "PART_ROWS", part)
    random_ = random.Random(SEED)
    for _ in range(300):
        count = random_.randrange(40)
        time = [random_.randrange(1 + count // random_.choice((1, 4))) for _ in range(count)]
        if random_.random() < 0.4:
            time.sort()
        extra_s = [random_.choice((0, 0, 3600)) for _ in time]
        volume = [float(random_.randrange(3)) for _ in time]
        assert list(duplicates.find_winners(time, extra_s, volume)) == fold(time, extra_s, volume)


def test_only_ascending_times_are_ascending() -> None:
    ascending = [duplicates.is_ascending(times) for times in ([], [1, 2, 5], [1, 1], [2, 1])]
    assert ascending == [True, True, False, False]
