"""Idle and slow clients of the real server: SLOW-CLIENT-PROOF."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gfil.server import worker
from tests.conftest import Server, limit_s, wait_for
from tests.faults.senders import make_key
from tests.server.test_gunicorn_conf import started

HEALTHZ_MAX_S = limit_s(2.0)
THREADS = 8
CLIENTS = 4 * THREADS - 4  # the connection cap, less some for /healthz


@pytest.fixture(scope="module")
def small(server: Callable[..., Server]) -> Server:
    return server(
        GFIL_WORKERS="1", GFIL_THREADS=str(THREADS), GFIL_STREAMS_MAX="2", GFIL_READ="public"
    )


def connect(server: Server) -> socket.socket:
    place = urlsplit(server.url)
    return socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=120)


@contextlib.contextmanager
def clients(server: Server, sent: bytes) -> Iterator[list[socket.socket]]:
    """Open many connections that send the same bytes and then nothing.

    `KEY` in them stands for a key that may write.
    """
    sent = sent.replace(b"KEY", make_key(server.db).encode())
    made = [connect(server) for _ in range(CLIENTS)]
    try:
        for each in made:
            each.sendall(sent)
        yield made
    finally:
        for each in made:
            each.close()


def took_s(server: Server) -> float:
    began = time.monotonic()
    assert server.get("/healthz").status == 200
    return time.monotonic() - began


HEAD = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
LENGTH = b"Content-Length: 1000\r\n\r\n"
POST = b"POST /api/v1/ticks HTTP/1.1\r\nHost: a\r\nX-API-Key: KEY\r\n" + LENGTH
URLENCODED = b"Content-Type: application/x-www-form-urlencoded\r\n"
FORM = b"POST /login HTTP/1.1\r\nHost: a\r\n" + URLENCODED + LENGTH + b"key="


@pytest.mark.parametrize(
    "sent",
    [
        *(b"", b"G", HEAD, POST, POST + b"{", FORM),
        *(HEAD + b"Connection: close\r\n\r\n", HEAD + b"\r\n", HEAD + b"\r\n" + HEAD),
    ],
    ids=[
        *("nothing", "a byte", "half a head", "no body", "half a body", "half a form"),
        *("not closing", "kept", "one and a half"),
    ],
)
def test_idle_clients_up_to_the_cap_do_not_delay_healthz(small: Server, sent: bytes) -> None:
    with clients(small, sent):
        assert [took for _ in range(3) if (took := took_s(small)) > HEALTHZ_MAX_S] == []


def test_clients_that_read_no_answer_do_not_delay_healthz(small: Server) -> None:
    """Each sends many requests on one connection and reads nothing."""
    with clients(small, HEAD + b"\r\n" + (HEAD + b"\r\n") * 200):
        assert [took for _ in range(3) if (took := took_s(small)) > HEALTHZ_MAX_S] == []


@pytest.mark.parametrize(
    ("sent", "answers"),
    [(HEAD, {b""}), (FORM, {b"HTTP/1.1 408 ", b"HTTP/1.1 503 "})],
    ids=["heads", "forms"],
)
def test_clients_that_send_slowly_do_not_delay_healthz_and_are_closed(
    small: Server, sent: bytes, answers: set[bytes]
) -> None:
    with clients(small, sent) as dripping:
        end = threading.Event()

        def drip() -> None:
            while not end.wait(0.2):
                for each in dripping:
                    with contextlib.suppress(OSError):
                        each.sendall(b"X")

        dripper = threading.Thread(target=drip)
        dripper.start()
        try:
            assert took_s(small) < HEALTHZ_MAX_S
            for each in dripping:
                each.settimeout(2 * worker.HEAD_TIMEOUT_S)
                with contextlib.suppress(ConnectionResetError):
                    assert each.recv(13) in answers
        finally:
            end.set()
            dripper.join()


def test_request_head_in_pieces_is_answered_at_once(small: Server) -> None:
    with connect(small) as client:
        began = time.monotonic()
        for byte in HEAD + b"\r\n":
            client.sendall(bytes([byte]))
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
        assert time.monotonic() - began < HEALTHZ_MAX_S


def test_two_requests_in_one_packet_are_both_answered(small: Server) -> None:
    with connect(small) as client:
        client.sendall((HEAD + b"\r\n") * 2)
        got = b""
        while got.count(b"HTTP/1.1 200 OK") < 2:
            piece = client.recv(65536)
            assert piece
            got += piece


def test_endless_request_head_is_refused(small: Server) -> None:
    with connect(small) as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"x" * (worker.HEAD_BYTES_MAX))
        assert client.recv(100).startswith(b"HTTP/1.1 431 ")


FEW_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
from gfil.cli import cli
cli()
"""


def test_connections_beyond_the_file_limit_wait_for_a_free_one(tmp_path: Path) -> None:
    """The worker goes on and accepts waiting connections when others close."""
    command = [sys.executable, "-c", FEW_FILES, "serve"]
    own_settings = {"GFIL_WORKERS": "1", "GFIL_THREADS": "64", "GFIL_STREAMS_MAX": "2"}
    with started(tmp_path, command, own_settings) as own, contextlib.ExitStack() as until:
        first = [until.enter_context(connect(own)) for _ in range(120)]
        last = until.enter_context(connect(own))
        last.sendall(HEAD + b"\r\n")
        refused = "cannot accept another connection"
        wait_for(lambda: refused in own.log.read_text(), "a full worker")
        for each in first:
            each.close()
        assert last.recv(100).startswith(b"HTTP/1.1 200 OK")
        assert took_s(own) < HEALTHZ_MAX_S
        assert len(own.events("worker_start")) == 1
        assert len(own.log.read_text().splitlines()) < 50  # the warning is repeated rarely


def test_reset_connections_free_their_threads(small: Server) -> None:
    """Connections that are reset at any point."""
    for sent in (b"", HEAD, POST):
        for _ in range(CLIENTS):
            client = connect(small)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.sendall(sent)
            client.close()
    wait_for(lambda: took_s(small) < HEALTHZ_MAX_S, "an answer in time")
