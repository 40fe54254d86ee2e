"""Tests of gfil/ingest/load/bucketing.py: timestamps and buckets on clocks that change."""

import random
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gfil import clocks, timeframes
from gfil.clocks import TIME_MAX, TIME_MIN
from gfil.ingest.load.bucketing import Bucketer, describe_lead
from gfil.ingest.parse.rows import RowTable
from gfil.timeframes import DAY, HOUR

NEVER = 10**11
Placed = list[tuple[int, int, int]]
"""Row number, start and length of its bucket."""


def at(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp())


def table_of(
    times: Sequence[int], zoned: bool | list[bool] = False, first_row: int = 1
) -> RowTable:
    rows = range(first_row, first_row + len(times))
    column = [float(row) for row in rows]
    return RowTable(
        rows,
        list(times),
        zoned,
        None,
        (column,) * 5,
        None,
        None,
        "row {}".format,
    )


def place(
    times: Sequence[int],
    tf: str = "M1",
    clock: str = "UTC",
    *,
    zoned: bool | list[bool] = False,
    now: float = NEVER,
    cuts: Iterable[int] = (),
) -> tuple[Placed, list[tuple[int, str, str]]]:
    timeframe = timeframes.parse(tf)
    refused: list[tuple[int, str, str]] = []
    bucketer = Bucketer(timeframe, clocks.parse(clock), now, lambda *row: refused.append(row))
    bucketed = []
    edges = [0, *sorted(cuts), len(times)]
    for start, stop in pairwise(edges):
        flags = zoned[start:stop] if isinstance(zoned, list) else zoned
        bucketed.append(bucketer.put(table_of(times[start:stop], flags, start + 1)))
    if (last := bucketer.finish()) is not None:
        bucketed.append(last)
    found = [
        (int(row), time, timeframe.seconds + extra_s)
        for rows in bucketed
        for row, time, extra_s in zip(rows.table.row, rows.time, rows.extra_s, strict=True)
    ]
    return sorted(found), refused


def starts(bucketed: tuple[Placed, list[tuple[int, str, str]]]) -> list[int]:
    assert bucketed[1] == []
    return [start for _, start, _ in bucketed[0]]


@pytest.mark.parametrize(
    ("stamp", "tf", "clock", "start", "length"),
    [
        ("2024-01-10 10:07", "M1", "UTC", "2024-01-10 10:07", 60),
        ("2024-01-10 10:07:59", "M1", "UTC", "2024-01-10 10:07", 60),
        ("2024-01-10 10:07", "M5", "Europe/Athens", "2024-01-10 08:05", 300),
        ("2024-07-10 10:07", "M5", "Europe/Athens", "2024-07-10 07:05", 300),
        ("2024-01-10 10:45", "H1", "+05:30", "2024-01-10 04:30", HOUR),
        ("2024-01-10 00:00", "H4", "America/New_York+07:00", "2024-01-09 22:00", 4 * HOUR),
        ("2024-01-10 00:00", "D1", "Europe/Athens", "2024-01-09 22:00", DAY),
        ("2024-01-10 01:00", "D1", "UTC", "2024-01-10 00:00", DAY),
        ("2024-03-31 00:00", "D1", "Europe/Athens", "2024-03-30 22:00", 23 * HOUR),
        ("2024-10-27 00:00", "D1", "Europe/Athens", "2024-10-26 21:00", 25 * HOUR),
        ("2024-01-07 00:00", "W1", "UTC", "2024-01-08 00:00", 7 * DAY),
        ("2024-01-06 00:00", "W1", "UTC", "2024-01-08 00:00", 7 * DAY),
        ("2024-01-07 22:00", "W1", "UTC", "2024-01-08 00:00", 7 * DAY),
        ("2024-01-08 00:00", "W1", "Europe/Athens", "2024-01-07 22:00", 7 * DAY),
        ("2024-03-24 00:00", "W1", "Europe/Athens", "2024-03-24 22:00", 7 * DAY - HOUR),
        ("2024-02-01 00:00", "MN1", "UTC", "2024-02-01 00:00", 29 * DAY),
        ("2024-03-01 00:00", "MN1", "Europe/Athens", "2024-02-29 22:00", 31 * DAY - HOUR),
    ],
)
def test_timestamp_maps_to_one_bucket_of_its_clock(
    stamp: str, tf: str, clock: str, start: str, length: int
) -> None:
    assert place([at(stamp)], tf, clock) == ([(1, at(start), length)], [])


