"""Access log: which requests are logged, with which fields and request id."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from freezegun import freeze_time

from gfil import create_app
from gfil.config import Settings
from gfil.errors import BadRequest
from gfil.store import api_keys
from gfil.store.engine import connection
from gfil.web.request import access_log, auth, metrics
from gfil.web.request.parameters import text
from gfil.web.request.route import route
from tests.conftest import Server, wait_for


@pytest.fixture
def keys(settings: Settings) -> dict[str, tuple[str, str]]:
    """Id and secret of a key of each scope."""
    made = {}
    db = connection.connect(settings.db)
    with connection.transaction(db):
        for name in api_keys.SCOPES:
            key, secret = api_keys.create(db, name, name, now=1_700_000_000)
            made[name] = (key.id, secret)
    db.close()
    return made


@pytest.fixture
def app(settings: Settings) -> Flask:
    app = create_app(replace(settings, read="key"))

    @route(app, "POST", "/upload/<kind>", scope="write", parameters=[text("x", "Any.")])
    def upload(kind: str, x: str | None) -> str:
        if kind == "bad":
            raise BadRequest("cut short")
        if kind == "broken":
            raise RuntimeError("what nobody thought of")
        refused = {"future": 2} if kind == "refused" else {}
        metrics.count_rows("ticks", {"inserted": 1, "rejected": sum(refused.values())}, refused)
        return "done"

    return app


@pytest.fixture
def client(app: Flask, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    # Tests that ran in the same minute and process may have used up both limits.
    auth._bad_keys.clear()
    monkeypatch.setattr(access_log, "_allowance", access_log._Allowance())
    return app.test_client()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """The fields of every request logged since the last call, without id and time."""
    caplog.set_level(logging.INFO, "gfil")

    def read() -> list[dict[str, Any]]:
        facts = [
            {"level": record.levelname, **record.facts}  # type: ignore[attr-defined]
            for record in caplog.records
            if record.event == "request"  # type: ignore[attr-defined]
        ]
        caplog.clear()
        for each in facts:
            assert 0 <= each.pop("ms") < 10_000
            assert len(each.pop("request_id")) == 16
            assert each.pop("address") == "127.0.0.1"
        return facts

    return read


Logged = Callable[[], list[dict[str, Any]]]
Keys = dict[str, tuple[str, str]]


def test_successful_request_is_not_logged(client: FlaskClient, keys: Keys, logged: Logged) -> None:
    header = {"X-API-Key": keys["write"][1]}
    assert client.get("/api/v1/symbols", headers=header).status_code == 200
    assert client.get("/api/v1/symbols/NONE", headers=header).status_code == 404
    assert client.get("/nothing").status_code == 404
    assert client.post("/upload/good", headers=header).status_code == 200
    assert logged() == []


def test_refused_key_is_logged_with_its_id(client: FlaskClient, keys: Keys, logged: Logged) -> None:
    client.get("/api/v1/symbols?key=" + keys["read"][1])
    client.post("/upload/good", headers={"X-API-Key": keys["read"][1]})
    for _ in range(11):
        client.get("/api/v1/symbols", headers={"X-API-Key": "wrong"})
    first, second, *others = logged()
    common = {"level": "WARNING"}
    assert first == common | {
        "method": "GET",
        "path": "/api/v1/symbols",
        "status": 401,
        "detail": "a key is needed",
    }
    assert second == common | {
        "method": "POST",
        "path": "/upload/good",
        "status": 403,
        "key": keys["read"][0],
        "detail": "this key's scope is read; write is needed",
    }
    assert [each["status"] for each in others] == [401] * 10 + [429]


def test_failed_write_is_logged(client: FlaskClient, keys: Keys, logged: Logged) -> None:
    header = {"X-API-Key": keys["write"][1]}
    client.post("/upload/refused", headers=header)
    client.post("/upload/bad?x=1", headers=header)
    common = {"level": "WARNING", "method": "POST", "key": keys["write"][0]}
    assert logged() == [
        common | {"path": "/upload/refused", "status": 200, "refused": {"future": 2}},
        common | {"path": "/upload/bad", "status": 400, "detail": "cut short"},
    ]


def test_internal_error_is_one_line_with_its_traceback(
    client: FlaskClient, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    header = {"X-API-Key": keys["write"][1], "X-Request-ID": "mine-7"}
    answer = client.post("/upload/broken?x=1", headers=header)
    assert answer.status_code == 500
    assert answer.json == {
        "type": "internal_error",
        "title": "Internal error",
        "status": 500,
        "detail": "an internal error occurred; the log has the traceback",
        "request_id": "mine-7",
    }
    (record,) = (each for each in caplog.records if each.levelno >= logging.ERROR)
    line = json.loads(access_log.logs.JsonLines().format(record))
    assert "RuntimeError: what nobody thought of" in line["traceback"]
    told = (line["level"], line["event"], line["request_id"], line["path"], line["status"])
    assert told == ("error", "request", "mine-7", "/upload/broken", 500)


def test_slow_request_is_logged(
    client: FlaskClient, keys: Keys, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "SLOW_S", 0.0)
    client.get("/api/v1/symbols", headers={"X-API-Key": keys["read"][1]})
    assert [(each["path"], each["status"]) for each in logged()] == [("/api/v1/symbols", 200)]


def test_lines_per_minute_are_limited(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next minute logs the number of omitted lines; server errors are always logged."""
    monkeypatch.setattr(access_log, "LINES_PER_MINUTE_MAX", 3)
    with freeze_time("2026-01-01T00:00:00Z") as clock:
        for _ in range(10):
            client.get("/metrics")
        client.application.extensions["pool"].path = Path("none.db")
        assert client.get("/readyz").status_code == 503
        clock.tick(60)
        client.get("/metrics")
    told = [record.event for record in caplog.records]  # type: ignore[attr-defined]
    assert told == ["request"] * 4 + ["requests_left_out", "request"]
    assert caplog.records[4].facts == {"number": 7}  # type: ignore[attr-defined]


