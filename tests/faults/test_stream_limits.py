"""Unread streams, vanished clients and expired keys: SLOW-CLIENT-PROOF."""

import contextlib
import ctypes
import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest

from gfil.store import api_keys
from gfil.store.engine import connection
from tests.conftest import Server, limit_s, wait_for
from tests.faults import workloads
from tests.faults.memory import GROWTH_MAX_MB, Worker
from tests.faults.senders import Senders, candle_job, make_key
from tests.faults.sizes import seeded
from tests.faults.viewers import Viewer, Viewers
from tests.server.test_gunicorn_conf import started

# Shorter limits of the product: 3 s instead of 30 s, 1 s instead of 15 s.
IMPATIENT = """
from gfil.web.stream import routes
routes.UNACKED_MS, routes.CHECK_S = 3000, 1.0
from gfil.cli import cli
cli()
"""
STREAMS = 5
FREE_MAX_S = limit_s(12.0)
LEFT_MAX_S = limit_s(5.0)
AT_ONCE_S = limit_s(2.0)
ROWS = 95  # the largest number of states sent together
LAST_CHUNK = b"\r\n0\r\n\r\n"
SUB = (workloads.SYMBOL, "M1", "UTC")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server with one worker, few streams, short limits, and keys required."""
    command = [sys.executable, "-c", IMPATIENT, "serve"]
    settings = {
        "GFIL_READ": "key",
        "GFIL_WORKERS": "1",
        "GFIL_STREAMS_MAX": str(STREAMS),
        "GFIL_THREADS": "24",
    }
    make_key(tmp_path / "a.db")
    with started(tmp_path, command, settings) as running:
        wait_for(lambda: is_up(running), "an answer")
        yield running


def is_up(running: Server) -> bool:
    with contextlib.suppress(OSError):
        return running.get("/healthz").status == 200
    return False


@pytest.fixture
def connect(own: Server) -> Iterator[Callable[..., socket.socket]]:
    """`connect(secret)`: a socket that has requested a stream; the fixture closes it."""
    with contextlib.ExitStack() as until:

        def ask(secret: str, receive_bytes: int = 65536) -> socket.socket:
            client = until.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            client.settimeout(60)
            place = urlsplit(own.url)
            client.connect((place.hostname, place.port))
            path = f"/api/v1/stream?sub={','.join(SUB)}"
            head = f"GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\n\r\n"
            client.sendall(head.encode())
            return client

        yield ask


def status(client: socket.socket) -> int:
    """Return the status of a stream, reading only its first bytes."""
    return int(client.recv(12).split()[1])


class _Filter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint),
    )


SO_ATTACH_FILTER = 26  # socket(7)
NOTHING = _Filter(0x06, 0, 0, 0)  # `return 0`: no byte of any packet comes through


def vanish(client: socket.socket) -> None:
    """Drop every packet to this client, as if its cable were pulled."""
    program = struct.pack("HL", 1, ctypes.addressof(NOTHING))
    client.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def rows(rng: random.Random) -> list[tuple[int, tuple[float, ...]]]:
    return [(start, row) for (start, _), row in workloads.minutes(rng, workloads.DAY, ROWS)]


def check_at_once(own: Server, secret: str) -> None:
    """Assert that pages, health and ingest answer while all streams are taken."""
    tick = {"symbol": "OTHER", "time_msc": 1000 * workloads.DAY, "bid": 1.5, "ask": 1.6}
    body = orjson.dumps({"ticks": [tick]})
    for method, path, sent in (
        ("GET", "/healthz", None),
        ("GET", f"/chart/{workloads.SYMBOL}", None),
        ("GET", f"/api/v1/candles?symbol={workloads.SYMBOL}&tf=M1", None),
        ("POST", "/api/v1/ticks", body),
    ):
        began = time.monotonic()
        answer = own.request(method, path, sent, X_API_Key=secret)
        assert answer.status == 200, (path, answer.body)
        assert time.monotonic() - began < AT_ONCE_S, path


def test_vanished_and_idle_clients_lose_their_streams_and_delay_no_request(
    own: Server, connect: Callable[..., socket.socket]
) -> None:
    """Two clients vanish, two read nothing and one reads all: every stream is taken."""
    rng = seeded("streams taken")
    secret = make_key(own.db)
    sending = Senders(
        lambda: own.url,
        secret,
        [candle_job(f"rows {number}", workloads.SYMBOL, rows(rng)) for number in range(120)],
        rng,
        clients=1,
        rest_s=0.05,
    )
    first = candle_job("first", workloads.SYMBOL, rows(rng))
    assert own.request("POST", first.path, first.body, X_API_Key=secret).status == 200
    worker = Worker(own)
    with Viewers(lambda: own.url, [Viewer([SUB], {"X-API-Key": secret})], rng) as viewers:
        gone = [connect(secret) for _ in range(2)]
        idle = [connect(secret, 4096) for _ in range(2)]
        assert [status(client) for client in gone + idle] == [200] * 4
        for client in gone:
            vanish(client)
        before = worker.begin()
        with sending:
            began = time.monotonic()
            refused = own.get(f"/api/v1/stream?sub={','.join(SUB)}", X_API_Key=secret)
            assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
            assert refused.headers["Content-Type"] == "application/problem+json"
            assert orjson.loads(refused.body)["detail"] == "all live streams are taken"
            check_at_once(own, secret)
            for client in take(connect, secret, STREAMS - 1, FREE_MAX_S):
                client.close()
            print(f"free after {time.monotonic() - began:.1f} s")
            check_at_once(own, secret)
        viewers.check()
        assert viewers.viewers[0].statuses == {200: 1}
        assert worker.peak() - before < GROWTH_MAX_MB


def take(
    connect: Callable[..., socket.socket], secret: str, count: int, within_s: float
) -> list[socket.socket]:
    """Return `count` streams that are open at the same time."""
    got: list[socket.socket] = []

    def comes() -> bool:
        client = connect(secret)
        if status(client) == 200:
            got.append(client)
        else:
            client.close()
        return len(got) == count

    wait_for(comes, f"{count} free streams", within_s)
    return got


def test_closed_stream_is_free_at_once(own: Server, connect: Callable[..., socket.socket]) -> None:
    secret = make_key(own.db)
    job = candle_job("first", workloads.SYMBOL, rows(seeded("left")))
    assert own.request("POST", job.path, job.body, X_API_Key=secret).status == 200

    def reset(client: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    ways: list[Callable[[socket.socket], None]] = [
        lambda client: client.close(),
        lambda client: client.shutdown(socket.SHUT_WR),
        reset,
    ]
    for leave in (*ways, None):
        taken = take(connect, secret, STREAMS, LEFT_MAX_S)
        assert status(connect(secret)) == 503
        for client in taken if leave else ():
            leave(client)


def test_stream_ends_with_its_key_and_others_go_on(
    own: Server, connect: Callable[..., socket.socket]
) -> None:
    secret, revoked = make_key(own.db), make_key(own.db, "read")
    job = candle_job("first", workloads.SYMBOL, rows(seeded("keys")))
    assert own.request("POST", job.path, job.body, X_API_Key=secret).status == 200
    with contextlib.closing(connection.connect(own.db)) as db, connection.transaction(db):
        now = int(time.time())
        _, expiring = api_keys.create(db, "expiring", "read", now=now, expires=now + 3)
    streams = [connect(key) for key in (revoked, expiring, secret)]
    assert [status(client) for client in streams] == [200] * 3
    for bad in ("", "gfil_aaaaaaaa_x"):
        assert status(connect(bad)) == 401
    with contextlib.closing(connection.connect(own.db)) as db, connection.transaction(db):
        api_keys.revoke(db, revoked.split("_")[1], now=int(time.time()))
    for ended in streams[:2]:
        seen = b""
        while not seen.endswith(LAST_CHUNK):
            seen += ended.recv(4096)
        assert seen.count(b"event: ") == 1  # the first heartbeat
    assert status(connect(revoked)) == status(connect(expiring)) == 401
    streams[2].recv(65536)
    again = candle_job("again", workloads.SYMBOL, rows(seeded("keys again")))
    assert own.request("POST", again.path, again.body, X_API_Key=secret).status == 200
    assert b"event: candle" in streams[2].recv(65536)
