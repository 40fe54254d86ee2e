"""Hourly stats: counted in memory, stored once, kept after a failed flush."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from freezegun import freeze_time

from gfil import create_app
from gfil.config import Settings
from gfil.server.gunicorn_conf import FLUSH_S
from gfil.store import hourly_stats
from gfil.store.engine import connection
from gfil.web.request import metrics
from gfil.web.request.hourly_stats import HourlyCounts
from gfil.web.request.route import route
from tests.conftest import limit_s, wait_for
from tests.web.request.test_auth import files_limited_to

HOUR = 1_700_006_400  # 2023-11-15T00:00Z
DAY = 86400


@pytest.fixture
def app(settings: Settings) -> Flask:
    return create_app(settings)


def flush(app: Flask, now: float = HOUR) -> None:
    counted: HourlyCounts = app.extensions["hourly_stats"]
    counted.flush(app.extensions["writer"], now)


def stored(app: Flask, start: float = 0) -> dict[str, tuple[int, dict[str, int], dict[str, int]]]:
    """Requests, rows and reasons of each kind with counts."""
    db = connection.connect(app.config["SETTINGS"].db, readonly=True)
    _, found = hourly_stats.summarise(db, start, HOUR + DAY)
    db.close()
    return {
        each.kind: (each.requests, each.rows, each.reasons)
        for each in found
        if each.requests or each.rows
    }


def test_successful_reads_are_counted_and_others_not(app: Flask) -> None:
    client = app.test_client()
    for path in ("/", "/api/v1/symbols", "/api/v1/symbols", "/chart/NONE", "/healthz", "/login"):
        client.get(path)
    flush(app)
    assert stored(app) == {"pages": (1, {}, {}), "reads": (2, {}, {})}


def test_upload_is_counted_under_the_kind_of_its_rows(app: Flask) -> None:
    @route(app, "POST", "/upload", scope="open")
    def upload() -> str:
        for _ in range(2):
            metrics.count_rows("candles", {"updated": 4, "rejected": 1}, {"low_high": 1})
        return "done"

    app.test_client().post("/upload")
    flush(app)
    rows = {"updated": 8, "rejected": 2}
    assert stored(app) == {"candles": (1, rows, {"low_high": 2})}


def test_flushed_counts_are_not_stored_again(app: Flask) -> None:
    app.test_client().get("/")
    for _ in range(3):
        flush(app)
    assert stored(app) == {"pages": (1, {}, {})}
    db = connection.connect(app.config["SETTINGS"].db, readonly=True)
    assert connection.read_state(db)[1] == 0  # no change is counted
    db.close()


def test_flush_without_counts_writes_nothing(app: Flask) -> None:
    before = app.config["SETTINGS"].db.stat().st_mtime_ns
    flush(app)
    assert app.config["SETTINGS"].db.stat().st_mtime_ns == before


def test_failed_flush_is_stored_by_the_next(app: Flask) -> None:
    app.test_client().get("/")
    with files_limited_to(0):
        flush(app)
    assert stored(app) == {}
    app.test_client().get("/")
    wait_for(lambda: flush(app) or stored(app), "a disk that is trusted again")
    assert stored(app) == {"pages": (2, {}, {})}


def test_stopping_worker_waits_for_the_lock_with_a_limit(app: Flask) -> None:
    app.test_client().get("/")
    other = connection.connect(app.config["SETTINGS"].db)
    with connection.transaction(other):
        app.extensions["jobs"].start()
        began = time.monotonic()
        app.extensions["jobs"].stop()
        assert time.monotonic() - began < limit_s(FLUSH_S)
    other.close()
    assert stored(app) == {}
    flush(app)
    assert stored(app) == {"pages": (1, {}, {})}


def test_counts_survive_a_missing_database(app: Flask) -> None:
    path: Path = app.config["SETTINGS"].db
    app.test_client().get("/")
    path.rename(path.with_suffix(".away"))
    flush(app)
    assert not path.exists()
    path.with_suffix(".away").rename(path)
    flush(app)
    assert stored(app) == {"pages": (1, {}, {})}


def test_counts_are_kept_by_hour_and_old_hours_dropped(app: Flask) -> None:
    client = app.test_client()
    for hour, times in ((0, 1), (1, 2), (31 * 24, 4)):
        with freeze_time(datetime.fromtimestamp(HOUR + hour * 3600, UTC)):
            for _ in range(times):
                client.get("/")
    flush(app, HOUR + 3600)
    assert stored(app) == {"pages": (7, {}, {})}
    assert stored(app, HOUR + 3600) == {"pages": (6, {}, {})}
    client.get("/")
    flush(app, HOUR + 31 * DAY)
    assert stored(app, HOUR + 31 * DAY)["pages"][0] >= 4
    assert stored(app, 0) == stored(app, HOUR + 31 * DAY)


def test_counts_of_two_workers_add_up(settings: Settings) -> None:
    for app in (create_app(settings), create_app(settings)):
        app.test_client().get("/")
        flush(app)
    assert stored(app) == {"pages": (2, {}, {})}
