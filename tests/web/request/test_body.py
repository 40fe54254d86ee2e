"""Request bodies: length, compression, limits and deadlines."""

import gzip
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask, g
from freezegun import freeze_time
from gunicorn.http.body import Body as GunicornBody
from gunicorn.http.body import LengthReader
from gunicorn.http.unreader import SocketUnreader

from gfil import create_app
from gfil.config import Settings
from gfil.errors import BadRequest, Busy, GfilError, TooSlow, UnsupportedEncoding
from gfil.web.request import body as request_body
from gfil.web.request.body import MB, SMALL_BYTES, BodyTooLarge

TEXT = b"time,open\n" * 100


@pytest.fixture
def app(settings: Settings) -> Flask:
    """An application for requests made by hand."""
    return create_app(settings)


def receive(
    app: Flask, body: bytes, limit_mb: int = 20, deadline_s: float = 60, **environ: Any
) -> list[bytes]:
    """Return the pieces of a body as a route receives them."""
    given = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)} | environ
    with (
        app.test_request_context("/", method="POST", environ_overrides=given),
        request_body.receive(limit_mb * MB, "send less", deadline_s) as received,
    ):
        return list(received)


PACKED = {
    "as it is": (TEXT, {}),
    "declared": (gzip.compress(TEXT), {"HTTP_CONTENT_ENCODING": "gzip"}),
    "declared in capitals": (gzip.compress(TEXT), {"HTTP_CONTENT_ENCODING": "X-GZIP"}),
    "declared as nothing": (TEXT, {"HTTP_CONTENT_ENCODING": "identity"}),
    "not declared": (gzip.compress(TEXT), {}),
    "a packed file, packed": (
        gzip.compress(gzip.compress(TEXT)),
        {"HTTP_CONTENT_ENCODING": "gzip"},
    ),
    "in two members": (gzip.compress(TEXT[:50]) + gzip.compress(TEXT[50:]), {}),
    "with padding": (gzip.compress(TEXT) + bytes(100), {}),
    "an empty member first": (gzip.compress(b"") + gzip.compress(TEXT), {}),
}


@pytest.mark.parametrize("way", PACKED)
def test_body_is_decompressed(app: Flask, way: str) -> None:
    body, environ = PACKED[way]
    assert b"".join(receive(app, body, **environ)) == TEXT


REFUSED: dict[str, tuple[bytes, dict[str, str], type[GfilError]]] = {
    "shorter than it says": (TEXT, {"CONTENT_LENGTH": "1001"}, BadRequest),
    "a length that is no whole number": (TEXT, {"CONTENT_LENGTH": "1e3"}, BadRequest),
    "gzip cut": (gzip.compress(TEXT)[:-1], {}, BadRequest),
    "gzip damaged": (gzip.compress(TEXT)[:-8] + bytes(8), {}, BadRequest),
    "gzip and more": (gzip.compress(TEXT) + b"more", {}, BadRequest),
    "packed three times": (gzip.compress(gzip.compress(gzip.compress(TEXT))), {}, BadRequest),
    "no gzip": (TEXT, {"HTTP_CONTENT_ENCODING": "gzip"}, BadRequest),
    "brotli": (TEXT, {"HTTP_CONTENT_ENCODING": "br"}, UnsupportedEncoding),
    "too long": (TEXT, {"CONTENT_LENGTH": str(20 * MB + 1)}, BodyTooLarge),
    "a bomb": (gzip.compress(bytes(20 * MB + 1)), {}, BodyTooLarge),
    "a hidden bomb": (
        gzip.compress(b"\x1f") + gzip.compress(gzip.compress(bytes(20 * MB + 1))[1:]),
        {},
        BodyTooLarge,
    ),
}


@pytest.mark.parametrize("way", REFUSED)
def test_wrong_body_is_refused_with_its_status(app: Flask, way: str) -> None:
    body, environ, kind = REFUSED[way]
    with pytest.raises(GfilError) as refused:
        receive(app, body, **environ)
    assert type(refused.value) is kind
    if kind is BodyTooLarge:
        assert refused.value.extra == {"limit_bytes": 20 * MB}
        assert "20 MB" in refused.value.detail


def test_body_of_exactly_the_limit_is_allowed(app: Flask) -> None:
    whole = bytes(MB)
    assert b"".join(receive(app, whole, 1)) == whole
    assert b"".join(receive(app, gzip.compress(whole), 1)) == whole


