"""Tests of gfil/clocks.py; buckets are compared with a search in steps of 15 minutes."""

import random
from datetime import UTC, datetime

import pytest

from gfil import clocks, timeframes
from gfil.clocks import BadTime, Bucket, Run, UnknownClock
from gfil.timeframes import D1, H1, H4, MN1, TIMEFRAMES, W1
from tests.oracle import buckets

HOUR, DAY = 3600, 86400
ATHENS, NEW_YORK = "Europe/Athens", "America/New_York"
CHANGES = [
    (ATHENS, "2024-03-31"),
    (ATHENS, "2024-10-27"),
    ("America/New_York+07:00", "2024-03-10"),
    ("America/New_York+07:00", "2024-11-03"),
    ("Europe/London", "2024-03-31"),
    ("Europe/London", "2024-10-27"),
    ("Australia/Lord_Howe", "2024-04-07"),
    ("Australia/Lord_Howe", "2024-10-06"),
    ("America/Sao_Paulo", "2018-11-04"),
    ("America/Sao_Paulo", "2018-02-18"),
    ("America/St_Johns", "2006-10-29"),  # set back at 00:01, into the previous day
    ("America/St_Johns", "2006-04-02"),
    ("Africa/Cairo", "2024-04-26"),  # without a midnight
    ("Africa/Cairo", "2024-10-31"),
    ("Asia/Kathmandu", "2024-02-29"),
    ("Pacific/Apia", "2011-12-30"),  # a skipped day
    ("Asia/Pyongyang", "2018-05-05"),
    ("+05:30", "2024-01-01"),
    ("-03:30", "2024-12-31"),
    ("UTC", "2024-02-29"),
]


def instant(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("UTC", "UTC"),
        ("utc", "UTC"),
        ("Z", "UTC"),
        ("+00:00", "UTC"),
        ("-00:00", "UTC"),
        ("UTC+0", "UTC"),
        ("UTC+2", "+02:00"),
        ("GMT+3", "+03:00"),
        ("gmt-11", "-11:00"),
        ("+02:00", "+02:00"),
        (" 02:00", "+02:00"),
        ("+2", "+02:00"),
        ("+0530", "+05:30"),
        ("-3:30", "-03:30"),
        ("+14:00", "+14:00"),
        ("-14:00", "-14:00"),
        ("Europe/Athens", "Europe/Athens"),
        ("europe/athens", "Europe/Athens"),
        ("EET", "EET"),
        ("America/New_York+07:00", "America/New_York+07:00"),
        ("America/New_York+7", "America/New_York+07:00"),
        ("America/New_York 07:00", "America/New_York+07:00"),
        ("america/new_york+0700", "America/New_York+07:00"),
        ("Europe/London-01:30", "Europe/London-01:30"),
        ("Europe/London+00:00", "Europe/London"),
        ("nyclose", "America/New_York+07:00"),
        ("NYCLOSE", "America/New_York+07:00"),
        ("Etc/GMT+3", "Etc/GMT+3"),
    ],
)
def test_spellings_give_one_clock_name(text: str, name: str) -> None:
    assert clocks.parse(text).name == name
    assert clocks.parse(text) == clocks.parse(name)


@pytest.mark.parametrize(
    "text",
    ["", " ", "Mars/Olympus", "+14:01", "-15:00", "+24", "+02:60", "+02:5", "02:00", "7", "+-2",
     "UTC+", "Europe/Athens+15:00", "Europe/Athens+07:60", "Europe", "../../etc/passwd",
     "/etc/localtime", "Europe/Athens\x00", "Europe/Athens+07:00+01:00", "nyclose+01:00",
     "localtime", "x" * 5000, "+١"],
)  # fmt: skip
def test_other_text_is_no_clock(text: str) -> None:
    with pytest.raises(UnknownClock) as refused:
        clocks.parse(text)
    assert refused.value.status == 400
    assert len(refused.value.detail) < 250


