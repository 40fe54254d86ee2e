"""Tests of gfil/ingest/parse/json_rows.py: JSON values to rows, and refusals."""

import tracemalloc

import pytest

from gfil.ingest import formats
from gfil.ingest.formats import udf
from gfil.ingest.source.byte_stream import ByteStream
from tests.ingest.reading import read_rows

DAY = 1709251200
GOOD = b'{"t":1709251200,"o":1,"h":2,"l":0.5,"c":1.5,"v":7}'
GOOD_ROW = (DAY, False, 1, 2, 0.5, 1.5, 7, "", "")


@pytest.mark.parametrize(
    "value",
    [
        b'{"ts":1709251200000,"t":1,"o":1,"open":9,"h":2,"l":0.5,"c":1.5,"v":7,"volume":9}',
        b'{"time":"2024-03-01","open":"1","high":"2","low":"0.5","close":"1.5","volume":"7"}',
        b'{"timestamp":1709251200000000,"O":1,"H":2,"L":0.5,"C":1.5,"V":7}',
        b'{"date":"2024.03.01 00:00","o":1.0,"h":2,"l":5e-1,"c":1.5,"tick_volume":7}',
        b'{"openTime":1709251200000,"o":1,"h":2,"l":0.5,"c":1.5,"v":7,"x":{"y":[1,{}]}}',
        b"[1709251200,1,2,0.5,1.5,7]",
        b'["2024-03-01",1,"2",0.5,1.5,"7",99,"x"]',
    ],
)
def test_good_value_is_a_row(value: bytes) -> None:
    rows, refused = read_rows(b"[" + value + b"," + GOOD + b"]")
    assert (rows, refused) == ([(0, *GOOD_ROW), (1, *GOOD_ROW)], [])


@pytest.mark.parametrize(
    "volume", [b"", b',"v":null', b',"v":""', b',"v":0', b',"x":1', b',"v":" "']
)
def test_missing_volume_is_0(volume: bytes) -> None:
    value = GOOD.replace(b',"v":7', volume)
    rows, refused = read_rows(b"[" + value + b"," + GOOD + b"]")
    assert (rows[0][7], refused) == (0, [])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'{"t":1709251200,"o":1,"h":2,"l":0.5}', "missing_field"),
        (b'{"o":1,"h":2,"l":0.5,"c":1}', "missing_field"),
        (b'{"t":null,"o":1,"h":2,"l":0.5,"c":1}', "missing_field"),
        (b'{"t":1709251200,"o":null,"h":2,"l":0.5,"c":1}', "missing_field"),
        (b"[1709251200,1,2,0.5]", "missing_field"),
        (b"[]", "missing_field"),
        (b"{}", "missing_field"),
        (b"7", "missing_field"),
        (b"null", "missing_field"),
        (b'{"t":"soon","o":1,"h":2,"l":0.5,"c":1}', "bad_time"),
        (b'{"t":true,"o":1,"h":2,"l":0.5,"c":1}', "bad_time"),
        (b'{"t":[1],"o":1,"h":2,"l":0.5,"c":1}', "bad_time"),
        (b'{"t":1709251200,"o":true,"h":2,"l":0.5,"c":1}', "not_a_number"),
        (b'{"t":1709251200,"o":"1_0","h":20,"l":0.5,"c":1}', "not_a_number"),
        (b'{"t":1709251200,"o":{},"h":2,"l":0.5,"c":1}', "not_a_number"),
        (b'{"t":1709251200,"o":1,"h":2,"l":0.5,"c":one}', "not_a_number"),
        (b'{"t":1709251200,"o":1,"h":NaN,"l":0.5,"c":1}', "not_finite"),
        (b'{"t":1709251200,"o":1,"h":Infinity,"l":0.5,"c":1}', "not_finite"),
        (b'{"t":1709251200,"o":1,"h":1e999,"l":0.5,"c":1}', "not_finite"),
        (b'{"t":1709251200,"o":1,"h":"inf","l":0.5,"c":1}', "not_finite"),
        (b'{"t":1709251200,"o":1,"h":2,"l":0.5,"c":3}', "low_high"),
        (b'{"t":1709251200,"o":1,"h":2,"l":0.5,"c":1,"v":-1}', "negative_volume"),
        (b'{"t":1709251200,"o":1,"h":1' + b"0" * 30 + b',"l":0.5,"c":1}', "too_large"),
    ],
)
def test_bad_value_is_reported_and_others_kept(value: bytes, reason: str) -> None:
    rows, refused = read_rows(b"[" + b",".join([GOOD, value, GOOD]) + b"]")
    assert rows == [(0, *GOOD_ROW), (2, *GOOD_ROW)]
    assert [(row, why) for row, why, _ in refused] == [(1, reason)]


