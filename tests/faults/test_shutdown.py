"""Shutdown of workers on a real server: DRAIN at a restart, FAIL-STOP after an I/O error."""

import http.client
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest

from tests.conftest import Answer, Server, limit_s, wait_for
from tests.faults import workloads
from tests.faults.senders import Senders, distinct, make_key, tick_jobs
from tests.faults.sizes import seeded
from tests.faults.sockets import head_of, json_of, status_of, tick_lines
from tests.server.test_gunicorn_conf import started
from tests.store.engine.test_connection import HOLD, python

RESTART_MAX_S = limit_s(25.0)
RECOVER_MAX_S = limit_s(10.0)
FAULTY = """
import sys
from pathlib import Path
from tests.faults.disk import Disk, broken
flag = Path(sys.argv.pop(1))
disk = Disk()
disk.fault = lambda op: broken() if op.kind in ("write", "sync") and flag.exists() else None
from gfil.cli import cli
cli()
"""


def workers(server: Server) -> set[str]:
    pid = server.process.pid
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def post(server: Server, secret: str, time_msc: int = workloads.DAY * 1000) -> Answer:
    tick = {"symbol": "EURUSD", "time_msc": time_msc, "bid": 1.5, "ask": 1.6}
    return server.request(
        "POST", "/api/v1/ticks", orjson.dumps({"ticks": [tick]}), X_API_Key=secret
    )


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """`held()` lets another process hold the write lock until its input ends."""
    holders = []

    def hold() -> subprocess.Popen[str]:
        holder = python(HOLD, tmp_path / "gfil.db")
        holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        return holder

    yield hold
    for holder in holders:
        holder.kill()
        holder.communicate()