@pytest.mark.parametrize(("clock", "day"), CHANGES)
def test_buckets_equal_those_of_a_search(clock: str, day: str) -> None:
    """Law 10, every timeframe: each minute around a clock change, and random ones elsewhere."""
    parsed = clocks.parse(clock)
    rng = random.Random(f"{clock} {day}")
    near = [instant(day) + 60 * rng.randrange(-40 * 60, 40 * 60) for _ in range(60)]
    far = [instant(day) + 60 * rng.randrange(-40 * DAY // 60, 40 * DAY // 60) for _ in range(8)]
    for timeframe in TIMEFRAMES:
        for time in near + far:
            found = parsed.bucket(timeframe, time)
            assert found == buckets.bucket(timeframe.name, clock, time), (timeframe.name, time)


@pytest.mark.parametrize(("clock", "day"), CHANGES)
@pytest.mark.parametrize("timeframe", TIMEFRAMES[3:], ids=lambda timeframe: timeframe.name)
def test_buckets_of_a_span_are_contiguous(clock, day, timeframe) -> None:
    parsed = clocks.parse(clock)
    start, stop = instant(day) - 3 * DAY - 1000, instant(day) + 3 * DAY + 500
    buckets = parsed.buckets(timeframe, start, stop)
    assert buckets == list(_walk(parsed, timeframe, start, stop))
    runs = list(parsed.runs(timeframe, start, stop))
    cut = [Bucket(at, at + length) for first, last, length in runs
           for at in range(first, last, length)]  # fmt: skip
    assert cut == buckets
    assert all((last - first) % length == 0 for first, last, length in runs)


def _walk(clock, timeframe, start: int, stop: int):
    while start < stop:
        yield clock.bucket(timeframe, start)
        start = clock.bucket(timeframe, start).stop


def test_years_without_a_clock_change_are_one_run() -> None:
    start, stop = instant("2000-01-03"), instant("2024-01-01")
    assert list(clocks.UTC.runs(W1, start, stop)) == [Run(start, stop, 7 * DAY)]
    assert list(clocks.parse("+05:30").runs(H1, start, start + DAY)) == [
        Run(start - HOUR // 2, start + DAY + HOUR // 2, HOUR)
    ]


@pytest.mark.parametrize(
    ("clock", "timeframe", "within", "start", "stop"),
    [
        (ATHENS, D1, "2024-03-31T12:00", "2024-03-30T22:00", "2024-03-31T21:00"),
        (ATHENS, D1, "2024-10-27T12:00", "2024-10-26T21:00", "2024-10-27T22:00"),
        (ATHENS, H4, "2024-10-26T23:30", "2024-10-26T21:00", "2024-10-27T02:00"),
        (ATHENS, H4, "2024-03-30T23:30", "2024-03-30T22:00", "2024-03-31T01:00"),
        (ATHENS, W1, "2024-03-31T12:00", "2024-03-24T22:00", "2024-03-31T21:00"),
        (ATHENS, MN1, "2024-03-31T12:00", "2024-02-29T22:00", "2024-03-31T21:00"),
        ("nyclose", D1, "2024-03-08T12:00", "2024-03-07T22:00", "2024-03-08T22:00"),
        ("nyclose", D1, "2024-03-12T12:00", "2024-03-11T21:00", "2024-03-12T21:00"),
        ("+05:30", H4, "2024-01-01T00:00", "2023-12-31T22:30", "2024-01-01T02:30"),
        ("Europe/London", D1, "2024-01-15T12:00", "2024-01-15", "2024-01-16"),
        ("America/Sao_Paulo", D1, "2018-02-17T12:00", "2018-02-17T02:00", "2018-02-18T03:00"),
        ("America/Sao_Paulo", D1, "2018-11-04T12:00", "2018-11-04T03:00", "2018-11-05T02:00"),
        ("America/St_Johns", D1, "2006-10-29T02:59", "2006-10-29T02:30", "2006-10-30T03:30"),
        ("Pacific/Apia", D1, "2011-12-30T11:00", "2011-12-30T10:00", "2011-12-31T10:00"),
    ],
)
def test_clock_change_lengthens_or_shortens_days(clock, timeframe, within, start, stop) -> None:
    found = clocks.parse(clock).bucket(timeframe, instant(within))
    assert found == Bucket(instant(start), instant(stop))


def test_repeated_hour_stays_two_buckets() -> None:
    start = instant("2024-11-03T04:00")
    hours = clocks.parse(NEW_YORK).buckets(H1, start, start + 4 * HOUR)
    assert hours == [Bucket(start + n * HOUR, start + (n + 1) * HOUR) for n in range(4)]


@pytest.mark.parametrize(
    ("clock", "wall", "instants"),
    [
        ("UTC", "2024-03-31T01:30", ["2024-03-31T01:30"]),
        ("+05:30", "2024-03-31T01:30", ["2024-03-30T20:00"]),
        (ATHENS, "2024-03-31T02:59", ["2024-03-31T00:59"]),
        (ATHENS, "2024-03-31T03:00", []),
        (ATHENS, "2024-03-31T03:59", []),
        (ATHENS, "2024-03-31T04:00", ["2024-03-31T01:00"]),
        (ATHENS, "2024-10-27T02:59", ["2024-10-26T23:59"]),
        (ATHENS, "2024-10-27T03:00", ["2024-10-27T00:00", "2024-10-27T01:00"]),
        (ATHENS, "2024-10-27T03:59", ["2024-10-27T00:59", "2024-10-27T01:59"]),
        (ATHENS, "2024-10-27T04:00", ["2024-10-27T02:00"]),
        ("nyclose", "2024-11-03T08:30", ["2024-11-03T05:30", "2024-11-03T06:30"]),
        ("nyclose", "2024-03-10T09:30", []),
        ("Australia/Lord_Howe", "2024-04-07T01:45", ["2024-04-06T14:45", "2024-04-06T15:15"]),
        ("Pacific/Apia", "2011-12-30T12:00", []),
    ],
)
def test_instants_of_a_wall_time(clock: str, wall: str, instants: list[str]) -> None:
    parsed = clocks.parse(clock)
    found = parsed.instants(instant(wall))
    assert found == [instant(text) for text in instants]
    assert [parsed.wall(time) for time in found] == [instant(wall)] * len(found)


@pytest.mark.parametrize("clock", [*dict.fromkeys(clock for clock, _ in CHANGES), NEW_YORK])
def test_offsets_equal_the_time_zone_database(clock: str) -> None:
    parsed = clocks.parse(clock)
    rng = random.Random(clock)
    for _ in range(2000):
        time = rng.randrange(instant("1972-01-01"), instant("2037-12-31"))
        assert parsed.offset(time) == buckets.offset(clock, time)


def test_constant_offset_needs_no_clock_change_nearby() -> None:
    athens = clocks.parse(ATHENS)
    assert athens.constant_offset(instant("2024-06-01"), instant("2024-06-30")) == 3 * HOUR
    assert athens.constant_offset(instant("2024-12-01"), instant("2024-12-30")) == 2 * HOUR
    assert athens.constant_offset(instant("2024-03-30"), instant("2024-03-31")) is None
    assert athens.constant_offset(instant("2024-10-01"), instant("2024-11-30")) is None


@pytest.mark.parametrize(
    ("clock", "name", "since", "is_alike"),
    [
        ("UTC", "H1", "2024-01-01", True),
        (ATHENS, "H1", "2024-01-01", True),
        (ATHENS, "H1", "1910-01-01", False),  # local mean time until 1916
        ("+05:30", "M30", "2024-01-01", True),
        ("+05:30", "M20", "2024-01-01", False),
        ("+05:30", "H1", "2024-01-01", False),
        ("Asia/Kathmandu", "M15", "2024-01-01", True),
        ("Asia/Kathmandu", "M30", "2024-01-01", False),
        ("Australia/Lord_Howe", "M30", "2024-01-01", True),
        ("Australia/Lord_Howe", "H1", "2024-01-01", False),
    ],
)
def test_clocks_with_hours_like_utc(clock, name, since, is_alike) -> None:
    found = clocks.parse(clock).cuts_like_utc(timeframes.parse(name), instant(since))
    assert found == is_alike


def test_clocks_are_equal_by_name() -> None:
    assert clocks.parse("nyclose") == clocks.parse("America/New_York+7")
    assert clocks.parse("EET") != clocks.parse(ATHENS)
    assert len({clocks.parse("UTC"), clocks.parse("Z"), clocks.parse("+00:00")}) == 1


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("0", "1970-01-01"),
        ("-60", "1969-12-31T23:59"),
        ("1711843200", "2024-03-31"),
        ("2024-03-31", "2024-03-31"),
        ("2024-03-31T01:02:03Z", "2024-03-31T01:02:03"),
        ("2024-03-31T01:02", "2024-03-31T01:02"),
        ("2024-03-31 01:02", "2024-03-31T01:02"),
        ("2024-03-31T03:02+02:00", "2024-03-31T01:02"),
        ("2024-03-31T03:02 02:00", "2024-03-31T01:02"),
        ("2024-03-31T01:02:03.2Z", "2024-03-31T01:02:04"),
    ],
)
def test_instants_are_parsed(text: str, time: str) -> None:
    assert clocks.parse_instant(text) == instant(time)


@pytest.mark.parametrize(
    "text", ["", "x", "1e9", "100000000000", "-100000000000", "1711843200000", "2024-02-30",
             "2024-03-31T25:00", "12:00", "nan", "99999999999999999999"]
)  # fmt: skip
def test_other_text_is_no_instant(text: str) -> None:
    with pytest.raises(BadTime) as refused:
        clocks.parse_instant(text)
    assert refused.value.status == 400


def test_milliseconds_are_detected() -> None:
    with pytest.raises(BadTime, match=r"milliseconds\?"):
        clocks.parse_instant("1711843200000")


def test_instant_is_formatted_in_utc() -> None:
    assert clocks.format_instant(instant("2024-03-31T01:02:03")) == "2024-03-31T01:02:03Z"
    assert clocks.format_instant(-1) == "1969-12-31T23:59:59Z"


def test_first_instant_is_never_repeated() -> None:
    """No later instant repeats the first instant of a wall time."""
    for clock, day in CHANGES:
        parsed = clocks.parse(clock)
        for wall in range(instant(day) - DAY, instant(day) + 2 * DAY, HOUR):
            assert parsed.first_instant(wall) == buckets.first_instant(clock, wall)


def test_timeframe_table_equals_the_reference() -> None:
    assert {t.name: t.seconds for t in timeframes.TIMEFRAMES} == buckets.SECONDS
