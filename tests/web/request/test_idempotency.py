"""Idempotency-Key: a request runs once, on any worker, also after a crash."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path
from signal import SIGKILL
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from freezegun import freeze_time
from werkzeug.test import TestResponse

from gfil.store import idempotency
from gfil.store.engine import connection
from gfil.web import jobs as worker_jobs
from tests.conftest import Answer, Server, wait_for
from tests.faults.senders import make_key
from tests.faults.sockets import START, candle_lines, tick_lines
from tests.store import model

CANDLES = "/api/v1/candles?symbol=X&tf=M1"
LINES = candle_lines(3)
HOURS = {
    "first": "2023-11-14T22:20:00Z",
    "next": "2023-11-15T22:19:59Z",
    "late": "2023-11-15T22:20:00Z",
}


class Sender:
    """A client that sends Idempotency-Keys."""

    def __init__(self, client: FlaskClient, secret: str) -> None:
        self.client = client
        self.secret = secret

    def send(
        self, key: str | None, body: Any = LINES, path: str = CANDLES, method: str = "POST"
    ) -> TestResponse:
        """Send a request under a name."""
        headers = {"X-API-Key": self.secret} | ({"Idempotency-Key": key} if key else {})
        data = {"json": body} if isinstance(body, dict) else {"data": body}
        return self.client.open(path, method=method, headers=headers, **data)  # type: ignore[arg-type]


@pytest.fixture
def sender(client: FlaskClient, db_path: Path) -> Sender:
    """A sender with the scope admin."""
    return Sender(client, make_key(db_path, "admin"))


def is_replayed(answer: TestResponse) -> bool:
    """Say whether the answer is a replayed one."""
    return answer.headers.get("Idempotent-Replayed") == "true"


def test_repeated_request_gets_its_first_answer(sender: Sender) -> None:
    first = sender.send("a")
    assert (first.status_code, is_replayed(first)) == (200, False)
    sender.send(None, LINES.replace(b"1.9", b"1.8"))
    again = sender.send("a")
    assert (again.status_code, again.data, is_replayed(again)) == (200, first.data, True)
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    candles = sender.client.get("/api/v1/candles?symbol=X&tf=M1").json
    assert candles is not None
    assert (candles["candles"][0][2], candles["change"]) == (1.8, 2)


def test_every_write_route_takes_an_idempotency_key(sender: Sender) -> None:
    sent = [
        ("POST", CANDLES, LINES),
        ("POST", "/api/v1/ticks", tick_lines("T", 3)),
        ("PATCH", "/api/v1/symbols/X", {"description": "gold"}),
        ("DELETE", f"/api/v1/candles?symbol=X&from={START}&to={START + 60}", b""),
        ("DELETE", "/api/v1/symbols/X", b""),
    ]
    for method, path, body in sent:
        first = sender.send("a", body, path, method)
        again = sender.send("a", body, path, method)
        assert (first.status_code, is_replayed(first)) == (200, False), path
        assert (again.status_code, again.data, is_replayed(again)) == (200, first.data, True), path


@pytest.mark.parametrize(
    ("path", "body"), [(CANDLES, candle_lines(4)), (CANDLES + "&mode=fill", LINES)]
)
def test_other_query_or_body_under_a_key_is_refused(sender: Sender, path: str, body: bytes) -> None:
    sender.send("a")
    answer = sender.send("a", body, path)
    assert answer.json is not None
    assert (answer.status_code, answer.json["type"]) == (422, "idempotency_key")
    candles = sender.client.get("/api/v1/candles?symbol=X&tf=M1").json
    assert candles is not None
    assert len(candles["candles"]) == 3


def test_refused_request_may_be_corrected_under_its_key(sender: Sender) -> None:
    assert sender.send("a", LINES, CANDLES + "&on_error=stop").status_code == 400
    assert sender.send("a", LINES + b"junk", CANDLES + "&on_error=abort").status_code == 422
    answer = sender.send("a")
    assert (answer.status_code, is_replayed(answer)) == (200, False)


@pytest.mark.parametrize("key", ["x" * 256, "\u00e9", "a\tb"])
def test_idempotency_key_is_printable_ascii(sender: Sender, key: str) -> None:
    answer = sender.send(key)
    assert answer.json is not None
    assert (answer.status_code, answer.json["type"]) == (400, "bad_request")
    assert sender.send("x" * 255).status_code == 200


def test_idempotency_record_is_kept_for_a_day(sender: Sender) -> None:
    with freeze_time(HOURS["first"]):
        sender.send("a")
    with freeze_time(HOURS["next"]):
        assert is_replayed(sender.send("a"))
    with freeze_time(HOURS["late"]):
        answer = sender.send("a", candle_lines(4))
        assert answer.json is not None
        assert (answer.json["inserted"], answer.json["unchanged"]) == (1, 3)


def test_expired_idempotency_records_are_trimmed_by_a_job(sender: Sender, db_path: Path) -> None:
    with freeze_time(HOURS["first"]):
        sender.send("a")
    jobs: worker_jobs.Jobs = sender.client.application.extensions["jobs"]
    (trim,) = (job for job in jobs.jobs if job.name == "requests")
    db = connection.connect(db_path, readonly=True)
    for hour, left in (("next", 1), ("late", 0)):
        with freeze_time(HOURS[hour]), sender.client.application.app_context():
            trim.run()
        assert len(idempotency.list_key_ids(db)) == left
    db.close()


def test_idempotency_keys_belong_to_an_api_key(sender: Sender, db_path: Path) -> None:
    sender.send("1")
    other = Sender(sender.client, make_key(db_path))
    answer = other.send("1", candle_lines(4))
    assert (answer.status_code, is_replayed(answer)) == (200, False)


@pytest.fixture
def running(server: Callable[..., Server]) -> Server:
    """Two workers."""
    return server(GFIL_WORKERS="2")


def test_request_sent_to_two_workers_at_once_runs_once(running: Server) -> None:
    secret = make_key(running.db)
    barrier = threading.Barrier(8)

    def send(number: int) -> Answer:
        barrier.wait()
        headers = {"X_API_Key": secret, "Idempotency_Key": f"n{number // 8}"}
        return running.request("POST", CANDLES, candle_lines(3 + number // 8), **headers)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(send, range(80)))
    assert {answer.status for answer in answers} == {200}
    for first in range(0, 80, 8):
        of_one = answers[first : first + 8]
        assert len({answer.body for answer in of_one}) == 1
        done = [answer for answer in of_one if "Idempotent-Replayed" not in answer.headers]
        assert len(done) == 1


def kill(running: Server) -> None:
    """Kill all processes of a server with SIGKILL."""
    master = running.process.pid
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    running.process.send_signal(SIGKILL)
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(int(child), SIGKILL)
    running.process.wait(30)
    wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children), "their end")


def test_idempotency_record_survives_kill_9(running: Server, server: Callable[..., Server]) -> None:
    secret = make_key(running.db)
    headers = {"X_API_Key": secret, "Idempotency_Key": "a"}
    first = running.request("POST", CANDLES, LINES, **headers)
    kill(running)
    fresh = server(GFIL_DB=str(running.db))
    again = fresh.request("POST", CANDLES, LINES, **headers)
    assert (again.status, again.body) == (first.status, first.body) == (200, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"


DAYS = 40
DELETE = f"/api/v1/candles?symbol=X&from={START - START % 86400}&to={START + DAYS * 86400}"
COUNTS = """
SELECT
    (SELECT COUNT(*) FROM candle WHERE kind > 0) + (SELECT COUNT(*) FROM superseded),
    (SELECT COUNT(*) FROM tick)
