"""Metrics of one process: counters, labels and gauges of a scrape."""

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from flask import Flask
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.parser import text_string_to_metric_families

from gfil import create_app, prometheus_dir
from gfil.config import Settings
from gfil.store import api_keys, maintenance_runs
from gfil.store.engine import connection
from gfil.web.api.metrics import describe
from gfil.web.request import metrics
from gfil.web.request.route import route
from tests.test_prometheus_dir import DAMAGED, ENTRY

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: str) -> Series:
    """Every sample of a scrape by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def app(settings: Settings) -> Flask:
    return create_app(replace(settings, read="key"))


@pytest.fixture
def key(settings: Settings) -> dict[str, str]:
    """The header of a key of the scope admin."""
    db = connection.connect(settings.db)
    with connection.transaction(db):
        _, secret = api_keys.create(db, "all", "admin", now=1_700_000_000)
    db.close()
    return {"X-API-Key": secret}


class Growth:
    """Growth of samples since this object was made: the tests of a process share the counters."""

    def __init__(self, app: Flask, key: dict[str, str]) -> None:
        self._client, self._key = app.test_client(), key
        self._before = self._scrape()

    def _scrape(self) -> Series:
        answer = self._client.get("/metrics", headers=self._key)
        assert answer.status_code == 200
        assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
        return parse(answer.text)

    def __call__(self, name: str, **labels: str) -> float:
        found = (name, frozenset(labels.items()))
        return self._scrape().get(found, 0.0) - self._before.get(found, 0.0)


@pytest.fixture
def growth(app: Flask, key: dict[str, str]) -> Growth:
    return Growth(app, key)


def test_answer_is_counted_under_its_route_and_class(
    app: Flask, key: dict[str, str], growth: Growth
) -> None:
    client = app.test_client()
    for _ in range(3):
        client.get("/api/v1/symbols", headers=key)
        client.get("/api/v1/symbols/NONE", headers=key)
        client.get("/chart/NONE", headers=key)
    client.get("/api/v1/symbols")
    requests = {"name": "gfil_requests_total", "method": "GET"}
    assert growth(**requests, route="/api/v1/symbols", status="2xx") == 3
    assert growth(**requests, route="/api/v1/symbols", status="4xx") == 1
    assert growth(**requests, route="/api/v1/symbols/<symbol>", status="4xx") == 3
    assert growth(**requests, route="/chart/<symbol>", status="4xx") == 3
    assert growth("gfil_read_seconds_count", kind="reads") == 3
    assert growth("gfil_read_seconds_bucket", kind="reads", le="+Inf") == 3
    assert growth("gfil_read_seconds_count", kind="pages") == 0


def test_unknown_paths_and_methods_make_no_labels(app: Flask, growth: Growth) -> None:
    before = len(growth._before)
    client = app.test_client()
    for number in range(30):
        client.get(f"/nothing/{number}")
        client.open("/healthz", method=f"ODD{number}")
    assert growth("gfil_requests_total", route="none", method="GET", status="4xx") == 30
    assert growth("gfil_requests_total", route="none", method="other", status="4xx") == 30
    assert len(growth._scrape()) <= before + 4


def test_rows_are_counted_by_outcome_and_reason(settings: Settings, key: dict[str, str]) -> None:
    app = create_app(replace(settings, read="key"))

    @route(app, "POST", "/upload", scope="open")
    def upload() -> str:
        counts = {"rows": 10, "inserted": 7, "duplicates": 0, "rejected": 3}
        metrics.count_rows("ticks", counts, {"future": 2, "low_high": 1})
        metrics.count_rows("ticks", {"inserted": 5}, {})
        return "done"

    growth = Growth(app, key)
    app.test_client().post("/upload")
    rows = {"name": "gfil_rows_total", "kind": "ticks"}
    assert growth(**rows, outcome="inserted") == 12
    assert growth(**rows, outcome="rejected") == 3
    assert growth(**rows, outcome="rows") == 0
    assert growth("gfil_rows_refused_total", kind="ticks", reason="future") == 2
    assert growth("gfil_rows_refused_total", kind="ticks", reason="low_high") == 1
    assert growth("gfil_ingest_seconds_count", kind="ticks") == 1
    assert growth("gfil_ingest_seconds_count", kind="candles") == 0


def test_sizes_are_those_of_the_files(app: Flask, key: dict[str, str]) -> None:
    path: Path = app.config["SETTINGS"].db
    db = connection.connect(path)
    db.execute("CREATE TABLE filler (x); DROP TABLE filler")
    found = Growth(app, key)._before
    wal = path.with_name(path.name + "-wal")
    assert found["gfil_database_bytes", frozenset()] == path.stat().st_size
    assert found["gfil_wal_bytes", frozenset()] == wal.stat().st_size > 0
    assert found["gfil_disk_free_bytes", frozenset()] > 0
    db.close()


@pytest.fixture
def broken(db_path: Path) -> Iterator[apsw.Connection]:
    db = connection.connect(db_path)
    yield db
    db.close()


def test_known_series_start_at_0(app: Flask, key: dict[str, str]) -> None:
    """Otherwise a rate misses the first growth."""
    shown = {(name, labels) for name, labels in Growth(app, key)._before}
    for kind in ("ticks", "candles"):
        assert ("gfil_ingest_seconds_count", frozenset({("kind", kind)})) in shown
        labels = {"kind": kind, "outcome": "rejected"}
        assert ("gfil_rows_total", frozenset(labels.items())) in shown
    assert ("gfil_checkpoints_total", frozenset({("result", "failed")})) in shown


def test_sqlite_errors_are_counted(broken: apsw.Connection, growth: Growth) -> None:
    with pytest.raises(apsw.SQLError):
        broken.execute("SELEC")
    assert growth("gfil_sqlite_errors_total", code="SQLITE_ERROR") == 1
    with pytest.raises(apsw.ConstraintError):
        broken.execute("INSERT INTO store (id, epoch, change) VALUES (2, '', 0)")
    constraint = {"code": "SQLITE_CONSTRAINT_CHECK"}
    # A constraint is an error of the caller, not of SQLite.
    assert growth("gfil_sqlite_errors_total", **constraint) == 0


NAMELESS = pytest.param(struct.pack(ENTRY, 40, 0, 4, b"what", 0.0, 0.0), id="no name of a count")


@pytest.mark.parametrize("content", [*DAMAGED, NAMELESS])
def test_damaged_metric_file_does_not_hide_sound_ones(
    app: Flask,
    key: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
) -> None:
    folder = tmp_path / "counts"
    folder.mkdir()
    sound = MmapedDict(str(folder / "counter_11.db"))
    sound.write_value(mmap_key("sound", "sound_total", ["a"], ["b"], ""), 3.0, 0.0)
    sound.close()
    for name in ("counter_12.db", "gauge_max_0.db"):
        (folder / name).write_bytes(content)
    monkeypatch.setenv(prometheus_dir.VARIABLE, str(folder))
    assert Growth(app, key)._before["sound_total", frozenset({("a", "b")})] == 3


def test_every_metric_of_a_scrape_is_described(app: Flask, key: dict[str, str]) -> None:
    families = text_string_to_metric_families(app.test_client().get("/metrics", headers=key).text)
    shown = {(each.name, each.type, each.documentation) for each in families}
    described = {(name.removesuffix("_total"), kind, text) for name, kind, _, text in describe()}
    assert shown == described


@pytest.mark.parametrize("name", ["prune", "backup"])
def test_time_of_prune_and_backup_is_read_from_the_database(
    app: Flask, key: dict[str, str], settings: Settings, name: maintenance_runs.Name
) -> None:
    def read() -> float:
        answer = app.test_client().get("/metrics", headers=key)
        return parse(answer.text)[f"gfil_{name}_last_success_timestamp_seconds", frozenset()]

    assert read() == 0
    db = connection.connect(settings.db)
    with connection.transaction(db):
        maintenance_runs.record_run(db, name, {}, now=1_700_000_000)
    db.close()
    assert read() == 1_700_000_000
