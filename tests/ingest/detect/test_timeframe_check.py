"""Tests of gfil/ingest/detect/timeframe_check.py: the spacing of rows and their timeframe."""

import random

import pytest

from gfil.ingest.detect import timeframe_check
from gfil.timeframes import D1, H1, H4, M1, M5, MN1, W1, Timeframe

DAY = 86400
WEEKDAYS = [day * DAY for day in range(4, 40) if day % 7 not in (2, 3)]
MONTHS = [0, 31 * DAY, 59 * DAY, 90 * DAY, 120 * DAY, 151 * DAY]


@pytest.mark.parametrize(
    ("times", "distance"),
    [
        ([], None),
        ([0, 60], None),
        ([0, 0, 60], None),
        ([0, 60, 120], 60),
        ([120, 60, 0], 60),
        ([0, 60, 60, 120, 7200], 60),
        (WEEKDAYS, DAY),
    ],
)
def test_step_needs_three_times(times: list[int], distance: int | None) -> None:
    assert timeframe_check.find_step(times) == distance


@pytest.mark.parametrize(
    ("times", "timeframe", "contradiction"),
    [
        (WEEKDAYS, D1, False),
        (WEEKDAYS, M1, True),
        (WEEKDAYS, W1, True),
        ([0, 3600, 7200], H1, False),
        ([0, 3600, 7200], H4, True),
        ([0, 300, 600], M1, True),
        ([0, 300], M1, False),
        ([0, 300, 900], M1, False),  # each distance once proves nothing
        ([0, 300, 600, 660], M1, True),
        ([0, 60, 120, 420, 720], M1, False),
        ([week * 7 * DAY for week in range(9)], W1, False),
        (MONTHS, MN1, False),
        (MONTHS, D1, True),
    ],
)
def test_rows_may_contradict_their_timeframe(
    times: list[int], timeframe: Timeframe, contradiction: bool
) -> None:
    assert timeframe_check.contradicts(times, timeframe) is contradiction


def test_shuffled_rows_show_the_step_of_sorted_rows() -> None:
    times = [60 * minute for minute in range(20_000) if minute % 7]
    sample = random.Random(3).sample(times, 1000)
    assert not timeframe_check.contradicts(sample, M1)
    assert timeframe_check.contradicts([5 * time for time in sample], M1)
    assert not timeframe_check.contradicts([5 * time for time in sample], M5)
    assert not timeframe_check.contradicts([30, *sample], M1), "one odd stamp proves nothing"


def test_shuffled_months_never_contradict() -> None:
    shuffled = random.Random(3).sample([month * 30 * DAY for month in range(30)], 30)
    assert not timeframe_check.contradicts(shuffled, MN1)


def test_few_shuffled_rows_never_contradict() -> None:
    assert not timeframe_check.contradicts([0, 7200, 3600], M1)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((1, "1 second"), (60, "1 minute"), (90, "90 seconds"), (900, "15 minutes")),
        *((3600, "1 hour"), (14400, "4 hours"), (DAY, "1 day"), (3 * DAY, "3 days")),
        *((7 * DAY, "1 week"), (30 * DAY, "1 month"), (31 * DAY, "1 month")),
    ],
)
def test_step_is_formatted(seconds: int, words: str) -> None:
    assert timeframe_check.format_step(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "timeframe"), [(60, M1), (DAY, D1), (7 * DAY, W1), (29 * DAY, MN1), (70, None)]
)
def test_timeframe_is_found_by_its_step(seconds: int, timeframe: Timeframe | None) -> None:
    assert timeframe_check.find_timeframe(seconds) == timeframe
