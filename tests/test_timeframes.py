"""Tests of gfil/timeframes.py."""

from datetime import UTC, datetime

import pytest

from gfil import timeframes
from gfil.timeframes import CHAIN, TIMEFRAMES, UnknownTimeframe

NAMES = "M1 M2 M3 M5 M10 M15 M20 M30 H1 H2 H3 H4 H6 H8 H12 D1 W1 MN1"
MINUTES = (1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440, 10080, 43200)


def instant(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_table_has_eighteen_timeframes() -> None:
    assert " ".join(timeframe.name for timeframe in TIMEFRAMES) == NAMES
    assert tuple(timeframe.seconds for timeframe in TIMEFRAMES) == tuple(60 * m for m in MINUTES)


def test_numbers_in_the_database_are_fixed() -> None:
    assert [timeframe.number for timeframe in TIMEFRAMES] == list(range(18))


def test_materialised_timeframes_are_fixed() -> None:
    assert [timeframe.name for timeframe in CHAIN] == ["M1", "M5", "M15", "M30", "H1", "H4", "D1"]


@pytest.mark.parametrize("name", NAMES.split())
def test_every_name_is_parsed(name: str) -> None:
    assert timeframes.parse(name).name == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *((f"{count}m", f"M{count}") for count in (1, 2, 3, 5, 10, 15, 20, 30)),
        *((f"{count}h", f"H{count}") for count in (1, 2, 3, 4, 6, 8, 12)),
        *((str(minutes), name) for minutes, name in zip(MINUTES, NAMES.split(), strict=True)),
        ("60m", "H1"),
        ("90", None),
        ("1440m", "D1"),
        ("24h", "D1"),
        ("1d", "D1"),
        ("1D", "D1"),
        ("D", "D1"),
        ("d1", "D1"),
        ("w", "W1"),
        ("1w", "W1"),
        ("1W", "W1"),
        ("M", "MN1"),
        ("1M", "MN1"),
        ("Mn1", "MN1"),
        ("h4", "H4"),
        ("4H", "H4"),
        (" H1 ", "H1"),
    ],
)
def test_other_spellings_are_parsed(text: str, name: str | None) -> None:
    if name is None:
        with pytest.raises(UnknownTimeframe):
            timeframes.parse(text)
    else:
        assert timeframes.parse(text).name == name


def test_case_matters_for_m_only() -> None:
    assert timeframes.parse("1m").name == "M1"
    assert timeframes.parse("1M").name == "MN1"


@pytest.mark.parametrize(
    "text",
    ["", " ", "0", "01", "-5", "4", "7m", "7", "5h", "2d", "2w", "3M", "M4", "m", "5M", "1s", "1y",
     "H", "W2", "MN2", "M1 M5", "60s", "1.5h", "99999", "999999999999", "H1\n H2", "é", "M１"],
)  # fmt: skip
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(UnknownTimeframe, match="use one of M1 M2") as refused:
        timeframes.parse(text)
    assert refused.value.status == 400


def test_error_shows_a_limited_part_of_the_text() -> None:
    with pytest.raises(UnknownTimeframe) as refused:
        timeframes.parse("x" * 10_000)
    assert len(refused.value.detail) < 200


@pytest.mark.parametrize(
    ("name", "wall", "start", "following"),
    [
        ("M1", "2024-03-31T23:59:59", "2024-03-31T23:59", "2024-04-01T00:00"),
        ("M20", "2024-03-31T00:41", "2024-03-31T00:40", "2024-03-31T01:00"),
        ("H1", "2024-03-31T00:59", "2024-03-31T00:00", "2024-03-31T01:00"),
        ("H8", "2024-03-31T15:59:59", "2024-03-31T08:00", "2024-03-31T16:00"),
        ("D1", "2024-03-31T23:59:59", "2024-03-31T00:00", "2024-04-01T00:00"),
        ("W1", "2024-03-31T23:59:59", "2024-03-25T00:00", "2024-04-01T00:00"),
        ("W1", "2024-04-01T00:00", "2024-04-01T00:00", "2024-04-08T00:00"),
        ("W1", "1969-12-28T12:00", "1969-12-22T00:00", "1969-12-29T00:00"),
        ("W1", "1970-01-01T00:00", "1969-12-29T00:00", "1970-01-05T00:00"),
        ("MN1", "2024-02-29T23:59:59", "2024-02-01T00:00", "2024-03-01T00:00"),
        ("MN1", "2023-02-01T00:00", "2023-02-01T00:00", "2023-03-01T00:00"),
        ("MN1", "2024-12-31T00:00", "2024-12-01T00:00", "2025-01-01T00:00"),
        ("MN1", "1968-02-29T00:00", "1968-02-01T00:00", "1968-03-01T00:00"),
    ],
)
def test_buckets_in_wall_time(name: str, wall: str, start: str, following: str) -> None:
    timeframe = timeframes.parse(name)
    assert timeframe.floor(instant(wall)) == instant(start)
    assert timeframe.following(instant(start)) == instant(following)


@pytest.mark.parametrize("timeframe", TIMEFRAMES, ids=lambda timeframe: timeframe.name)
def test_floor_of_a_start_is_the_start(timeframe) -> None:
    for month in range(1, 13):
        start = timeframe.floor(instant(f"2023-{month:02}-17T13:47:11"))
        assert timeframe.floor(start) == start
        assert timeframe.following(timeframe.floor(start - 1)) == start


def test_intraday_timeframes_end_with_h1() -> None:
    intraday = [timeframe.name for timeframe in TIMEFRAMES if timeframe.intraday]
    assert intraday == NAMES.split()[:9]


@pytest.mark.parametrize(
    ("name", "below"),
    [
        ("M1", ""),
        ("M2", "M1"),
        ("M5", "M1"),
        ("M20", "M15 M5 M1"),
        ("H1", "M30 M15 M5 M1"),
        ("H2", "H1 M30 M15 M5 M1"),
        ("D1", "H4 H1 M30 M15 M5 M1"),
        ("MN1", "D1 H4 H1 M30 M15 M5 M1"),
    ],
)
def test_materialised_timeframes_below_are_longest_first(name: str, below: str) -> None:
    found = timeframes.chain_below(timeframes.parse(name))
    assert " ".join(timeframe.name for timeframe in found) == below
