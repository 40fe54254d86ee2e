"""Pieces of text to blocks of whole lines, numbered; lines beyond the limit are refused."""

from collections.abc import Iterator
from typing import NamedTuple

from gfil.ingest.refusals import TEXT_MAX, Refuse
from gfil.ingest.source.byte_stream import ByteStream

LINE_BYTES_MAX = 64 * 1024


class Block(NamedTuple):
    """Whole lines, without the last line's end; `row` is the number of the first."""

    row: int
    text: str


def read_blocks(pieces: ByteStream, refuse: Refuse) -> Iterator[Block]:
    """Yield the lines of a source in blocks, numbered from 1.

    A line beyond `LINE_BYTES_MAX` is refused and passed over without being held. Where the source
    is cut, what may be half a line is refused as `truncated`.
    """
    row, held = 1, b""
    overlong = False  # the line at hand is passed over until it ends
    for piece in pieces:
        if overlong:
            end = piece.find(b"\n")
            if end < 0:
                continue
            piece, overlong = piece[end + 1 :], False
            row += 1
        data = held + piece
        end = data.rfind(b"\n")
        held = data[end + 1 :]
        if end >= 0:
            yield from _split(row, data[:end], refuse)
            row += data.count(b"\n", 0, end + 1)
        if len(held) > LINE_BYTES_MAX:
            refuse(row, "too_long", _show(held))
            held, overlong = b"", True
    if pieces.cut:
        refuse(row, "truncated", _show(held))
    elif held and not overlong:
        yield from _split(row, held, refuse)


def may_be_overlong(data: bytes, *ends: bytes) -> bool:
    """Whether what ends in one of `ends` may be beyond `LINE_BYTES_MAX` somewhere; False is sure.

    What is too long covers a whole window of half the size.
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
    for place, line in enumerate(lines):
        if len(line) > LINE_BYTES_MAX:
            refuse(row + place, "too_long", _show(line))
            if start < place:
                yield _block(row + start, b"\n".join(lines[start:place]))
            start = place + 1
    if start < len(lines):
        yield _block(row + start, b"\n".join(lines[start:]))


def _block(row: int, data: bytes) -> Block:
    text = data.decode("utf-8", "replace")
    return Block(row, text.replace("\r\n", "\n").removesuffix("\r") if "\r" in text else text)


def _show(data: bytes) -> str:
    return data[: 4 * TEXT_MAX].decode("utf-8", "replace")