@pytest.mark.parametrize(
    ("stamp", "tf", "clock"),
    [
        ("2024-01-10 01:01", "D1", "UTC"),
        ("2024-01-10 23:00", "D1", "UTC"),
        ("2024-01-10 02:00", "H4", "UTC"),
        ("2024-01-09 00:00", "W1", "UTC"),
        ("2024-01-12 00:00", "W1", "UTC"),
        ("2024-01-02 00:00", "MN1", "UTC"),
    ],
)
def test_timestamp_over_an_hour_off_its_bucket_is_refused_above_h1(
    stamp: str, tf: str, clock: str
) -> None:
    assert place([at(stamp)], tf, clock) == ([], [(1, "off_bucket", "row 1")])


@pytest.mark.parametrize(
    ("stamp", "tf", "clock", "start"),
    [
        ("2024-01-09 22:00", "D1", "Europe/Athens", "2024-01-09 22:00"),
        ("2024-01-10 10:07", "M5", "Europe/Athens", "2024-01-10 10:05"),
        ("2024-01-10 10:45", "H1", "+05:30", "2024-01-10 10:30"),
        ("2024-01-07 22:00", "W1", "Europe/Athens", "2024-01-07 22:00"),
        ("2024-01-06 22:00", "W1", "Europe/Athens", "2024-01-07 22:00"),
    ],
)
def test_zoned_timestamp_ignores_the_clock_but_not_its_buckets(
    stamp: str, tf: str, clock: str, start: str
) -> None:
    assert starts(place([at(stamp)], tf, clock, zoned=True)) == [at(start)]


def test_zoned_day_of_another_clock_is_refused() -> None:
    _, refused = place([at("2024-01-10 00:00")], "D1", "Europe/Athens", zoned=True)
    assert refused == [(1, "off_bucket", "row 1")]


class TestMissingHour:
    MISSING = at("2024-03-31 03:30")  # Athens: 03:00 to 04:00

    @pytest.mark.parametrize("tf", ["M1", "M30", "H1"])
    def test_missing_hour_is_refused_up_to_h1(self, tf: str) -> None:
        times = [self.MISSING - HOUR, self.MISSING, self.MISSING + HOUR]
        bucketed, refused = place(times, tf, "Europe/Athens")
        assert ([row for row, _, _ in bucketed], refused) == (
            [1, 3],
            [(2, "missing_hour", "row 2")],
        )
        assert bucketed[1][1] - bucketed[0][1] == HOUR

    def test_bucket_that_starts_in_the_missing_hour_starts_at_its_end(self) -> None:
        # H3 03:00 in Athens: wall time jumps from 03:00 to 04:00, where the bucket starts.
        bucketed = place([at("2024-03-31 03:00")], "H3", "Europe/Athens")
        assert bucketed == ([(1, at("2024-03-31 01:00"), 2 * HOUR)], [])

    def test_day_missing_in_a_zone_is_refused(self) -> None:
        times = [at(f"2011-12-{day} 00:00") for day in (29, 30, 31)]
        bucketed, refused = place(times, "D1", "Pacific/Apia")
        assert [row for row, _, _ in bucketed] == [1, 3]
        assert refused == [(2, "missing_hour", "row 2")]