def test_post_in_its_transaction_is_answered_during_shutdown(
    server: Callable[..., Server],
    held: Callable[[], subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    secret = make_key(tmp_path / "gfil.db")
    own = server(GFIL_DB=str(tmp_path / "gfil.db"), GFIL_WORKERS="1")
    holder, body = held(), tick_lines("EURUSD", 1)
    kept = http.client.HTTPConnection(urlsplit(own.url).netloc, timeout=RESTART_MAX_S)
    assert not says_goodbye(kept)
    with connect(own) as client:
        client.sendall(head_of("/api/v1/ticks", secret, f"Content-Length: {len(body)}") + body)
        wait_for(lambda: is_taken(client), "a request that has begun")
        own.process.send_signal(signal.SIGTERM)
        wait_for(lambda: says_goodbye(kept), "a worker that ends")
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        holder.communicate("")
        client.settimeout(RESTART_MAX_S)
        answer = b"".join(iter(partial(client.recv, 65536), b""))
    assert (status_of(answer), json_of(answer)["inserted"]) == (200, 1)
    assert own.process.wait(RESTART_MAX_S) == 0


def connect(server: Server) -> socket.socket:
    place = urlsplit(server.url)
    return socket.create_connection((str(place.hostname), place.port or 0), RESTART_MAX_S)


def says_goodbye(kept: http.client.HTTPConnection) -> bool:
    kept.request("GET", "/healthz")
    answer = kept.getresponse()
    answer.read()
    return answer.will_close


def is_taken(client: socket.socket) -> bool:
    """Return whether the server has read all bytes that the client sent."""
    port = f":{client.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return any(row[2].endswith(port) and row[4].endswith(":00000000") for row in rows)


def test_shutdown_ends_in_time_with_misbehaving_clients(
    server: Callable[..., Server], tmp_path: Path
) -> None:
    """One sends half a head, one half a body, one takes no answer, one keeps its connection."""
    secret = make_key(tmp_path / "gfil.db")
    own = server(GFIL_DB=str(tmp_path / "gfil.db"), GFIL_READ="public")
    head = f"POST /api/v1/ticks HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\n".encode()
    get = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    clients = []
    for sent in (b"", head, head + b"Content-Length: 90\r\n\r\n{", get, get * 300):
        clients.append(connect(own))
        clients[-1].sendall(sent)
    began = time.monotonic()
    assert own.stop() == 0
    assert time.monotonic() - began < RESTART_MAX_S
    for client in clients:
        client.close()


def test_reload_under_load_loses_no_acknowledged_request(
    server: Callable[..., Server], tmp_path: Path
) -> None:
    rng = seeded("renewal")
    secret = make_key(tmp_path / "gfil.db")
    own = server(GFIL_DB=str(tmp_path / "gfil.db"), GFIL_READ="public")
    ticks = workloads.ticks_of(rng, workloads.DAY * 1000, 4000)
    jobs = tick_jobs(rng, "TICKS", ticks, 4)
    before = workers(own)
    with Senders(lambda: own.url, secret, jobs, rng) as senders:
        wait_for(lambda: len(senders.done) > 50, "some answers")
        own.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not before & workers(own), "new workers", RESTART_MAX_S)
    assert senders.statuses.keys() == {200}, senders.statuses
    inserted = sum(done.answer["inserted"] for done in senders.done)
    assert inserted == len(distinct(ticks))


def test_fresh_worker_checks_the_disk_after_an_io_error_before_it_acknowledges(
    tmp_path: Path,
) -> None:
    secret, flag = make_key(tmp_path / "a.db"), tmp_path / "the disk fails"
    command = [sys.executable, "-c", FAULTY, str(flag), "serve"]
    with started(tmp_path, command, {"GFIL_READ": "public"}) as own:
        wait_for(lambda: answers(own), "an answer")
        first = workloads.DAY * 1000
        assert post(own, secret, first).status == 200
        before = workers(own)
        flag.touch()
        failed = post(own, secret, first + 1000)
        assert (failed.status, failed.headers["Retry-After"]) == (503, "5")
        wait_for(lambda: before - workers(own), "a worker that ends", RECOVER_MAX_S)
        for _ in range(5):
            assert post(own, secret, first + 1000).status == 503
            assert own.get("/readyz").status == 503
            assert own.get("/api/v1/candles?symbol=EURUSD&tf=M1").status == 200
        flag.unlink()
        wait_for(lambda: own.get("/readyz").status == 200, "readiness", RECOVER_MAX_S)
        answer = orjson.loads(post(own, secret, first + 1000).body)
        assert (
            answer["inserted"] + answer["duplicates"] == 1
        )  # a failed sync may leave the tick stored
        assert orjson.loads(post(own, secret, first).body)["duplicates"] == 1


def answers(server: Server) -> bool:
    try:
        return server.get("/healthz").status == 200
    except OSError:
        return False


def test_write_waits_for_a_lock_held_three_seconds(
    server: Callable[..., Server], held: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    secret = make_key(tmp_path / "gfil.db")
    own = server(GFIL_DB=str(tmp_path / "gfil.db"), GFIL_READ="public")
    assert post(own, secret).status == 200
    holder = held()
    timer = threading.Timer(3.0, lambda: holder.communicate(""))
    timer.start()
    began = time.monotonic()
    assert post(own, secret, workloads.DAY * 1000 + 1000).status == 200
    assert time.monotonic() - began > 2.5
    timer.join()


def test_write_answers_503_while_a_lock_is_held_and_charts_still_answer(
    server: Callable[..., Server], held: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    """Each of several waiting requests gets 503 with Retry-After."""
    secret = make_key(tmp_path / "gfil.db")
    own = server(GFIL_DB=str(tmp_path / "gfil.db"), GFIL_READ="public")
    assert post(own, secret).status == 200
    held()
    took: list[tuple[int, str, float]] = []

    def send() -> None:
        began = time.monotonic()
        answer = post(own, secret, workloads.DAY * 1000 + 1000)
        took.append((answer.status, answer.headers["Retry-After"], time.monotonic() - began))

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    slowest = 0.0
    while any(sender.is_alive() for sender in senders):
        began = time.monotonic()
        assert own.get("/api/v1/candles?symbol=EURUSD&tf=M1").status == 200
        slowest = max(slowest, time.monotonic() - began)
    assert [(status, retry) for status, retry, _ in took] == [(503, "1")] * 4
    assert max(seconds for _, _, seconds in took) < limit_s(7.0)
    assert slowest < limit_s(2.0)
