"""Tests of the oracle itself: its short way to a bucket equals the slow one."""

import random

import pytest

from tests.oracle.buckets import CHAIN, SECONDS, bucket, find_bucket


@pytest.mark.parametrize("timeframe", CHAIN)
def test_short_way_to_a_utc_bucket_equals_the_slow_one(timeframe: str) -> None:
    rng = random.Random(timeframe)
    times = [rng.randrange(0, 2_000_000_000) for _ in range(20)]
    edges = [time - time % SECONDS[timeframe] for time in times]
    for time in (*times, *edges, *(edge - 1 for edge in edges)):
        assert find_bucket(timeframe, "UTC", time) == bucket(timeframe, "UTC", time)


def test_other_clocks_and_timeframes_take_the_slow_way() -> None:
    assert find_bucket("D1", "Europe/Athens", 1_700_000_000) == (1_699_999_200, 1_700_085_600)
    assert find_bucket("H2", "UTC", 1_700_000_000) == (1_699_999_200, 1_700_006_400)
