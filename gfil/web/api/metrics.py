"""`GET /metrics`: the counters of all workers and gauges read at the request, for Prometheus."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import apsw
from flask import Blueprint, Response, current_app
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from gfil import prometheus_dir
from gfil.config import VERSION
from gfil.errors import GfilError
from gfil.maintenance import free_space
from gfil.store import maintenance_runs
from gfil.store.engine.connection import connect
from gfil.web.request.metrics import COUNTED, REGISTRY
from gfil.web.request.route import Content, route
from gfil.web.request.schema import TEXT

bp = Blueprint("metrics", __name__)

SCRAPE_TRIES = 5
EXAMPLE = (
    "# TYPE gfil_requests_total counter\n"
    'gfil_requests_total{method="GET",route="/api/v1/candles",status="2xx"} 981.0\n'
)


class Gauge(NamedTuple):
    """A value that is read at each request and is the same for all workers."""

    name: str
    sentence: str
    read: Callable[[Path], float]
    labels: Mapping[str, str] = {}


def _size(path: Path) -> float:
    # Only stat: opening and closing a file that SQLite has open drops its locks
    # (sqlite.org/howtocorrupt.html).
    return path.stat().st_size if path.exists() else 0


def _done_at(name: maintenance_runs.Name) -> Callable[[Path], float]:
    def read(database: Path) -> float:
        try:
            with contextlib.closing(connect(database, readonly=True)) as db:
                done = maintenance_runs.read_last_run(db, name)
        except (GfilError, apsw.Error):  # the counters are sent even if the database cannot be read
            return math.nan
        return done.time if done else 0

    return read


GAUGES = (
    Gauge("gfil_info", "Always 1.", lambda _: 1, {"version": VERSION}),
    Gauge("gfil_database_bytes", "Size of the database file.", _size),
    Gauge(
        "gfil_wal_bytes",
        "Size of its write-ahead log.",
        lambda database: _size(database.with_name(f"{database.name}-wal")),
    ),
    Gauge("gfil_disk_free_bytes", "Free space of its disk.", free_space.read_free_bytes),
    Gauge(
        "gfil_prune_last_success_timestamp_seconds",
        "Time of the last prune, UNIX seconds; 0: never.",
        _done_at("prune"),
    ),
    Gauge(
        "gfil_backup_last_success_timestamp_seconds",
        "Start of the last checked backup, UNIX seconds; 0: never.",
        _done_at("backup"),
    ),
)


class _Gauges(Collector):
    def __init__(self, database: Path) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        for gauge in GAUGES:
            family = GaugeMetricFamily(gauge.name, gauge.sentence, labels=[*gauge.labels])
            family.add_metric([*gauge.labels.values()], gauge.read(self._database))
            yield family


def describe() -> list[tuple[str, str, tuple[str, ...], str]]:
    """Return name, type, labels and sentence of every metric."""
    gauges = [(each.name, "gauge", tuple(each.labels), each.sentence) for each in GAUGES]
    return [*COUNTED, *gauges]


@route(bp, "GET", "/metrics", scope="key", answers=[Content(TEXT, "text/plain", EXAMPLE)])
def show_metrics() -> Response:
    """Metrics of all workers since the start of the server, as Prometheus text."""
    gauges = generate_latest(_Gauges(current_app.config["SETTINGS"].db))
    return current_app.response_class(
        _read_counters() + gauges, content_type=CONTENT_TYPE_PLAIN_0_0_4
    )


def _read_counters() -> bytes:
    folder = prometheus_dir.find()
    if folder is None:
        return generate_latest(REGISTRY)
    for _ in range(SCRAPE_TRIES):
        # A worker that starts may be writing its files just now: try again.
        with contextlib.suppress(*prometheus_dir.UNREADABLE, FileNotFoundError):
            return generate_latest(_WorkerFiles(folder.glob("*.db")))
    return generate_latest(_WorkerFiles(filter(_is_readable, folder.glob("*.db"))))


class _WorkerFiles(Collector):
    def __init__(self, files: Iterable[Path]) -> None:
        self._files = files

    def collect(self) -> Iterable[Metric]:
        found: Iterable[Metric] = MultiProcessCollector.merge(self._files)
        return found


def _is_readable(path: Path) -> bool:
    try:
        MultiProcessCollector.merge([path])
    except (*prometheus_dir.UNREADABLE, FileNotFoundError):
        return False
    return True
