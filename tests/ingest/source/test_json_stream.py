"""Tests of gfil/ingest/source/json_stream.py: elements of one array, also of a broken one."""

import time
import tracemalloc

import orjson
import pytest

from gfil.ingest.formats import UnknownFormat
from gfil.ingest.source.byte_stream import PIECE_BYTES, ByteStream
from gfil.ingest.source.json_stream import RAW_MAX, read_elements
from gfil.ingest.source.lines import LINE_BYTES_MAX
from tests.ingest.reading import read_rows

Read = tuple[list[tuple[int, object]], list[tuple[int, str]]]


def read(data: bytes, wrapped: bool = False) -> Read:
    refused: list[tuple[int, str]] = []
    found: list[tuple[int, object]] = []
    before = data.index(b"[") + 1
    pieces = ByteStream([data])
    for elements in read_elements(
        pieces, before, lambda row, reason, _: refused.append((row, reason)), wrapped
    ):
        values = elements.values or elements.raw
        found += list(enumerate(values, start=elements.row))
    return [(row, load(value)) for row, value in found], refused


def load(value: object) -> object:
    if not isinstance(value, bytes):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return "broken"


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (b"[]", []),
        (b" [ ] \n", []),
        (b"[{}]", [{}]),
        (b'[1, [2, 3], {"a": [4, {"b": 5}]}]', [1, [2, 3], {"a": [4, {"b": 5}]}]),
        (b'[{"a":"},{"},{"a":"]["}]', [{"a": "},{"}, {"a": "]["}]),
        (b'[{"a":"\\"},{"},{"b":"\\\\"}]', [{"a": '"},{'}, {"b": "\\"}]),
        (b'[{"a":1}\n,\n{"a":2}\n]', [{"a": 1}, {"a": 2}]),
        (b'[{"a":1},]', [{"a": 1}]),
    ],
)
def test_elements_are_split(data: bytes, values: list[object]) -> None:
    assert read(data) == (list(enumerate(values)), [])


@pytest.mark.parametrize(
    ("data", "values", "refused"),
    [
        (b'[{"a":1},{"a":NaN},{"a":2}]', [{"a": 1}, "broken", {"a": 2}], []),
        (b'[{"a":1},{"a":1]},{"a":2}]', [{"a": 1}, "broken", {"a": 2}], []),
        (b'[{"a":1},{"a":{1},{"a":2},{"a":3}]', [{"a": 1}, "broken", {"a": 2}, {"a": 3}], []),
        (b'[{"a":1},{"a:1},{"a":2},{"a":3}]', [{"a": 1}, "broken", {"a": 2}, {"a": 3}], []),
        (b'[{"a":1},{"a":1}},{"a":2}]', [{"a": 1}, "broken", {"a": 2}], []),
        (b'[{"a":1},,{"a":2}]', [{"a": 1}, "broken", {"a": 2}], []),
        (b'[{"a":1},{"a":2', [{"a": 1}], [(1, "truncated")]),
        (b'[{"a":1},{"a":2}', [{"a": 1}], [(1, "truncated")]),
        (b'[{"a":1},', [{"a": 1}], [(1, "truncated")]),
        (b"[", [], [(0, "truncated")]),
        (b'[{"a":1},{"a:2},{"a":3},{"a":4', [{"a": 1}, "broken", {"a": 3}], [(3, "truncated")]),
    ],
)
def test_broken_element_does_not_cost_its_neighbours(
    data: bytes, values: list[object], refused: list[tuple[int, str]]
) -> None:
    assert read(data) == (list(enumerate(values)), refused)


def test_wrapping_object_must_be_closed() -> None:
    assert read(b'{"candles":[1],"next":[{"a":"]}"}]}\n', wrapped=True) == ([(0, 1)], [])
    assert read(b'{"candles":[1],"next":', wrapped=True) == ([(0, 1)], [(1, "truncated")])
    assert read(b'{"candles":[1]', wrapped=True) == ([(0, 1)], [(1, "truncated")])


def test_data_after_the_array_is_warned_of() -> None:
    pieces = ByteStream([b"[1] [2]"])
    assert [list(each.raw) for each in read_elements(pieces, 1, lambda *_: None)] == [[b"1"]]
    assert pieces.warnings == ["data after the array is ignored"]


@pytest.mark.parametrize("length", [LINE_BYTES_MAX + 1, PIECE_BYTES, 3 * PIECE_BYTES + 11])
@pytest.mark.parametrize("filling", [b'"%s"', b"[[%s]]", b'{"\\"":"\\\\%s"}'])
def test_overlong_element_is_refused_and_the_others_kept(length: int, filling: bytes) -> None:
    inner = b"1," * (length // 2) + b"1"
    for before in (0, 30_000):
        data = b"[" + b'{"a":1},' * before + filling % inner + b',{"a":2},{"a":3}]'
        found, refused = read(data)
        assert refused == [(before, "too_long")]
        assert len(found) == before + 2
        assert found[before:] == [(before + 1, {"a": 2}), (before + 2, {"a": 3})]


@pytest.mark.parametrize("fill", [b"[", b"{", b'{"a":', b'"['])
def test_endless_element_takes_flat_memory(fill: bytes) -> None:
    chunk = fill * (PIECE_BYTES // len(fill))
    pieces = ByteStream(chunk if number else b"[" + chunk for number in range(64))
    refused: list[str] = []
    tracemalloc.start()
    try:
        given = list(read_elements(pieces, 1, lambda row, reason, text: refused.append(reason)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused == ["too_long", "truncated"]
    assert sum(len(elements.raw) for elements in given) == 0
    assert peak < 12 * PIECE_BYTES


GOOD = b'{"t":1709251200,"o":1,"h":2,"l":0.5,"c":1.5,"v":7}'
UNITS = [
    *(b'":[{},{:', b'},{",', b'{},{"', b"[},{", b'{"},{" ', b' "},{"', b'{"a":[{},', b'"},{":['),
    *(b':[{},{"', b'":[[{},{"', b'":[{},{:[{},{:', b':[{},{:"', b'"],["', b"{},", b",", b"],["),
    *(b'},{""', b'\\"},{', b'{"":[', b"} ,", b'"},{":[{'),
]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("start", [b"[", b"[" + GOOD + b",\n{", b"[" + GOOD + b',\n{"'])
def test_nested_brackets_take_linear_time(start: bytes, unit: bytes) -> None:
    data = start + unit * (60_000 // len(unit))
    began = time.thread_time()  # CPU time: what else the machine does is not in it
    try:
        rows, _ = read_rows(data)
    except UnknownFormat:
        rows = []
    assert time.thread_time() - began < 5, "linear work takes 0.3 s, quadratic work ten"
    assert [row[0] for row in rows] == ([0] if GOOD in start else [])


def test_many_broken_elements_keep_their_row_numbers() -> None:
    count = 3 * RAW_MAX + 7
    found, refused = read(b"[" + b'{"a":x},' * count + b"{}]")
    assert [row for row, _ in found] == list(range(count + 1))
    assert (found[count], refused) == ((count, {}), [])
