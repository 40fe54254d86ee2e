"""Tests of gfil/ingest/parse/timestamps.py: every spelling of a timestamp, and refusals."""

import pytest

from gfil.ingest.parse import timestamps
from gfil.ingest.parse.timestamps import Timestamp
from gfil.ingest.refusals import BadRow

NEW_YEAR = 1704067200  # 2024-01-01 00:00

NAIVE = [
    ("2024-01-01", 0),
    ("2024.01.01", 0),
    ("2024/01/01", 0),
    ("20240101", 0),
    ("01.01.2024", 0),
    ("1.1.2024 9:05", 9 * 3600 + 300),
    ("2024-1-1 9:05", 9 * 3600 + 300),
    ("2024-01-01 09:05", 9 * 3600 + 300),
    ("2024-01-01T09:05:07", 9 * 3600 + 307),
    ("2024.01.01 09:05:07.999", 9 * 3600 + 307),
    ("2024-01-01 09:05:07,5", 9 * 3600 + 307),
    ("2023-12-31T09:35:00.000000", -14 * 3600 - 25 * 60),
    ("20240101 090507", 9 * 3600 + 307),
    ("20240101T0905", 9 * 3600 + 300),
    ("  2024-01-01 00:00  ", 0),
    ("2024-02-29 23:59:59", 60 * 86400 - 1),
]
ZONED = [
    ("2024-01-01T00:00:00Z", 0),
    ("2024-01-01 00:00z", 0),
    ("2024-01-01 00:00 UTC", 0),
    ("2024-01-01 00:00 GMT", 0),
    ("2024-01-01T02:00:00+02:00", 0),
    ("2024-01-01T02:00:00.5+0200", 0),
    ("2023-12-31T19:00-05", 0),
    ("01.01.2024 03:00:00.000 GMT+0300", 0),
]
EPOCHS = [
    ("0", 0),
    ("60", 60),
    ("-86400", -86400),
    ("1704067200", NEW_YEAR),
    ("1704067200.75", NEW_YEAR),
    ("99999999999", 99999999999),
    ("100000000000", 100000000),
    ("1704067200123", NEW_YEAR),
    ("99999999999999", 99999999999),
    ("100000000000000", 100000000),
    ("1704067200123456", NEW_YEAR),
]
NONE = [
    *("soon", "2024-13-01", "2024-02-30", "2023-02-29", "31/12/2024", "2024-01.01", "24-01-01"),
    *(
        "2024-01-01 24:00",
        "2024-01-01 12:60",
        "2024-01-01 12:00:60",
        "2024-01-01 12",
        "2024-01-01 x",
    ),
    *("2024-01-01 00:00 EST", "2024-01-01 00:00+15:00", "2024-01-01 00:00 PM", "2024-01-01Z"),
    *("1e9", "0x10", "1_000", "99999999", "١٢٣٤٥٦٧٨٩", "nan", "1" * 20, "2024-01-01 00:00\x00"),
]


@pytest.mark.parametrize(("text", "seconds"), NAIVE)
def test_naive_timestamp_is_wall_time(text: str, seconds: int) -> None:
    assert timestamps.parse(text)[:2] == (NEW_YEAR + seconds, False)


@pytest.mark.parametrize(("text", "seconds"), ZONED)
def test_zoned_timestamp_is_an_instant(text: str, seconds: int) -> None:
    assert timestamps.parse(text)[:2] == (NEW_YEAR + seconds, True)


@pytest.mark.parametrize(("text", "seconds"), EPOCHS)
def test_size_of_an_epoch_shows_its_unit(text: str, seconds: int) -> None:
    assert timestamps.parse(text)[:2] == (seconds, False)


@pytest.mark.parametrize("text", NONE)
def test_other_text_is_a_bad_time(text: str) -> None:
    with pytest.raises(BadRow) as refused:
        timestamps.parse(text)
    assert refused.value.reason == "bad_time"


@pytest.mark.parametrize("text", ["", "  "])
def test_blank_timestamp_is_a_missing_field(text: str) -> None:
    with pytest.raises(BadRow) as refused:
        timestamps.parse(text)
    assert refused.value.reason == "missing_field"


@pytest.mark.parametrize("value", [True, [], {}, float("nan"), float("inf"), 10**30, 1e300, "x"])
def test_other_json_value_is_a_bad_time(value: object) -> None:
    with pytest.raises(BadRow) as refused:
        timestamps.parse_value(value)
    assert refused.value.reason == "bad_time"


def test_json_value_is_an_epoch_or_a_text() -> None:
    assert timestamps.parse_value(1704067200000) == Timestamp(NEW_YEAR, False)
    assert timestamps.parse_value(1704067200.5) == Timestamp(NEW_YEAR, False, 500)
    assert timestamps.parse_value("2024-01-01T00:00:00Z") == Timestamp(NEW_YEAR, True)
    with pytest.raises(BadRow, match="missing_field"):
        timestamps.parse_value(None)


@pytest.mark.parametrize("texts", [NAIVE[:3], ZONED[:1], EPOCHS[3:4], EPOCHS[7:8]])
def test_column_of_like_timestamps_reads_as_one_by_one(texts: list[tuple[str, int]]) -> None:
    column = [text for text, _ in texts]
    seconds, zoned = timestamps.read_texts(column)
    assert [(each, zoned) for each in seconds] == [timestamps.parse(text)[:2] for text in column]


@pytest.mark.parametrize(
    "column",
    [
        ["2024-01-01 00:00", "2024-01-01 00:00Z"],
        ["2024-01-01 00:00", "soon"],
        ["2024-01-01 00:00", "2024-01-01"[:9]],
        ["1704067200", "x"],
        ["1704067200", "20240101"],
        ["2024-01-01", "1704067200"],
    ],
)
def test_mixed_column_raises_value_error(column: list[str]) -> None:
    with pytest.raises(ValueError):
        timestamps.read_texts(column)


def test_date_and_time_of_day_may_be_two_columns() -> None:
    assert timestamps.read_split(["2024.01.01"] * 2, ["00:00", "09:05:07"]) == (
        [NEW_YEAR, NEW_YEAR + 9 * 3600 + 307],
        False,
    )
    assert timestamps.read_split(["20240101"], ["000000Z"]) == ([NEW_YEAR], True)
    with pytest.raises(ValueError):
        timestamps.read_split(["2024.01.01"], ["2024.01.01"])


def test_timestamp_cache_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timestamps, "CACHE_MAX", 10)
    texts = [f"2024-01-01 00:00:{second:02}" for second in range(60)]
    assert timestamps.read_texts(texts) == ([NEW_YEAR + second for second in range(60)], False)
    assert len(timestamps._TIMES[False, ""]) <= 10


def test_padded_timestamp_is_read_and_not_cached() -> None:
    padded = "2024-01-01 " + " " * 60_000 + "09:05"
    before = [len(memory) for memory in (timestamps._DAYS, *timestamps._TIMES.values())]
    assert timestamps.read_texts([padded] * 2) == ([NEW_YEAR + 9 * 3600 + 300] * 2, False)
    after = [len(memory) for memory in (timestamps._DAYS, *timestamps._TIMES.values())]
    assert sum(after) <= sum(before) + 1  # the day alone
    assert max(map(len, timestamps._TIMES[False, ""]), default=0) <= timestamps.CACHED_LENGTH_MAX