def test_refused_value_shows_its_text() -> None:
    data = (
        b'[%s, {"t": 1709251200, "o": "\xc3\xb6"}, {"t":1,"o":NaN,"h":1,"l":1,"c":1}, {"t":x}]'
        % GOOD
    )
    _, refused = read_rows(data)
    assert [text for _, _, text in refused] == [
        '{"t":1709251200,"o":"ö"}',
        '{"t":1,"o":NaN,"h":1,"l":1,"c":1}',
        '{"t":x}',
    ]


def test_json_lines_are_numbered_as_lines() -> None:
    data = b"\n".join([GOOD, b"", b"{oops", b"  ", GOOD, b"[1709251200,1,2,0.5,1.5,7]", b"7"])
    rows, refused = read_rows(data)
    assert rows == [(1, *GOOD_ROW), (5, *GOOD_ROW), (6, *GOOD_ROW)]
    assert refused == [(3, "not_a_number", "{oops"), (7, "missing_field", "7")]


def test_udf_columns_may_have_nulls() -> None:
    data = (
        b'{"s":"ok","t":[1709251200,1709251260],"o":[1,1],"h":[2,NaN],"l":[0.5],"c":[1.5,1],"v":[]}'
    )
    rows, refused = read_rows(data)
    assert rows == [(0, DAY, False, 1, 2, 0.5, 1.5, 0, "", "")]
    assert [(row, reason) for row, reason, _ in refused] == [(1, "not_finite")]


def test_truncated_udf_columns_are_refused() -> None:
    rows, refused = read_rows(b'{"s":"ok","t":[1709251200],"o":[1,')
    assert (rows, [row[:2] for row in refused]) == ([], [(0, "truncated")])


def test_invalid_udf_column_is_refused() -> None:
    data = b'{"t":[1709251200,1709251260],"o":[1,1],"h":[2,x],"l":[0.5],"c":[1.5,1],"v":[]}'
    for broken in (data, data.replace(b"x", b"[" * 5000)):
        rows, refused = read_rows(broken)
        assert (rows, [row[:2] for row in refused]) == ([], [(0, "truncated")])


def test_udf_columns_take_little_memory_and_have_a_limit() -> None:
    count = 120_000
    column = b",".join(b"1.%05d" % (n % 1000) for n in range(count))
    times = b",".join(b"%d" % (1_600_000_000 + 60 * n) for n in range(count))
    data = b'{"s":"ok","t":[%b],"o":[%b],"h":[%b],"l":[%b],"c":[%b]}' % (times, *[column] * 4)
    tracemalloc.start()
    try:
        pieces = ByteStream(data[at : at + 65536] for at in range(0, len(data), 65536))
        found = formats.recognise(pieces.head())
        assert sum(map(len, found.read(pieces, lambda *_: None))) == count
        assert tracemalloc.get_traced_memory()[1] < len(data) + 12_000_000
    finally:
        tracemalloc.stop()
    rows, refused = read_rows(data[:-1] + b" " * udf.BYTES_MAX + b"}")
    assert (rows, [row[:2] for row in refused]) == ([], [(0, "too_large")])


@pytest.mark.parametrize("depth", [1000, 2000, 100_000])
def test_nested_brackets_cost_only_their_row(depth: int) -> None:
    deep = b'{"t":1709251200,"o":1,"h":2,"l":0.5,"c":1.5,"v":7,"x":' + b"[" * depth + b"]" * depth
    rows, refused = read_rows(b"[" + GOOD + b"," + deep + b"}," + GOOD + b"]")
    assert [row[0] for row in rows] == ([0, 1, 2] if depth == 1000 else [0, 2])
    assert [row for row, _, _ in refused] == ([] if depth == 1000 else [1])