@pytest.mark.parametrize("sent", ["a", "A.b_c-9", "x" * 64])
def test_request_id_of_the_client_is_kept(client: FlaskClient, sent: str) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": sent}).headers["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a;b", "é", "<x>", "gfil_" + "a" * 52])
def test_invalid_request_id_is_replaced(client: FlaskClient, sent: str) -> None:
    made = {
        client.get("/healthz", headers={"X-Request-ID": sent}).headers["X-Request-ID"]
        for _ in range(2)
    }
    assert len(made) == 2
    assert all(len(each) == 16 and each.isalnum() for each in made)


def test_every_kind_of_answer_has_a_request_id(client: FlaskClient) -> None:
    for path in ("/", "/nothing", "/api/v1/symbols", "/readyz", "/login"):
        assert "X-Request-ID" in client.get(path).headers
    assert "X-Request-ID" in client.open("/healthz", method="BREW").headers


def test_secret_is_in_no_log_metric_or_error_page(server: Callable[..., Server]) -> None:
    own = server(GFIL_READ="key")
    db = connection.connect(own.db)
    with connection.transaction(db):
        _, secret = api_keys.create(db, "mine", "read", now=1_700_000_000)
        revoked, former = api_keys.create(db, "old", "read", now=1_700_000_000)
        api_keys.revoke(db, revoked.id, now=1_700_000_001)
    db.close()
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    answers = [
        answer
        for key in (secret, former, f"{secret}x")
        for answer in (
            own.get("/api/v1/symbols", X_API_Key=key),
            own.get("/api/v1/symbols", Authorization=f"Bearer {key}"),
            own.get(f"/api/v1/symbols/{key}?key={key}", X_API_Key=secret),
            own.get(f"/chart/{key}", X_API_Key=key),
            own.get(f"/{key}?{key}", X_Request_ID=key),
            own.get(f"/api/v1/candles?symbol={key}&tf={key}", X_API_Key=secret),
            own.get("/", Cookie=f"gfil_key={key}"),
            own.request("POST", "/login", f"key={key}".encode(), **form),
            own.request(key, f"/api/v1/symbols/{key}"),
        )
    ]
    metrics_answer = own.get("/metrics", X_API_Key=secret)
    wait_for(lambda: len(own.events("request")) >= 6, "the refused requests in the log")
    own.stop()
    places = [own.log.read_text(), metrics_answer.body.decode()]
    places += [str(answer.headers) for answer in answers]
    places += [answer.body.decode() for answer in answers if answer.status in (401, 403, 429, 500)]
    for key in (secret, former):
        assert [place for place in places if key[14:] in place] == []  # what follows its id
