"""Lines: split a byte stream into blocks of whole numbered lines; refuse overlong lines."""

from collections.abc import Iterator
from typing import NamedTuple

from gfil.ingest.refusals import TEXT_MAX, Refuse
from gfil.ingest.source.byte_stream import ByteStream

LINE_BYTES_MAX = 64 * 1024


class Block(NamedTuple):
    """Whole lines without the final newline; `row` is the number of the first line."""

    row: int
    text: str


def read_blocks(pieces: ByteStream, refuse: Refuse) -> Iterator[Block]:
    """Yield the lines of an input in blocks, numbered from 1.

    A line longer than `LINE_BYTES_MAX` is refused without being held in memory. If the input is
    cut, its last line is refused as `truncated`.
    """
    row, pending = 1, b""
    overlong = False  # the rest of the current line is skipped
    for piece in pieces:
        if overlong:
            end = piece.find(b"\n")
            if end < 0:
                continue
            piece, overlong = piece[end + 1 :], False
            row += 1
        data = pending + piece
        end = data.rfind(b"\n")
        pending = data[end + 1 :]
        if end >= 0:
            yield from _split(row, data[:end], refuse)
            row += data.count(b"\n", 0, end + 1)
        if len(pending) > LINE_BYTES_MAX:
            refuse(row, "too_long", _show(pending))
            pending, overlong = b"", True
    if pieces.cut:
        refuse(row, "truncated", _show(pending))
    elif pending and not overlong:
        yield from _split(row, pending, refuse)


def may_be_overlong(data: bytes, *ends: bytes) -> bool:
    """Whether a line or element that ends in one of `ends` may exceed `LINE_BYTES_MAX`.

    False is certain: an overlong one covers a whole window of half that size.
    """
    half = LINE_BYTES_MAX // 2
    windows = range(0, len(data) - half, half)
    return any(all(data.find(end, at, at + half) < 0 for end in ends) for at in windows)


def _split(row: int, data: bytes, refuse: Refuse) -> Iterator[Block]:
    if not may_be_overlong(data, b"\n"):
        yield _block(row, data)
        return
    lines = data.split(b"\n")
    start = 0
    for index, line in enumerate(lines):
        if len(line) > LINE_BYTES_MAX:
            refuse(row + index, "too_long", _show(line))
            if start < index:
                yield _block(row + start, b"\n".join(lines[start:index]))
            start = index + 1
    if start < len(lines):
        yield _block(row + start, b"\n".join(lines[start:]))


def _block(row: int, data: bytes) -> Block:
    text = data.decode("utf-8", "replace")
    return Block(row, text.replace("\r\n", "\n").removesuffix("\r") if "\r" in text else text)


def _show(data: bytes) -> str:
    return data[: 4 * TEXT_MAX].decode("utf-8", "replace")
