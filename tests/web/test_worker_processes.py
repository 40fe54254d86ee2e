"""Several workers of a real server: shared metrics, logs and shutdown."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.mmap_dict import MmapedDict

from gfil import prometheus_dir
from gfil.store import api_keys
from gfil.store.engine import connection
from tests.conftest import Server, clean_environment, wait_for
from tests.web.request.test_metrics import Series, parse

START = Callable[..., Server]


def make_key(path: Path, scope: str = "read") -> str:
    db = connection.connect(path)
    with connection.transaction(db):
        _, secret = api_keys.create(db, scope, scope, now=1_700_000_000)
    db.close()
    return secret


def folder_of(server: Server) -> Path:
    """The metrics directory of the workers, which the master holds open."""
    links = Path(f"/proc/{server.process.pid}/fd").iterdir()
    targets = (link.readlink() for link in links)
    return next(target for target in targets if target.name.startswith(prometheus_dir.PREFIX))


def counting_workers(server: Server) -> set[int]:
    found = folder_of(server).glob("counter_*.db")
    return {int(path.stem.removeprefix("counter_")) for path in found} - {0}


def overviews(server: Server, secret: str) -> tuple[float, float]:
    """The number of answers of `/` in the counter and the histogram."""
    answer = server.get("/metrics", X_API_Key=secret)
    assert answer.status == 200
    found: Series = parse(answer.body.decode())
    labels = frozenset({"route": "/", "method": "GET", "status": "2xx"}.items())
    count = found.get(("gfil_requests_total", labels), 0.0)
    return count, found.get(("gfil_read_seconds_count", frozenset({("kind", "pages")})), 0.0)


def ask_both(server: Server) -> int:
    """Request `/` until two workers have answered; return the number of requests."""

    def has_answered(worker: int) -> bool:
        counted = MmapedDict.read_all_values_from_file(
            str(folder_of(server) / f"counter_{worker}.db")
        )
        return any('"route": "/"' in key for key, *_ in counted)

    asked = 0
    with ThreadPoolExecutor(8) as many:
        deadline = time.monotonic() + 120
        while sum(map(has_answered, counting_workers(server))) < 2:
            assert time.monotonic() < deadline, "one worker answers everything"
            assert {each.status for each in many.map(server.get, ["/"] * 16)} == {200}
            asked += 16
    return asked


@pytest.fixture
def own(server: START) -> Iterator[Server]:
    running = server(GFIL_WORKERS="2")
    yield running
    if running.process.poll() is None:
        running.stop()


def test_counts_of_a_killed_worker_are_kept(own: Server) -> None:
    secret = make_key(own.db)
    asked = 1 + ask_both(own)  # the first was the server's own, when it had started
    assert overviews(own, secret) == (asked, asked)
    victim = min(counting_workers(own))
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: len(own.events("worker_start")) == 3, "a new worker")
    assert overviews(own, secret) == (asked, asked)
    assert own.get("/").status == 200
    assert overviews(own, secret) == (asked + 1, asked + 1)


def test_counters_survive_restarts_of_all_workers_and_live_gauges_do_not(own: Server) -> None:
    secret = make_key(own.db)
    asked = 1
    killed: set[int] = set()
    for round_ in range(1, 4):
        asked += ask_both(own)
        workers = counting_workers(own) - killed
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        killed |= workers
        wait_for(lambda n=round_: len(own.events("worker_stop")) == 2 * n, "the end of both")
        wait_for(lambda n=round_: len(own.events("worker_start")) == 2 * n + 2, "two new workers")
    assert overviews(own, secret) == (asked, asked)
    live = {int(path.stem.rpartition("_")[2]) for path in folder_of(own).glob("gauge_live*.db")}
    assert not live & killed
    assert counting_workers(own) >= killed


def test_metrics_directory_is_removed_with_its_server(server: START) -> None:
    """At once after a clean end, at the next start after a kill."""
    ending, killed = server(), server()
    left, gone = folder_of(killed), folder_of(ending)
    assert left.stat().st_mode & 0o777 == 0o700
    ending.stop()
    assert not gone.exists()
    workers = [line["pid"] for line in killed.events("worker_start")]
    killed.stop(signal.SIGKILL)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), "their end")
    following = server(GFIL_DB=str(killed.db))
    assert not left.exists()
    assert overviews(following, make_key(killed.db)) == (1, 1)


def test_workers_continue_without_their_metrics_directory(own: Server) -> None:
    """A logout may remove files of /dev/shm; a new worker makes the directory again."""
    secret = make_key(own.db)
    ask_both(own)
    shutil.rmtree(folder := folder_of(own))
    for path in ("/", "/api/v1/symbols", "/healthz"):
        assert own.get(path).status == 200
    assert overviews(own, secret)[0] > 0
    os.kill(own.events("worker_start")[0]["pid"], signal.SIGKILL)
    wait_for(lambda: len(own.events("worker_start")) == 3, "a new worker")
    assert folder.is_dir()
    for _ in range(20):
        assert own.get("/metrics", X_API_Key=secret).status == 200


def sample(server: Server, secret: str, name: str, **labels: str) -> float:
    found = parse(server.get("/metrics", X_API_Key=secret).body.decode())
    return found.get((name, frozenset(labels.items())), 0.0)


def test_rows_of_all_workers_add_up_and_refused_rows_are_logged(own: Server) -> None:
    secret = make_key(own.db, "write")

    def post(number: int) -> int:
        ticks = [{"symbol": "EURUSD", "time_msc": 1_700_000_000_000 + number, "bid": 1.5, "ask": 2}]
        ticks.append(ticks[0] | {"time_msc": 4_000_000_000_000})
        body = json.dumps({"ticks": ticks}).encode()
        headers = {"X_API_Key": secret, "Content_Type": "application/json"}
        return own.request(
            "POST", "/api/v1/ticks", body, X_Request_ID=f"p{number}", **headers
        ).status

    with ThreadPoolExecutor(8) as many:
        assert set(many.map(post, range(40))) == {200}
        assert set(many.map(post, range(5))) == {200}  # the same again
    rows = {"name": "gfil_rows_total", "kind": "ticks"}
    counted = [
        sample(own, secret, **rows, outcome=outcome)
        for outcome in ("inserted", "duplicates", "rejected", "updated")
    ]
    assert counted == [40, 5, 45, 0]
    assert sample(own, secret, "gfil_rows_refused_total", kind="ticks", reason="future") == 45
    assert sample(own, secret, "gfil_ingest_seconds_count", kind="ticks") == 45
    lines = own.events("request")
    assert {line["request_id"] for line in lines} == {f"p{number}" for number in range(40)}
    assert {(line["status"], line["refused"]["future"], line["key"]) for line in lines} == {
        (200, 1, secret[5:13])
    }
    own.stop()
    ticks = figures(own.db)["ticks"]
    assert ticks["requests"] == 45
    assert ticks["rows"] == {"inserted": 40, "duplicates": 5, "rejected": 45}
    assert ticks["reasons"] == {"future": 45}


def test_checkpoints_of_the_elected_worker_are_counted(own: Server) -> None:
    secret, began = make_key(own.db, "write"), time.time()
    body = b'{"ticks":[{"symbol":"EURUSD","time_msc":1700000000000,"bid":1.5,"ask":2}]}'
    headers = {"X_API_Key": secret, "Content_Type": "application/json"}
    assert own.request("POST", "/api/v1/ticks", body, **headers).status == 200

    def last() -> float:
        return sample(own, secret, "gfil_checkpoint_last_success_timestamp_seconds")

    wait_for(lambda: last() >= began, "a checkpoint")  # after that of the key, perhaps
    assert sample(own, secret, "gfil_checkpoints_total", result="done") >= 1
    assert sample(own, secret, "gfil_checkpoints_total", result="failed") == 0
    assert last() <= time.time()


def figures(path: Path) -> dict[str, Any]:
    """The output of `gfil stats` by kind."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gfil", "stats", "--since", "24h", "--json"],
        env=clean_environment(GFIL_DB=str(path)),
        capture_output=True,
        check=True,
    )
    return {each["kind"]: each for each in json.loads(done.stdout)["kinds"]}


def test_hourly_stats_survive_a_restart(server: START) -> None:
    first = server(GFIL_WORKERS="2")
    asked = 1 + ask_both(first)
    first.stop()
    assert figures(first.db)["pages"]["requests"] == asked
    second = server(GFIL_WORKERS="2", GFIL_DB=str(first.db))
    second.get("/api/v1/symbols")
    second.stop()
    found = figures(first.db)
    assert (found["pages"]["requests"], found["reads"]["requests"]) == (asked + 1, 1)
    assert 0 < found["pages"]["p50_ms"] <= found["pages"]["p99_ms"]
