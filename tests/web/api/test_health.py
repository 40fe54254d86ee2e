"""`/healthz` and `/readyz`: alive, and ready or the reasons."""

from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from freezegun import freeze_time

from gfil import clocks, create_app
from gfil.config import Settings
from gfil.errors import GfilError
from gfil.store import symbols
from gfil.store.engine import connection
from tests.faults.disk import broken, mounted
from tests.web.request.test_auth import client_with, files_limited_to
from tests.web.walks import store, walk

WEEK = 7 * 86400
MONDAY = 1735516800  # 2024-12-30T00:00Z


def problems(client: FlaskClient, path: str = "/readyz") -> list[str]:
    """The problems of a 503 answer, which names no path of the machine."""
    answer = client.get(path)
    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")
    assert answer.json is not None
    told: list[str] = answer.json["problems"]
    assert {**answer.json, "request_id": ""} == {
        "type": "not_ready",
        "title": "Not ready",
        "status": 503,
        "detail": "; ".join(told),
        "problems": told,
        "request_id": "",
    }
    assert client.application.config["SETTINGS"].db.name not in answer.text
    assert "/" not in answer.text
    return told


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/readyz?stale=0", "/readyz?stale=1"])
def test_sound_server_is_alive_and_ready(settings: Settings, path: str) -> None:
    for client in (client_with(settings, "key"), client_with(settings, None, loopback=True)):
        answer = client.get(path, headers={"X-Forwarded-For": "203.0.113.9"})
        assert (answer.status_code, answer.json) == (200, {"status": "ok"})


@pytest.mark.parametrize("stale", ["2", "yes", "-1", "1&stale=1"])
def test_stale_must_be_a_flag(client: FlaskClient, stale: str) -> None:
    assert client.get(f"/readyz?stale={stale}").status_code == 400


def test_unreadable_database_is_not_ready(settings: Settings) -> None:
    client = client_with(settings, "public")
    pool = client.application.extensions["pool"]
    other = connection.connect(settings.db)
    with mounted() as disk:
        pool.release(pool.acquire())  # one that has read nothing but the schema
        disk.fault = lambda op: broken() if op.kind == "read" else None
        assert problems(client) == ["the database cannot be read"]
        disk.fault = None
        assert client.get("/readyz").status_code == 200
        pool.acquire().close()
    other.close()


def test_missing_database_is_not_ready(settings: Settings) -> None:
    client = client_with(settings, "public")
    settings.db.rename(settings.db.with_suffix(".away"))
    assert problems(client) == ["the database cannot be read"]
    assert client.get("/healthz").status_code == 200
    settings.db.with_suffix(".away").rename(settings.db)
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
def test_foreign_file_is_not_ready(settings: Settings, content: bytes) -> None:
    for path in settings.db.parent.glob(settings.db.name + "*"):
        path.unlink()
    settings.db.write_bytes(content)
    assert problems(client_with(settings, "public")) == ["the database cannot be read"]


def test_disk_below_its_floor_is_not_ready(settings: Settings) -> None:
    client = client_with(replace(settings, min_free_mb=1_000_000_000), "public")
    assert problems(client) == [
        "nothing is stored: less than GFIL_MIN_FREE_MB (1,000,000,000 MB) is free"
    ]
    assert client.get("/api/v1/symbols").status_code == 200


def test_failed_disk_is_not_ready_until_the_check(settings: Settings) -> None:
    app = create_app(settings)
    client, writer = app.test_client(), app.extensions["writer"]
    writer.failstop.join(lambda: None)  # as in a worker: a fresh one has to check
    with files_limited_to(0), pytest.raises(GfilError), writer.transaction() as connection:
        symbols.ensure(connection, "EURUSD")
    assert problems(client) == ["nothing can be stored: the disk failed"]
    assert client.get("/api/v1/symbols").json == {"symbols": []}
    writer.failstop.join(lambda: None)  # the fresh one
    assert writer.failstop.recover(settings.db)
    assert client.get("/readyz").status_code == 200


@pytest.fixture
def quiet(db_path: Path) -> Path:
    """Two symbols that trade on Mondays around noon; on the ninth Monday one is late."""
    for name, late_s in (("FRESH", 0), ("LATE", 3600)):
        for week in range(9):
            length = 120 if week < 8 else 120 - late_s // 60
            opened = MONDAY + week * WEEK + 11 * 3600
            store(db_path, name, walk(f"{name} {week}", opened, length))
    return db_path


def test_stale_symbols_are_counted_with_stale_1(client: FlaskClient, quiet: Path) -> None:
    def at(seconds: int) -> str:
        return clocks.format_instant(MONDAY + 8 * WEEK + 12 * 3600 + seconds)

    with freeze_time(at(9 * 60)):
        assert client.get("/readyz?stale=1").status_code == 200
    with freeze_time(at(10 * 60)):
        assert problems(client, "/readyz?stale=1") == ["stale: 1 of the symbols"]
        assert client.get("/readyz").status_code == 200
    with freeze_time(at(2 * 3600)):
        assert problems(client, "/readyz?stale=1") == ["stale: 1 of the symbols"]
    db = connection.connect(quiet)
    with connection.transaction(db):
        symbols.delete(db, symbols.read(db, "LATE"))
    db.close()
    with freeze_time(at(2 * 3600)):
        assert client.get("/readyz?stale=1").status_code == 200