class TestAmbiguousHour:
    """Athens 2024-10-27: wall time passes 03:00 to 04:00 twice, from 00:00 and from 01:00 UTC."""

    CHANGE = at("2024-10-27 01:00")
    WALL = at("2024-10-27 03:00")

    def both_passes(self, step: int) -> tuple[list[int], list[int]]:
        instants = list(range(self.CHANGE - 2 * HOUR, self.CHANGE + 2 * HOUR, step))
        walls = [clocks.parse("Europe/Athens").wall(instant) for instant in instants]
        return walls, instants

    @pytest.mark.parametrize("tf", ["M1", "M5", "M15", "M30", "H1"])
    def test_ascending_rows_show_both_passes(self, tf: str) -> None:
        walls, instants = self.both_passes(timeframes.parse(tf).seconds)
        assert starts(place(walls, tf, "Europe/Athens")) == instants

    @pytest.mark.parametrize("tf", ["M1", "M30", "H1"])
    def test_descending_rows_show_both_passes(self, tf: str) -> None:
        walls, instants = self.both_passes(timeframes.parse(tf).seconds)
        assert starts(place(walls[::-1], tf, "Europe/Athens")) == instants[::-1]

    @pytest.mark.parametrize("tf", ["M1", "M30", "H1"])
    @pytest.mark.parametrize("backwards", [False, True])
    def test_passes_are_found_without_rows_around_the_hour(self, tf: str, backwards: bool) -> None:
        step = timeframes.parse(tf).seconds
        instants = list(range(self.CHANGE - HOUR, self.CHANGE + HOUR, step))
        walls = [self.WALL + instant % HOUR for instant in instants]
        found = starts(place(walls[::-1] if backwards else walls, tf, "Europe/Athens"))
        if tf == "H1":  # two equal stamps alone do not say which way they run
            assert sorted(found) == instants
        else:
            assert found == (instants[::-1] if backwards else instants)

    def test_passes_are_found_despite_gaps(self) -> None:
        minutes = [3 * HOUR - 60, 3 * HOUR + 1200, 3 * HOUR + 1800, 3 * HOUR + 600, 3 * HOUR + 3000]
        walls = [self.WALL - 3 * HOUR + minute for minute in minutes]
        offsets = [-3660, -2400, -1800, 600, 3000]
        found = starts(place(walls, "M1", "Europe/Athens"))
        assert [start - self.CHANGE for start in found] == offsets

    @pytest.mark.parametrize(
        ("before", "walls"),
        [
            *(([], [0]), ([], [0, 60, 120]), ([], [120, 60, 0])),
            *(([-2 * HOUR], [0]), ([-2 * HOUR], [0, 60, 120])),
            *(([2 * HOUR], [0]), ([2 * HOUR], [120, 60, 0])),
        ],
    )
    def test_hour_without_a_step_back_is_the_earlier_pass(
        self, before: list[int], walls: list[int]
    ) -> None:
        found = starts(
            place([self.WALL + wall for wall in [*before, *walls]], "M1", "Europe/Athens")
        )
        assert found[len(before) :] == [self.CHANGE - HOUR + wall for wall in walls]

    def test_repeated_minute_is_a_duplicate(self) -> None:
        walls = [self.WALL + wall for wall in (0, 60, 60, 120)]
        found = starts(place(walls, "M1", "Europe/Athens"))
        assert [start - self.CHANGE for start in found] == [-3600, -3540, -3540, -3480]

    def test_zoned_row_between_is_ignored(self) -> None:
        walls = [self.WALL + 60, self.CHANGE + 300, self.WALL, self.WALL + 60]
        found = starts(place(walls, "M1", "Europe/Athens", zoned=[False, True, False, False]))
        assert [start - self.CHANGE for start in found] == [-3540, 300, 0, 60]

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(0, 240), max_size=8), st.booleans())
    def test_passes_do_not_depend_on_the_pieces(self, cuts: list[int], backwards: bool) -> None:
        walls, instants = self.both_passes(60)
        rows = walls[::-1] if backwards else walls
        found = starts(place(rows, "M1", "Europe/Athens", cuts=cuts))
        assert found == (instants[::-1] if backwards else instants)


