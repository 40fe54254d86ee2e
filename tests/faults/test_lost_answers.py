"""Lost answers: a request repeated under its Idempotency-Key changes the data once."""

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest

from gfil.store.engine import connection
from tests.conftest import Server
from tests.faults import workloads
from tests.faults.senders import Job, Senders, candle_job, make_key, tick_job
from tests.faults.sizes import LONG, seeded
from tests.oracle.database import check_derived

REQUESTS = 3000 if LONG else 300
FATES = ("delivered", "delivered", "cut in the request", "cut in the answer", "no answer")


class Proxy:
    """A TCP proxy, one request for each connection, that breaks some connections."""

    def __init__(self, upstream: str, rng: random.Random) -> None:
        self.fates: dict[str, int] = dict.fromkeys(FATES, 0)
        self._upstream = urlsplit(upstream)
        self._rng = rng
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                fate = self._rng.choice(FATES)
                self.fates[fate] += 1
                threading.Thread(target=self._pass_on, args=(client, fate), daemon=True).start()

    def _pass_on(self, client: socket.socket, fate: str) -> None:
        address = (self._upstream.hostname, self._upstream.port)
        with contextlib.suppress(OSError), client, socket.create_connection(address) as server:
            request = read_message(client)
            if fate == "cut in the request":
                server.sendall(request[:-20])
                return
            server.sendall(request)
            answer = read_message(server)
            if fate == "cut in the answer":
                client.sendall(answer[:-20])
            elif fate == "delivered":
                client.sendall(answer)


def read_message(peer: socket.socket) -> bytes:
    """Return one HTTP message with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data and (piece := peer.recv(65536)):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    while len(body) < length and (piece := peer.recv(65536)):
        data, body = data + piece, body + piece
    return data


@pytest.fixture
def proxied(server: Callable[..., Server], tmp_path: Path) -> Iterator[tuple[Server, Proxy, str]]:
    """A server, the proxy in front of it, and a key."""
    path = tmp_path / "gfil.db"
    secret = make_key(path)
    running = server(GFIL_DB=str(path))
    proxy = Proxy(running.url, seeded("proxy"))
    yield running, proxy, secret
    proxy.close()
    running.stop()


def make(rng: random.Random, count: int) -> tuple[list[Job], int]:
    """Return requests with ticks and candles, and the number of distinct rows."""
    jobs, sent = [], 0
    for number in range(count):
        start = workloads.DAY + number * 60
        if number % 3:
            ticks = workloads.ticks_of(rng, start * 1000, 4)
            jobs.append(tick_job(f"ticks {number}", "TICKS", ticks))
            sent += len(set(ticks))
        else:
            jobs.append(candle_job(f"candle {number}", "CANDLES", [(start, workloads.candle(rng))]))
            sent += 1
    return jobs, sent


def head(job: Job, secret: str) -> dict[str, str]:
    """Return the headers of a request."""
    return {"Authorization": f"Bearer {secret}", "Idempotency_Key": job.name}


def test_request_repeated_until_answered_is_stored_once(
    proxied: tuple[Server, Proxy, str],
) -> None:
    """EXACTLY-ONCE: one change for each request, and the first answer every time."""
    running, proxy, secret = proxied
    rng = seeded("lost answers")
    jobs, sent = make(rng, REQUESTS)
    with Senders(lambda: proxy.url, secret, jobs, rng) as senders:
        pass
    assert min(proxy.fates.values()) > 0
    answers = [done.answer for done in senders.done]
    assert sum(answer["inserted"] for answer in answers) == sent
    assert sorted(answer["change"] for answer in answers) == list(range(1, REQUESTS + 1))
    for job, answer, _ in senders.done:
        again = running.request("POST", job.path, job.body, **head(job, secret))
        assert again.headers["Idempotent-Replayed"] == "true"
        assert orjson.loads(again.body) == answer
    with contextlib.closing(connection.connect(running.db, readonly=True)) as db:
        check_derived(db)
        assert connection.read_state(db)[1] == REQUESTS


def test_request_sent_by_four_clients_at_once_is_stored_once(
    proxied: tuple[Server, Proxy, str],
) -> None:
    """EXACTLY-ONCE on any worker: all clients get the same answer."""
    running, _, secret = proxied
    rng = seeded("four at once")
    jobs, sent = make(rng, REQUESTS // 4)
    four_of_each = [job for job in jobs for _ in range(4)]
    with Senders(lambda: running.url, secret, four_of_each, rng, clients=4) as senders:
        pass
    answers = {done.job.name: done.answer for done in senders.done}
    assert [done.answer for done in senders.done] == [answers[job.name] for job, *_ in senders.done]
    assert len(senders.done) == len(four_of_each)
    assert sum(answer["inserted"] for answer in answers.values()) == sent
    with contextlib.closing(connection.connect(running.db, readonly=True)) as db:
        assert connection.read_state(db)[1] == len(jobs)
