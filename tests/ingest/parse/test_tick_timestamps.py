"""Tests of gfil/ingest/parse/tick_timestamps.py: columns read as their single timestamps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gfil.ingest.parse import tick_timestamps, timestamps
from gfil.ingest.refusals import BadRow

COLUMNS = [
    ["2014.05.05 00:00:00.040", "2014.05.05 23:59:59.999", "2014.05.06 01:02:03.5"],
    ["2024-03-01T00:00:00.043Z", "2024-03-01T00:00:00Z", "2024-03-01T00:00:00,1Z"],
    ["2024-03-01T00:00:00.043+02:00", "2024-03-01T00:00:00.043Z", "2024-03-01T00:00:00-0330"],
    ["2024-03-01 09:05", "2024-03-01 09:06"],
    ["20240301 090507.123456", "20240301 090508"],
    ["2024-03-01", "2024-03-02"],
    ["1398902400043", "1398902400999"],
    ["1398902400", "1398902401"],
    ["1398902400043999", "1398902400044000"],
    ["1398902400", "1398902400043"],
]


def one_by_one(texts: list[str]) -> list[tuple[int, bool, int]]:
    return [tuple(timestamps.parse(text)) for text in texts]  # type: ignore[misc]


@pytest.mark.parametrize("texts", COLUMNS)
def test_column_reads_as_its_single_timestamps(texts: list[str]) -> None:
    seconds, zoned, msc = tick_timestamps.read_texts(texts)
    assert list(zip(seconds, [zoned] * len(texts), msc, strict=True)) == one_by_one(texts)


@pytest.mark.parametrize(
    ("text", "seconds", "msc"),
    [
        ("2014.05.05 00:00:00.040", 1399248000, 40),
        ("2014.05.05 00:00:00.0409", 1399248000, 40),
        ("2014.05.05 00:00:00,5", 1399248000, 500),
        ("2014-05-05T02:00:00.5+02:00", 1399248000, 500),
        ("1399248000", 1399248000, 0),
        ("1399248000.043", 1399248000, 43),
        ("1399248000043", 1399248000, 43),
        ("1399248000043999", 1399248000, 43),
    ],
)
def test_timestamp_has_milliseconds(text: str, seconds: int, msc: int) -> None:
    assert (timestamps.parse(text).seconds, timestamps.parse(text).msc) == (seconds, msc)


@pytest.mark.parametrize(
    "value", [1399248000.043, 1399248000043, 1399248000043.5, 1.399248000043e15]
)
def test_json_epoch_has_milliseconds(value: float) -> None:
    assert timestamps.parse_value(value) == (1399248000, False, 43)
    assert tick_timestamps.read_values([value]) == ([1399248000], False, [43])


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-03-01 00:00:00.043", "2024-03-01 00:00:00.043Z"],
        ["2024-03-01 00:00:00.043", "2024-03-01x00:00:00.043"],
        ["2024-03-01 00:00:00.043", "soon"],
        ["2024-03-01 00:00:00", "2024-03-01 00:00:000"],
        ["2024-03-01 00:00", "2024-03-01 00:00:01"],
        ["2024-03-01 00:00:00.1", "2024-03-01 0:00:00.1.5"],
        ["2024-03-01 00:00:00 .1", "2024-03-01 00:00:00"],
        ["1398902400043", "20240301"],
    ],
)
def test_mixed_column_raises_value_error(texts: list[str]) -> None:
    with pytest.raises(ValueError):
        tick_timestamps.read_texts(texts)


PARTS = ["2024-03-01", "2024.3.1", "20240301", "T", " ", "  ", "00:00:00", "0:00", "235959", "12"]
ENDS = ["", ".1", ",25", ".0401", ".", "Z", " UTC", "+02:00", "-0330", "5", ":05", " ", "1.5", "é"]


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([*PARTS, *ENDS]), min_size=1, max_size=5).map("".join),
        min_size=1,
        max_size=4,
    )
)
def test_any_column_reads_as_its_single_timestamps(
    texts: list[str],
) -> None:
    try:
        seconds, zoned, msc = tick_timestamps.read_texts(texts)
    except (ValueError, OverflowError):
        return
    try:
        apart = one_by_one(texts)
    except BadRow:
        pytest.fail(f"the column is read, one of its texts is refused: {texts}")
    assert list(zip(seconds, [zoned] * len(texts), msc, strict=True)) == apart
