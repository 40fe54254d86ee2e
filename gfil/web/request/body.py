"""The body of a request: counted against its length, unpacked, ended when it comes too slowly."""

import hashlib
import socket
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import chain
from typing import Any
from urllib.parse import parse_qs

from flask import Flask, current_app, g, request
from gunicorn.http.errors import ParseException

from gfil.errors import BadRequest, Busy, TooLarge, TooSlow, UnsupportedEncoding
from gfil.web.request.connections import release_read_db

MB = 1024 * 1024
PIECE_BYTES = 256 * 1024
SMALL_BYTES = 8 * MB  # so much is gathered, and stored in one transaction
GZIP_MAGIC = b"\x1f\x8b"
GZIP_WINDOW = 31  # zlib: expect a gzip header
GZIP_LAYERS_MAX = 2  # a packed file, and the packing of its way here

# A whole body has so long, or a few that drip hold all threads for hours.
DEADLINE_S = 60.0
RATE_BYTES_PER_S = 50_000
WATCH_S = 1.0

# A form needs no key: it has little of everything.
FORM_BYTES_MAX = 4096
FORM_FIELDS_MAX = 10
FORM_DEADLINE_S = 5.0


class BodyTooLarge(TooLarge):
    """A body beyond the limit of its route; a program finds the limit in `limit_bytes`."""

    def __init__(self, limit_bytes: int, hint: str) -> None:
        limit = f"{limit_bytes // MB} MB" if limit_bytes >= MB else f"{limit_bytes // 1024} KB"
        super().__init__(f"the body has more than {limit} unpacked: {hint}")
        self.limit_bytes = limit_bytes

    @property
    def extra(self) -> Mapping[str, Any]:
        """The limit."""
        return {"limit_bytes": self.limit_bytes}


class Body:
    """What a request brings, unpacked, in pieces.

    Nothing is read before it is asked for. `announced` is its length before it is unpacked.
    """

    def __init__(self, pieces: Iterator[bytes], announced: int | None) -> None:
        self._pieces = pieces
        self._announced = announced
        self._head: list[bytes] = []
        self.size_bytes = 0  # of what is gathered

    @cached_property
    def is_small(self) -> bool:
        """Whether it has at most `SMALL_BYTES`, which are then all read."""
        if (self._announced or 0) > SMALL_BYTES:
            return False  # without gathering so much
        for piece in self._pieces:
            self._head.append(piece)
            self.size_bytes += len(piece)
            if self.size_bytes > SMALL_BYTES:
                return False
        return True

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of a small body."""
        assert self.is_small
        digest = hashlib.sha256()
        for piece in self._head:
            digest.update(piece)
        return digest.digest()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces, once: each is forgotten.

        Raises:
            BadRequest: the body is cut short, or its chunks or its gzip are damaged.
            TooLarge: it is beyond the limit of its route.
            TooSlow: it took too long.
        """
        while self._head:
            yield self._head.pop(0)
        yield from self._pieces


@contextmanager
def receive(limit_bytes: int, hint: str, deadline_s: float = DEADLINE_S) -> Iterator[Body]:
    """Read this request's body, of at most so much unpacked; `hint` says what to do with more.

    Raises:
        BadRequest, TooLarge, TooSlow: as reading the body.
        Busy: this process is at too many bodies already.
        UnsupportedEncoding: it is packed with something else than gzip.
    """
    release_read_db()  # or a body that takes minutes would hold back the checkpoints
    source = _Source(request.environ, deadline_s)
    if (source.length or 0) > limit_bytes:
        raise BodyTooLarge(limit_bytes, hint)
    watcher: _Watcher = current_app.extensions["bodies"]
    with watcher.place(has_key=g.get("key") is not None), watcher.watching(source):
        pieces = _unpack(iter(source), limit_bytes, hint)
        yield Body(pieces, source.length)
        for _ in pieces:
            pass  # whatever the reader did not want: a body that is cut short must say so


def read_form() -> dict[str, str]:
    """Return the fields of the form this request brings, of each the first value.

    Raises:
        BadRequest: it is no UTF-8, or has too many fields.
        As `receive`.
    """
    with receive(FORM_BYTES_MAX, "a form takes less", FORM_DEADLINE_S) as body:
        content = b"".join(body)
    try:
        fields = parse_qs(content.decode(), errors="strict", max_num_fields=FORM_FIELDS_MAX)
    except ValueError:
        raise BadRequest("the body is no form of this server") from None
    return {name: values[0] for name, values in fields.items()}


def _unpack(pieces: Iterator[bytes], limit_bytes: int, hint: str) -> Iterator[bytes]:
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise UnsupportedEncoding(f"Content-Encoding {encoding[:32]!r}: gzip or nothing is read")
    is_packed = encoding.endswith("gzip")
    pieces = _limited(pieces, limit_bytes, hint)
    for _ in range(GZIP_LAYERS_MAX):
        if not is_packed:
            first, pieces = _peek(pieces)
            if first != GZIP_MAGIC:
                return pieces
        pieces, is_packed = _limited(_gunzip(pieces), limit_bytes, hint), False
    first, pieces = _peek(pieces)
    if first == GZIP_MAGIC:
        raise BadRequest("the body is packed more than twice")
    return pieces


