"""Tests of gfil/ingest/source/byte_stream.py: any input becomes even pieces of UTF-8."""

import gzip
import random
import tracemalloc
from collections.abc import Iterator

import pytest

from gfil.ingest.source.byte_stream import PIECE_BYTES, ByteStream

TEXT = "time;Öl;价格\r\n".encode() * 60_000
PACKED = gzip.compress(TEXT, mtime=0)


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def read(data: bytes, size: int = 100_000) -> tuple[bytes, ByteStream]:
    pieces = ByteStream(chunked(data, size))
    return b"".join(pieces), pieces


@pytest.mark.parametrize("size", [1, 7, 4096, PIECE_BYTES, 10**7])
@pytest.mark.parametrize("packed", [False, True])
def test_pieces_do_not_depend_on_the_chunks(size: int, packed: bool) -> None:
    data = TEXT[: 3 * PIECE_BYTES + 5] if size > 7 else TEXT[:1000]
    lengths = list(map(len, ByteStream(chunked(gzip.compress(data) if packed else data, size))))
    assert lengths == ([PIECE_BYTES] * 3 + [5] if size > 7 else [1000])


def test_head_is_readable_before_iteration() -> None:
    pieces = ByteStream(chunked(TEXT, 1000))
    assert pieces.head() == TEXT[:PIECE_BYTES]
    assert b"".join(pieces) == TEXT


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        (b"a,b", b"a,b", "UTF-8"),
        (b"\xef\xbb\xbfa,b", b"a,b", "UTF-8"),
        ("\ufeffÖl".encode("utf-16-le"), "Öl".encode(), "UTF-16"),
        ("\ufeffÖl".encode("utf-16-be"), "Öl".encode(), "UTF-16"),
        ("\ufeffa\n\0".encode("utf-16-le"), b"a\n", "UTF-16"),
        ("\ufeffa\n".encode("utf-16-le") + b"\0", b"a\n", "UTF-16"),
        ("\ufeffa".encode("utf-16-le") + b"b", "a\ufffd".encode(), "UTF-16"),
        (b"\xff\xfe\x00\xd8a\x00", "\ufffda".encode(), "UTF-16"),
        (b"a\n\0", b"a\n", "UTF-8"),
        (b"a\n\0\0", b"a\n\0", "UTF-8"),
        (b"\0", b"", "UTF-8"),
        (b"", b"", "UTF-8"),
    ],
)
def test_byte_order_marks_and_one_last_nul_are_removed(
    data: bytes, text: bytes, encoding: str
) -> None:
    for size in (1, 100):
        found, pieces = read(data, size)
        assert (found, pieces.encoding, pieces.cut) == (text, encoding, False)


def test_last_nul_is_removed_at_the_start_of_a_piece() -> None:
    assert read(b"x" * PIECE_BYTES + b"\0")[0] == b"x" * PIECE_BYTES


@pytest.mark.parametrize(
    ("data", "text", "warned"),
    [
        (PACKED, TEXT, False),
        (gzip.compress(b"a\n", mtime=0) + gzip.compress(b"b\n", mtime=0), b"a\nb\n", False),
        (PACKED + b"\0" * 512, TEXT, False),
        (PACKED + b"rubbish", TEXT, True),
        (gzip.compress(b"", mtime=0), b"", False),
    ],
)
def test_gzip_members_are_unpacked(data: bytes, text: bytes, warned: bool) -> None:
    for size in (1, 100_000) if len(data) < 1000 else (999, 100_000):
        found, pieces = read(data, size)
        assert (found, pieces.gzipped, pieces.cut) == (text, True, False)
        assert pieces.warnings == (["data after the gzip stream is ignored"] if warned else [])


@pytest.mark.parametrize("end", [1, 5, 100, len(PACKED) // 2, len(PACKED) - 8, len(PACKED) - 1])
def test_truncated_gzip_yields_its_data_and_sets_cut(end: int) -> None:
    found, pieces = read(PACKED[:end])
    assert TEXT.startswith(found) or end == 1
    assert pieces.cut == (end > 1)


def test_damaged_gzip_sets_cut() -> None:
    noise = random.Random(1).randbytes(200_000)
    packed = bytearray(gzip.compress(noise))
    packed[100_000] ^= 0xFF
    assert read(bytes(packed))[1].cut
    packed = bytearray(PACKED)
    packed[-5] ^= 0xFF  # only the checksum
    assert read(bytes(packed))[1].cut


def test_gzip_bomb_is_unpacked_in_flat_memory() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    pieces = ByteStream(chunked(bomb, 65536))
    tracemalloc.start()
    try:
        total = sum(map(len, pieces))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 50_000_000 - 1
    assert peak < 16 * PIECE_BYTES