@pytest.mark.parametrize(
    "clock", ["Europe/Athens", "America/New_York+07:00", "Australia/Lord_Howe"]
)
@pytest.mark.parametrize("tf", ["M1", "M15", "M30", "H1", "H4", "D1", "W1", "MN1"])
def test_every_bucket_of_a_year_maps_to_itself(clock: str, tf: str) -> None:
    named, timeframe = clocks.parse(clock), timeframes.parse(tf)
    start = at("2024-03-20 00:00") if tf == "M1" else at("2024-01-01 12:00")
    stop = at("2024-04-10 00:00") if tf == "M1" else at("2025-01-05 00:00")
    buckets = named.buckets(timeframe, start, stop)[1:-1]
    walls = [named.wall(bucket.start) for bucket in buckets]
    if not timeframe.intraday:  # the stamp is where the wall should be, not where it is
        walls = [timeframe.floor(wall) for wall in walls]
    cuts = sorted(random.Random(5).sample(range(len(walls)), min(20, len(walls))))
    bucketed, refused = place(walls, tf, clock, cuts=cuts)
    assert refused == []
    assert [(start, start + length) for _, start, length in bucketed] == buckets
    zoned, refused = place([bucket.start for bucket in buckets], tf, clock, zoned=True, cuts=cuts)
    assert (zoned, refused) == (bucketed, [])


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["UTC", "Europe/Athens", "America/New_York+07:00", "+05:30", "-03:30"]),
    st.sampled_from([timeframe.name for timeframe in timeframes.TIMEFRAMES]),
    st.integers(at("2023-12-01 00:00"), at("2024-12-31 00:00")),
    st.lists(st.integers(-3, 40), min_size=1, max_size=30),
    st.sampled_from([0, 0, 0, 1, 1800, HOUR, 7000]),
    st.booleans(),
    st.integers(0, 3),
)
def test_bucketing_at_once_and_one_by_one_is_the_same(
    clock: str, tf: str, base: int, steps: list[int], off: int, zoned: bool, days_ahead: int
) -> None:
    timeframe = timeframes.parse(tf)
    start = timeframe.floor(base)
    times = [start + step * timeframe.seconds + (off if step % 5 == 0 else 0) for step in steps]
    now = max(times) - days_ahead * DAY
    at_once = place(times, tf, clock, zoned=zoned, now=now)
    with patch.object(Bucketer, "_put_columns", lambda *_: None):
        assert place(times, tf, clock, zoned=zoned, now=now) == at_once


class TestFuture:
    NOW = at("2024-05-01 12:00")

    def test_rows_up_to_five_minutes_ahead_are_accepted(self) -> None:
        times = [self.NOW + 300, self.NOW + 360]
        bucketed, refused = place(times, now=self.NOW)
        assert bucketed == [(1, self.NOW + 300, 60)]
        assert refused == [(2, "future", "starts 6 min ahead: broker time sent as UTC? row 2")]

    def test_start_of_the_bucket_decides_about_the_future(self) -> None:
        assert starts(place([self.NOW - 12 * HOUR], "D1", now=self.NOW)) == [self.NOW - 12 * HOUR]

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [
            (301, "starts 5 min ahead: broker time sent as UTC? "),
            (2 * HOUR + 59 * 60 + 30, "starts 2 h 59 min ahead: broker time sent as UTC? "),
            (3 * HOUR, "starts 3 h ahead: broker time sent as UTC? "),
            (2 * DAY + 60, "starts 2 d ahead "),
        ],
    )
    def test_lead_is_described(self, seconds: int, words: str) -> None:
        assert describe_lead(seconds) == words


@pytest.mark.parametrize("time", [TIME_MIN - 1, TIME_MAX, TIME_MAX + 5, -(10**15), 10**15])
@pytest.mark.parametrize("tf", ["M1", "D1"])
def test_time_outside_all_clocks_is_bad(time: int, tf: str) -> None:
    bucketed, refused = place([time, at("2024-01-01 00:00")], tf, "Europe/Athens")
    assert [row for row, _, _ in bucketed] == [2]
    assert [(row, reason) for row, reason, _ in refused] == [(1, "bad_time")]


def test_bucket_before_all_clocks_is_bad() -> None:
    assert place([TIME_MIN], "M1", "+02:00")[1] == [(1, "bad_time", "row 1")]
    assert starts(place([TIME_MIN], "M1", "UTC")) == [TIME_MIN]
