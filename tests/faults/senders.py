"""HTTP clients that send each request, under its Idempotency-Key, until it is stored.

A client that got no answer does not know what became of its request. It sends it again, under the
same Idempotency-Key.
"""

import contextlib
import http.client
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
import pytest

from gfil.store import api_keys
from gfil.store.engine import connection
from tests.oracle.candles import Candle, Tick

TIMEOUT_S = 60
RETRY_S = 0.02
GIVE_UP_S = 120
REPEATED = 0.1  # of all groups of ticks
REORDERED_MSC = 2000
FIELDS = ("time_msc", "bid", "ask", "last", "volume", "flags")


class Job(NamedTuple):
    """One request. `name` is its Idempotency-Key."""

    name: str
    path: str
    body: bytes


class Done(NamedTuple):
    """An acknowledged request with its answer."""

    job: Job
    answer: dict[str, Any]
    time: float  # by time.monotonic


def make_key(database: Path, scope: str = "write") -> str:
    """Return the secret of a new key; create the database if it is missing."""
    connection.create(database)
    with contextlib.closing(connection.connect(database)) as db, connection.transaction(db):
        return api_keys.create(db, "sender", scope, now=int(time.time()))[1]


def tick_job(name: str, symbol: str, ticks: Iterable[Tick]) -> Job:
    """Return a request with ticks of one symbol."""
    objects = [{"symbol": symbol, **dict(zip(FIELDS, tick, strict=True))} for tick in ticks]
    return Job(name, "/api/v1/ticks", orjson.dumps({"ticks": objects}))


def candle_job(name: str, symbol: str, rows: Iterable[tuple[int, Candle]]) -> Job:
    """Return a request with M1 of one symbol."""
    body = orjson.dumps([[time, *values] for time, values in rows])
    return Job(name, f"/api/v1/candles?symbol={symbol}&tf=M1", body)


def shuffle(rng: random.Random, ticks: Sequence[Tick]) -> list[list[Tick]]:
    """Group ticks by millisecond, reorder them within two seconds, repeat some."""
    placed = []
    for time_msc, group in groupby(ticks, key=lambda tick: tick[0]):
        some = list(group)
        for _ in range(1 + (rng.random() < REPEATED)):
            placed.append((time_msc + rng.uniform(0, REORDERED_MSC), some))
    return [some for _, some in sorted(placed, key=lambda pair: pair[0])]


def distinct(ticks: Iterable[Tick]) -> list[Tick]:
    """Return distinct ticks in their order."""
    return sorted(dict.fromkeys(ticks), key=lambda tick: tick[0])


def tick_jobs(
    rng: random.Random, symbol: str, ticks: Sequence[Tick], groups_of_job: int
) -> list[Job]:
    """Return requests for all ticks, as unreliable senders send them."""
    groups = shuffle(rng, ticks)
    jobs = []
    for at in range(0, len(groups), groups_of_job):
        batch = [tick for group in groups[at : at + groups_of_job] for tick in group]
        jobs.append(tick_job(f"{symbol}-{at}", symbol, batch))
    return jobs


class Senders:
    """Concurrent clients; each takes the next request once its last one is stored.

    `url` is called before each attempt, because a server may restart at another port. A share of
    the answers is lost after the server has stored the request. A client rests after each request.
    """

    def __init__(
        self,
        url: Callable[[], str],
        secret: str,
        jobs: Iterable[Job],
        rng: random.Random,
        *,
        clients: int = 4,
        lost: float = 0.0,
        rest_s: float = 0.0,
    ) -> None:
        self.done: list[Done] = []
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []
        self._url = url
        self._headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        self._lost, self._rest_s = lost, rest_s
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in jobs:
            self._jobs.put(job)
        seeds = [rng.random() for _ in range(clients)]
        self._threads = [threading.Thread(target=self._work, args=(seed,)) for seed in seeds]

    def start(self) -> None:
        """Start all clients."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Wait until every request is stored."""
        for thread in self._threads:
            thread.join()
        if self.failures:
            pytest.fail("; ".join(self.failures))

    def __enter__(self) -> "Senders":
        self.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.failures.append("stopped")  # the threads stop at their next attempt
        for thread in self._threads:
            thread.join()
        if kind is None:
            self.finish()

    @property
    def is_busy(self) -> bool:
        """Return whether any client still sends."""
        return any(thread.is_alive() for thread in self._threads)

    def _work(self, seed: float) -> None:
        rng = random.Random(seed)
        with contextlib.suppress(queue.Empty):
            while not self.failures:
                self._send_until_stored(self._jobs.get_nowait(), rng)
                time.sleep(self._rest_s)

    def _send_until_stored(self, job: Job, rng: random.Random) -> None:
        deadline = time.monotonic() + GIVE_UP_S
        while not self.failures:
            try:
                status, answer = self._send(job, is_lost=rng.random() < self._lost)
            except (OSError, http.client.HTTPException):
                status, answer = 0, b""
            self.statuses[status] += 1
            if status == 200:
                self.done.append(Done(job, orjson.loads(answer), time.monotonic()))
                return
            if status not in (0, 503) or time.monotonic() > deadline:
                self.failures.append(f"{job.name}: {status} {answer[:500]!r}")
            time.sleep(RETRY_S)

    def _send(self, job: Job, *, is_lost: bool) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(urlsplit(self._url()).netloc, timeout=TIMEOUT_S)
        try:
            headers = self._headers | {"Idempotency-Key": job.name}
            connection.request("POST", job.path, job.body, headers)
            if is_lost:
                connection.sock.recv(1)  # the answer has begun and is not read
                return 0, b""
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