@pytest.mark.parametrize(("size", "is_small"), [(SMALL_BYTES, True), (SMALL_BYTES + 1, False)])
def test_body_of_8_mb_is_small(app: Flask, size: int, is_small: bool) -> None:
    """The decompressed size decides."""
    for body, environ in (
        (bytes(size), {}),
        (bytes(size), {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}),
        (gzip.compress(bytes(size)), {}),
    ):
        given: dict[str, Any] = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        with (
            app.test_request_context("/", method="POST", environ_overrides=given | environ),
            request_body.receive(20 * MB, "") as received,
        ):
            assert received.is_small == is_small
            assert sum(map(len, received)) == size


def test_unread_rest_of_a_body_is_checked(app: Flask) -> None:
    given = {"CONTENT_LENGTH": str(10 * MB), "wsgi.input": io.BytesIO(bytes(9 * MB))}
    with (
        app.test_request_context("/", method="POST", environ_overrides=given),
        pytest.raises(BadRequest),
        request_body.receive(20 * MB, "") as received,
    ):
        next(iter(received))


@pytest.mark.parametrize(("key", "places"), [("a key", 4), (None, 2)])
def test_bodies_leave_threads_for_other_requests(
    settings: Settings, key: str | None, places: int
) -> None:
    """Half of the threads at most; requests without a key have places of their own."""
    app = create_app(replace(settings, threads=8))

    def begin(key: str | None, until: ExitStack) -> None:
        until.enter_context(app.test_request_context("/", method="POST", data=TEXT))
        g.key = key
        until.enter_context(request_body.receive(MB, "send less"))

    with ExitStack() as until:
        for _ in range(places):
            begin(key, until)
        with ExitStack() as refused, pytest.raises(Busy) as caught:
            begin(key, refused)
        assert (caught.value.status, caught.value.retry_after_s) == (503, 1)
        begin(None if key else "a key", until)
    with ExitStack() as after:
        begin(key, after)


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connected socket."""
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_slow_body_is_ended_and_answered(
    app: Flask, wire: tuple[socket.socket, socket.socket], eventually: Callable[..., Any]
) -> None:
    """A byte now and then keeps the socket from timing out."""
    ours, theirs = wire
    stream = GunicornBody(LengthReader(SocketUnreader(ours), 1000))
    failed: list[GfilError] = []

    def read() -> None:
        try:
            environ = {"wsgi.input": stream, "gunicorn.socket": ours}
            receive(app, bytes(1000), deadline_s=0.3, **environ)
        except GfilError as error:
            failed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    guard = app.extensions["slow_body_guard"]

    def drip() -> bool:
        with suppress(BrokenPipeError):
            theirs.send(b"x")
        guard.end_slow()
        return not reader.is_alive()

    eventually(drip, "the end of the body")
    assert [type(error) for error in failed] == [TooSlow]
    assert failed[0].status == 408
    ours.sendall(b"answer")
    assert theirs.recv(10) == b"answer"


def test_stopped_body_is_ended_by_the_socket_timeout(
    app: Flask, wire: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = wire
    theirs.send(b"x" * 10)
    ours.settimeout(0.05)
    stream = GunicornBody(LengthReader(SocketUnreader(ours), 1000))
    with pytest.raises(TooSlow, match="stopped arriving: 0 of 1,000 bytes arrived"):
        receive(app, bytes(1000), **{"wsgi.input": stream, "gunicorn.socket": ours})


def test_deadline_grows_with_the_received_bytes() -> None:
    """500 MB over a slow line take hours; time of the store does not count."""
    environ = {"CONTENT_LENGTH": str(500 * MB), "wsgi.input": io.BytesIO(bytes(MB))}
    source = request_body._Source(environ, request_body.DEADLINE_S)
    pieces = iter(source)
    next(pieces)
    now = time.monotonic()
    assert not source.is_late(now + 10 * request_body.DEADLINE_S)
    source._waits_since = now
    waits_s = request_body.DEADLINE_S + source.received / request_body.RATE_BYTES_PER_S
    assert not source.is_late(now + waits_s - 1)
    assert source.is_late(now + waits_s + 1)


def test_no_wait_counts_twice_whenever_the_guard_runs() -> None:
    looks: list[bool] = []

    class Looked(request_body._Source):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if self.__dict__.get("_waited_s"):
                looks.append(self.is_late(time.monotonic()))

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            clock.tick(40)
            return super().read(size)

    with freeze_time("2026-03-04T05:06:07Z") as clock:
        source = Looked({"CONTENT_LENGTH": "5", "wsgi.input": Slow(b"whole")}, 60)
        assert b"".join(source) == b"whole"
    assert set(looks) == {False}