def _peek(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= len(GZIP_MAGIC):
            break
    return head[: len(GZIP_MAGIC)], chain([head], pieces)


def _limited(pieces: Iterator[bytes], limit_bytes: int, hint: str) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit_bytes:
            raise BodyTooLarge(limit_bytes, hint)
        yield piece


def _gunzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(GZIP_WINDOW)
    try:
        for data in pieces:
            while data:
                if member.eof:  # there may be several, one after another, and padding
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                    member = zlib.decompressobj(GZIP_WINDOW)
                yield member.decompress(data, PIECE_BYTES)
                data = member.unused_data if member.eof else member.unconsumed_tail
        yield member.flush()
    except zlib.error:
        raise BadRequest("the gzip data of the body is damaged") from None
    if not member.eof:
        raise BadRequest("the gzip data of the body is cut short")


def _length(environ: Mapping[str, Any]) -> int | None:
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        return None
    text = environ.get("CONTENT_LENGTH") or "0"
    if not text.isascii() or not text.isdigit():
        raise BadRequest("Content-Length must be a number")
    return int(text)


def init_app(app: Flask) -> None:
    """Have bodies that come too slowly ended, and never too many at once, in every worker."""
    app.extensions["bodies"] = watcher = _Watcher(app.config["SETTINGS"].threads)
    app.extensions["jobs"].add("bodies", WATCH_S, watcher.end_slow)


class _Source:
    # The bytes as they come. Whoever reads on when a client has gone away gets a shorter body and
    # no error, from gunicorn and so from Flask: only counting tells.
    def __init__(self, environ: dict[str, Any], deadline_s: float) -> None:
        self.length = _length(environ)  # None: it comes in chunks
        self.received = 0
        self.socket = environ.get("gunicorn.socket")
        self.is_ended = False  # by the watcher
        self.is_over = self.length == 0
        self._stream = environ["wsgi.input"]
        self._deadline_s = deadline_s
        self._waited_s = 0.0  # for the client alone: what takes the store long is not its fault
        self._waits_since: float | None = None

    def __iter__(self) -> Iterator[bytes]:
        while not self.is_over:
            wanted = PIECE_BYTES
            if self.length is not None:
                wanted = min(wanted, self.length - self.received)
            self._waits_since = since = time.monotonic()
            piece = self._read(wanted)
            self._waits_since = None  # first, or the watcher might count this wait twice
            self._waited_s += time.monotonic() - since
            self.received += len(piece)
            self.is_over = not piece or self.received == self.length
            if self.is_ended:
                raise TooSlow(self._say("came too slowly"))
            if self.length is not None and len(piece) < wanted:
                raise BadRequest(self._say("is cut short"))
            if piece:
                yield piece

    def _read(self, wanted: int) -> bytes:
        try:
            piece: bytes = self._stream.read(wanted)
            return piece
        except (BlockingIOError, TimeoutError):  # the listening socket's SO_RCVTIMEO
            self.is_over = True
            raise TooSlow(self._say("stopped coming")) from None
        except OSError:  # gunicorn's NoMoreData too, in a chunk
            self.is_over = True
            raise BadRequest(self._say("is cut short")) from None
        except ParseException as error:
            self.is_over = True
            if self.is_ended:
                raise TooSlow(self._say("came too slowly")) from None
            raise BadRequest(self._say(f"is cut short or no chunks ({error})")) from None

    def _say(self, what: str) -> str:
        of = "" if self.length is None else f" of {self.length}"
        return f"the body {what}: {self.received} bytes{of} came, nothing of the rest is stored"

    def is_late(self, now: float) -> bool:
        since = self._waits_since
        waited_s = self._waited_s + (0 if since is None else now - since)
        return waited_s > self._deadline_s + self.received / RATE_BYTES_PER_S


class _Watcher:
    # A read returns when it has all it wants, or when the socket was silent for seconds: against a
    # byte every second a clock outside is needed. It ends the receiving half; the answer goes out.
    # Until then a body holds its thread, so many leave threads for all else. Those without a key
    # have places of their own, or they could take all from those with one.
    def __init__(self, threads: int) -> None:
        self._lock = threading.Lock()
        self._sources: set[_Source] = set()
        self._keyed = threading.BoundedSemaphore(threads // 2)
        self._keyless = threading.BoundedSemaphore(threads // 4)

    @contextmanager
    def place(self, *, has_key: bool) -> Iterator[None]:
        places = self._keyed if has_key else self._keyless
        if not places.acquire(blocking=False):
            raise Busy("too many bodies are coming in at once")
        try:
            yield
        finally:
            places.release()

    @contextmanager
    def watching(self, source: _Source) -> Iterator[None]:
        with self._lock:
            self._sources.add(source)
        try:
            yield
        finally:
            with self._lock:
                self._sources.discard(source)

    def end_slow(self) -> None:
        now = time.monotonic()
        with self._lock:
            for source in self._sources:
                if source.socket is not None and not source.is_over and source.is_late(now):
                    source.is_ended = True
                    with suppress(OSError):
                        source.socket.shutdown(socket.SHUT_RD)
