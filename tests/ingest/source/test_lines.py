"""Tests of gfil/ingest/source/lines.py: whole numbered lines, and the limit of their length."""

import gzip

import pytest

from gfil.ingest.source import lines
from gfil.ingest.source.byte_stream import PIECE_BYTES, ByteStream

LONG = b"x" * (lines.LINE_BYTES_MAX + 1)


def read(data: bytes) -> tuple[list[tuple[int, str]], list[tuple[int, str, str]]]:
    refused: list[tuple[int, str, str]] = []
    blocks = lines.read_blocks(ByteStream([data]), lambda *row: refused.append(row))
    numbered = [
        (block.row + place, line)
        for block in blocks
        for place, line in enumerate(block.text.split("\n"))
    ]
    return numbered, refused


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"a\nb\n", [(1, "a"), (2, "b")]),
        (b"a\nb", [(1, "a"), (2, "b")]),
        (b"a\r\nb\r\n", [(1, "a"), (2, "b")]),
        (b"a\r\nb\r", [(1, "a"), (2, "b")]),
        (b"a\n\nb\n", [(1, "a"), (2, ""), (3, "b")]),
        (b"\xc3\x96\n\xff\n", [(1, "Ö"), (2, "\ufffd")]),
        (b"", []),
    ],
)
def test_lines_are_numbered_from_1(data: bytes, found: list[tuple[int, str]]) -> None:
    assert read(data) == (found, [])


def test_line_across_two_pieces_is_whole() -> None:
    data = b"".join(b"line %d\n" % number for number in range(1, 100_001))
    assert len(data) > 3 * PIECE_BYTES
    assert read(data) == ([(number, f"line {number}") for number in range(1, 100_001)], [])


@pytest.mark.parametrize("length", [len(LONG), 3 * PIECE_BYTES, 10 * PIECE_BYTES + 7])
@pytest.mark.parametrize("before", [0, 10, PIECE_BYTES // 2 - 100])
def test_overlong_line_is_refused_and_the_others_kept(length: int, before: int) -> None:
    data = b"a\n" * before + b"x" * length + b"\nb\nc\n" + LONG + b"\nd"
    found, refused = read(data)
    assert found == [
        *((n + 1, "a") for n in range(before)),
        (before + 2, "b"),
        (before + 3, "c"),
        (before + 5, "d"),
    ]
    assert [(row, reason) for row, reason, _ in refused] == [
        (before + 1, "too_long"),
        (before + 4, "too_long"),
    ]
    assert {text[:200] for _, _, text in refused} == {"x" * 200}


def test_overlong_last_line_is_refused_once() -> None:
    found, refused = read(b"a\n" + LONG * 9)
    assert (found, [row[:2] for row in refused]) == ([(1, "a")], [(2, "too_long")])


def test_line_at_the_limit_is_kept() -> None:
    assert read(LONG[:-1] + b"\nb") == ([(1, LONG[:-1].decode()), (2, "b")], [])


def test_last_line_of_a_cut_input_is_refused() -> None:
    packed = gzip.compress(b"a\nb\n2024-01-01,1,2,0.5,1.", compresslevel=0)
    found, refused = read(packed[:-8])
    assert found == [(1, "a"), (2, "b")]
    assert refused == [(3, "truncated", "2024-01-01,1,2,0.5,1.")]
