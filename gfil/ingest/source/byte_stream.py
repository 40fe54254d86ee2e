"""Byte stream: an input, gunzipped and decoded to UTF-8, in pieces of equal size."""

import codecs
import zlib
from collections.abc import Iterable, Iterator

# The cells of a piece must fit the processor's cache: pieces of 1 MiB take 1.5 times as long.
PIECE_BYTES = 256 * 1024
GZIP_MAGIC = b"\x1f\x8b"
GZIP_WINDOW = 31  # zlib: expect a gzip header


class ByteStream:
    """The input in pieces of `PIECE_BYTES`, the last one shorter, whatever the size of its chunks.

    While it is read it sets `gzipped`, `encoding`, `cut` (the gzip stream is truncated or damaged),
    `names_clock_late` (a JSON object names its clock after its rows) and `warnings`. A byte order
    mark and one NUL at the very end are removed.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.gzipped = False
        self.encoding = "UTF-8"
        self.cut = False
        self.names_clock_late = False
        self.warnings: list[str] = []
        self._rest = _without_last_nul(_even(self._decode(_even(self._gunzip(_even(chunks))))))
        self._head: bytes | None = None

    def head(self) -> bytes:
        """Return the first piece, which iteration yields again; empty if the input is empty."""
        if self._head is None:
            self._head = next(self._rest, b"")
        return self._head

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces; once."""
        if self.head():
            yield self.head()
        yield from self._rest

    def _gunzip(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        first = next(chunks, b"")
        self.gzipped = first.startswith(GZIP_MAGIC)
        if not self.gzipped:
            yield first
            yield from chunks
            return
        member = zlib.decompressobj(GZIP_WINDOW)
        data = first
        try:
            while data or (data := next(chunks, b"")):
                if member.eof:  # a gzip file may hold several members
                    data += b"" if len(data) > 1 else next(chunks, b"")
                    if not data.startswith(GZIP_MAGIC):
                        self._check_trailer(data)
                        return
                    member = zlib.decompressobj(GZIP_WINDOW)
                yield member.decompress(data, PIECE_BYTES)
                data = member.unused_data if member.eof else member.unconsumed_tail
            yield member.flush()
            self.cut = not member.eof
        except zlib.error:
            self.cut = True

    def _check_trailer(self, data: bytes) -> None:
        if data.strip(b"\0"):  # NUL padding is common
            self.warnings.append("data after the gzip stream is ignored")

    def _decode(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        first = next(pieces, b"")
        if not first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            yield first.removeprefix(codecs.BOM_UTF8)
            yield from pieces
            return
        self.encoding = "UTF-16"
        decoder = codecs.getincrementaldecoder("utf-16")("replace")
        yield decoder.decode(first).encode()
        for piece in pieces:
            yield decoder.decode(piece).encode()
        if decoder.getstate()[0] != b"\0":  # half a character, or a lone NUL
            yield decoder.decode(b"", True).encode()


def _even(chunks: Iterable[bytes]) -> Iterator[bytes]:
    pending: list[bytes] = []
    pending_bytes = 0
    for chunk in chunks:
        pending.append(chunk)
        pending_bytes += len(chunk)
        if pending_bytes < PIECE_BYTES:
            continue
        joined = b"".join(pending)
        whole = pending_bytes - pending_bytes % PIECE_BYTES
        for start in range(0, whole, PIECE_BYTES):
            yield joined[start : start + PIECE_BYTES]
        pending, pending_bytes = [joined[whole:]], pending_bytes - whole
    if pending_bytes:
        yield b"".join(pending)


def _without_last_nul(pieces: Iterator[bytes]) -> Iterator[bytes]:
    previous = next(pieces, b"")
    for piece in pieces:
        yield previous
        previous = piece
    if rest := previous.removesuffix(b"\0"):
        yield rest