"""


def fill_days(path: Path) -> tuple[int, int]:
    """Write M1, H1 and ticks of many days; return the counts of stored candles and of ticks."""
    midnight = START - START % 86400
    minutes = [
        ((time, time + 60), (1.0, 2.0, 0.5, 1.5, 1.0))
        for time in range(midnight, midnight + (DAYS - 1) * 86400, 120)
    ]
    hours = [((time, time + 3600), (1.0, 2.0, 0.5, 1.5, 9.0)) for (time, _), _ in minutes[::30]]
    ticks = [((time + 60) * 1000, 1.0, 1.1, 0.0, 0.0, 6) for (time, _), _ in minutes[::15]]
    with closing(connection.connect(path)) as db:
        model.write(db, "X", "M1", minutes)
        model.write(db, "X", "H1", hours)
        model.write_ticks(db, "X", ticks)
        counts: tuple[int, int] = connection.query_one(db, COUNTS)
    return counts


def test_delete_counts_survive_kill_and_retry(server: Callable[..., Server], db_path: Path) -> None:
    """DELETE works in slices: killed between two, its repetition answers the sum of both."""
    candles, ticks = fill_days(db_path)
    running = server(GFIL_DB=str(db_path))
    headers = {"X_API_Key": make_key(db_path, "admin"), "Idempotency_Key": "a"}
    with (
        ThreadPoolExecutor(1) as threads,
        closing(connection.connect(db_path, readonly=True)) as db,
    ):
        lost = threads.submit(running.request, "DELETE", DELETE, **headers)
        wait_for(lambda: connection.query_one(db, COUNTS)[0] < candles, "the first slice")
        kill(running)
        with pytest.raises((OSError, HTTPException)):
            lost.result(30)
        left = connection.query_one(db, COUNTS)
        assert left[0] > 0, "the kill came after the last slice"
        fresh = server(GFIL_DB=str(db_path))
        again = fresh.request("DELETE", DELETE, **headers)
        assert again.status == 200
        assert connection.query_one(db, COUNTS) == (0, 0)
        _, change = connection.read_state(db)
        body = orjson.loads(again.body)
        assert body == {"deleted": candles, "ticks": ticks, "change": change, "warnings": []}
        replayed = fresh.request("DELETE", DELETE, **headers)
        assert (replayed.status, replayed.body) == (200, again.body)
        assert replayed.headers["Idempotent-Replayed"] == "true"


def test_delete_without_key_counts_its_own_rows_only(sender: Sender, db_path: Path) -> None:
    candles, ticks = fill_days(db_path)
    path = DELETE.replace("&to=", "&tf=H1&to=")
    hours = sender.send(None, b"", path, "DELETE").json
    assert hours is not None
    rest = sender.send(None, b"", DELETE, "DELETE").json
    assert rest is not None
    assert (hours["ticks"], rest["ticks"]) == (0, ticks)
    assert hours["deleted"] + rest["deleted"] == candles
    again = sender.send(None, b"", DELETE, "DELETE").json
    assert again == {"deleted": 0, "ticks": 0, "change": 0, "warnings": []}
