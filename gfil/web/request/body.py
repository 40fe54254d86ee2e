"""Request bodies: read with a size limit and a deadline, decompressed, complete or refused."""

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
from gfil.wording import MB, format_count, format_number

CHUNK_BYTES = 256 * 1024
SMALL_BYTES = 8 * MB  # a body up to this is held in memory and stored in one transaction
GZIP_MAGIC = b"\x1f\x8b"
GZIP_WINDOW = 31  # zlib: expect a gzip header
GZIP_LAYERS_MAX = 2  # a compressed file, sent with Content-Encoding: gzip

# Deadline of a whole body: without one a few slow clients hold all threads for hours.
DEADLINE_S = 60.0
RATE_BYTES_PER_S = 50_000
WATCH_S = 1.0

# A form needs no key, so its limits are low.
FORM_BYTES_MAX = 4096
FORM_FIELDS_MAX = 10
FORM_DEADLINE_S = 5.0


class BodyTooLarge(TooLarge):
    """The body exceeds the limit of its route, `limit_bytes`."""

    def __init__(self, limit_bytes: int, hint: str) -> None:
        is_large = limit_bytes >= MB
        limit = (
            f"{format_number(limit_bytes // MB)} MB"
            if is_large
            else format_count(limit_bytes, "byte")
        )
        super().__init__(f"the decompressed body is larger than {limit}: {hint}")
        self.limit_bytes = limit_bytes

    @property
    def extra(self) -> Mapping[str, Any]:
        """The limit in bytes."""
        return {"limit_bytes": self.limit_bytes}


class Body:
    """A decompressed request body, read in chunks on demand.

    `announced` is its Content-Length, None for a chunked body.
    """

    def __init__(self, chunks: Iterator[bytes], announced: int | None) -> None:
        self._chunks = chunks
        self._announced = announced
        self._head: list[bytes] = []
        self.size_bytes = 0  # held in memory

    @cached_property
    def is_small(self) -> bool:
        """Whether the body has at most `SMALL_BYTES`; a small body is read whole into memory."""
        if (self._announced or 0) > SMALL_BYTES:
            return False  # without reading it into memory
        for chunk in self._chunks:
            self._head.append(chunk)
            self.size_bytes += len(chunk)
            if self.size_bytes > SMALL_BYTES:
                return False
        return True

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of a small body."""
        assert self.is_small
        digest = hashlib.sha256()
        for chunk in self._head:
            digest.update(chunk)
        return digest.digest()

    def __iter__(self) -> Iterator[bytes]:
        """Yield each chunk once.

        Raises:
            BadRequest: the body is truncated, or its chunked encoding or its gzip data is damaged.
            TooLarge: the body exceeds the limit of its route.
            TooSlow: the body passed its deadline.
        """
        while self._head:
            yield self._head.pop(0)
        yield from self._chunks


@contextmanager
def receive(limit_bytes: int, hint: str, deadline_s: float = DEADLINE_S) -> Iterator[Body]:
    """Read the body of this request, at most `limit_bytes` decompressed.

    `hint` advises the sender of a larger body, in the error.

    Raises:
        BadRequest, TooLarge, TooSlow: as reading the body.
        Busy: this process receives too many bodies already.
        UnsupportedEncoding: the Content-Encoding is not gzip.
    """
    release_read_db()  # a snapshot held for minutes would hold up checkpoints
    source = _Source(request.environ, deadline_s)
    if (source.length or 0) > limit_bytes:
        raise BodyTooLarge(limit_bytes, hint)
    guard: SlowBodyGuard = current_app.extensions["slow_body_guard"]
    with guard.place(has_key=g.get("key") is not None), guard.watching(source):
        chunks = _unpack(iter(source), limit_bytes, hint)
        yield Body(chunks, source.length)
        for _ in chunks:
            pass  # read the rest: a truncated body must be refused


def read_form() -> dict[str, str]:
    """Return the fields of the submitted form, the first value of each.

    Raises:
        BadRequest: the form is not UTF-8, or has too many fields.
        As `receive`.
    """
    with receive(FORM_BYTES_MAX, "a form takes less", FORM_DEADLINE_S) as body:
        content = b"".join(body)
    try:
        fields = parse_qs(content.decode(), errors="strict", max_num_fields=FORM_FIELDS_MAX)
    except ValueError:
        raise BadRequest("the body is not a form of this server") from None
    return {name: values[0] for name, values in fields.items()}


def _unpack(chunks: Iterator[bytes], limit_bytes: int, hint: str) -> Iterator[bytes]:
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise UnsupportedEncoding(f"Content-Encoding {encoding[:32]!r} is not supported: use gzip")
    is_packed = encoding.endswith("gzip")
    chunks = _limited(chunks, limit_bytes, hint)
    for _ in range(GZIP_LAYERS_MAX):
        if not is_packed:
            first, chunks = _peek(chunks)
            if first != GZIP_MAGIC:
                return chunks
        chunks, is_packed = _limited(_gunzip(chunks), limit_bytes, hint), False
    first, chunks = _peek(chunks)
    if first == GZIP_MAGIC:
        raise BadRequest("the body is compressed more than twice")
    return chunks


def _peek(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= len(GZIP_MAGIC):
            break
    return head[: len(GZIP_MAGIC)], chain([head], chunks)


def _limited(chunks: Iterator[bytes], limit_bytes: int, hint: str) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit_bytes:
            raise BodyTooLarge(limit_bytes, hint)
        yield chunk


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(GZIP_WINDOW)
    try:
        for data in chunks:
            while data:
                if member.eof:  # gzip data may have several members, and padding
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                    member = zlib.decompressobj(GZIP_WINDOW)
                yield member.decompress(data, CHUNK_BYTES)
                data = member.unused_data if member.eof else member.unconsumed_tail
        yield member.flush()
    except zlib.error:
        raise BadRequest("the gzip data of the body is damaged") from None
    if not member.eof:
        raise BadRequest("the gzip data of the body is truncated")


def _length(environ: Mapping[str, Any]) -> int | None:
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        return None
    text = environ.get("CONTENT_LENGTH") or "0"
    if not text.isascii() or not text.isdigit():
        raise BadRequest("Content-Length must be a number")
    return int(text)


def init_app(app: Flask) -> None:
    """Attach the guard against slow bodies, and add the job that runs it."""
    guard = SlowBodyGuard(app.config["SETTINGS"].threads)
    app.extensions["slow_body_guard"] = guard
    app.extensions["jobs"].add("slow_body_guard", WATCH_S, guard.end_slow)


class _Source:
    # The bytes as they arrive. After a client disconnects, gunicorn returns a shorter body and no
    # error, and so does Flask: only counting the bytes finds out.
    def __init__(self, environ: dict[str, Any], deadline_s: float) -> None:
        self.length = _length(environ)  # None: chunked
        self.received = 0
        self.socket = environ.get("gunicorn.socket")
        self.is_ended = False  # by the guard
        self.is_over = self.length == 0
        self._stream = environ["wsgi.input"]
        self._deadline_s = deadline_s
        self._waited_s = 0.0  # for the client only, not for the store
        self._waits_since: float | None = None

    def __iter__(self) -> Iterator[bytes]:
        while not self.is_over:
            wanted = CHUNK_BYTES
            if self.length is not None:
                wanted = min(wanted, self.length - self.received)
            self._waits_since = since = time.monotonic()
            chunk = self._read(wanted)
            self._waits_since = None  # first, or the guard may count this wait twice
            self._waited_s += time.monotonic() - since
            self.received += len(chunk)
            self.is_over = not chunk or self.received == self.length
            if self.is_ended:
                raise TooSlow(self._describe("arrived too slowly"))
            if self.length is not None and len(chunk) < wanted:
                raise BadRequest(self._describe("is truncated"))
            if chunk:
                yield chunk

    def _read(self, wanted: int) -> bytes:
        try:
            chunk: bytes = self._stream.read(wanted)
            return chunk
        except (BlockingIOError, TimeoutError):  # the listening socket's SO_RCVTIMEO
            self.is_over = True
            raise TooSlow(self._describe("stopped arriving")) from None
        except OSError:  # also gunicorn's NoMoreData inside a chunk
            self.is_over = True
            raise BadRequest(self._describe("is truncated")) from None
        except ParseException as error:
            self.is_over = True
            if self.is_ended:
                raise TooSlow(self._describe("arrived too slowly")) from None
            raise BadRequest(self._describe(f"is truncated or not chunked ({error})")) from None

    def _describe(self, event: str) -> str:
        of = "" if self.length is None else f" of {format_number(self.length)}"
        received = f"{format_number(self.received)}{of} bytes arrived"
        return f"the body {event}: {received}, nothing of the rest is stored"

    def is_late(self, now: float) -> bool:
        since = self._waits_since
        waited_s = self._waited_s + (0 if since is None else now - since)
        return waited_s > self._deadline_s + self.received / RATE_BYTES_PER_S


class SlowBodyGuard:
    """Ends bodies that pass their deadline, and limits how many a process receives concurrently.

    A read returns when it is complete or the socket was silent for seconds, so a client that sends
    one byte each second needs this guard on another thread. It shuts down the receiving half of the
    socket; the answer is still sent. Half of the threads may receive bodies of requests with a key,
    a quarter those without, so that neither takes the threads of all other requests.
    """

    def __init__(self, threads: int) -> None:
        self._lock = threading.Lock()
        self._sources: set[_Source] = set()
        self._keyed = threading.BoundedSemaphore(threads // 2)
        self._keyless = threading.BoundedSemaphore(threads // 4)

    @contextmanager
    def place(self, *, has_key: bool) -> Iterator[None]:
        """Hold one of the places for bodies.

        Raises:
            Busy: every place is taken.
        """
        places = self._keyed if has_key else self._keyless
        if not places.acquire(blocking=False):
            raise Busy("too many bodies arrive at once")
        try:
            yield
        finally:
            places.release()

    @contextmanager
    def watching(self, source: _Source) -> Iterator[None]:
        """End the source if it passes its deadline inside the block."""
        with self._lock:
            self._sources.add(source)
        try:
            yield
        finally:
            with self._lock:
                self._sources.discard(source)

    def end_slow(self) -> None:
        """End the sources that have passed their deadline."""
        now = time.monotonic()
        with self._lock:
            for source in self._sources:
                if source.socket is not None and not source.is_over and source.is_late(now):
                    source.is_ended = True
                    with suppress(OSError):
                        source.socket.shutdown(socket.SHUT_RD)
