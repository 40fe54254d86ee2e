"""Metrics over HTTP: `GET /metrics`, and the counting of what each request was and took."""

import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import apsw
import prometheus_client
from flask import Blueprint, Request, Response, current_app, g, has_request_context
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from gfil import logs, prometheus_dir
from gfil.config import VERSION
from gfil.errors import GfilError
from gfil.maintenance import free_space
from gfil.maintenance.checkpoint import Checkpointer
from gfil.store import maintenance_runs
from gfil.store.engine import sqlite_log
from gfil.store.engine.connection import connect
from gfil.store.hourly_stats import OUTCOMES
from gfil.web.request.scope import scope

bp = Blueprint("metrics", __name__)

READ_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
INGEST_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0)
PAGES = ("pages.", "status.")  # how the endpoints of pages begin
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
SCRAPE_TRIES = 5

REGISTRY = CollectorRegistry()
"""The counters and histograms of this process; under a server those of all its workers add up."""

COUNTED: list[tuple[str, str, tuple[str, ...], str]] = []
"""Their names, types, labels, and a sentence each."""

prometheus_client.disable_created_metrics()


def _counter(name: str, sentence: str, *labels: str) -> Counter:
    COUNTED.append((name, "counter", labels, sentence))
    return Counter(name, sentence, labels, registry=REGISTRY)


def _histogram(name: str, sentence: str, bounds: Sequence[float]) -> Histogram:
    COUNTED.append((name, "histogram", ("kind",), sentence))
    return Histogram(name, sentence, ("kind",), registry=REGISTRY, buckets=bounds)


def _latest(name: str, sentence: str) -> prometheus_client.Gauge:
    COUNTED.append((name, "gauge", (), sentence))
    mode: Literal["max"] = "max"
    return prometheus_client.Gauge(name, sentence, registry=REGISTRY, multiprocess_mode=mode)


def _present(name: str, sentence: str) -> prometheus_client.Gauge:
    COUNTED.append((name, "gauge", (), sentence))
    mode: Literal["livesum"] = "livesum"
    return prometheus_client.Gauge(name, sentence, registry=REGISTRY, multiprocess_mode=mode)


REQUESTS = _counter(
    "gfil_requests_total", "Answers, by class of status.", "route", "method", "status"
)
READ = _histogram(
    "gfil_read_seconds",
    "Time until an answer to a reader was ready to be sent: `pages`, or `reads` of programs.",
    READ_BOUNDS_S,
)
INGEST = _histogram(
    "gfil_ingest_seconds",
    "Time until `ticks` or `candles` were stored, from the request's head on.",
    INGEST_BOUNDS_S,
)
ROWS = _counter(
    "gfil_rows_total", "Rows that came over HTTP, by what became of them.", "kind", "outcome"
)
REFUSED = _counter("gfil_rows_refused_total", "The `rejected` rows by reason.", "kind", "reason")
CHECKPOINTS = _counter(
    "gfil_checkpoints_total",
    "Times the write-ahead log was copied into the database: `done`, `held_up` by readers who kept "
    "some of it from being copied, or `failed`.",
    "result",
)
CHECKPOINTED = _latest(
    "gfil_checkpoint_last_success_timestamp_seconds", "When all of it was copied last, UNIX time."
)
STREAMS = _present("gfil_streams", "Live streams that are open.")
STREAMS_REFUSED = _counter(
    "gfil_streams_refused_total", "Live streams for which there was no room (GFIL_STREAMS_MAX)."
)
STREAM_RESETS = _counter(
    "gfil_stream_resets_total", "Times a viewer was told to read anew instead of what changed."
)
SQLITE_ERRORS = _counter(
    "gfil_sqlite_errors_total", "Errors that SQLite logged by itself, by its names.", "code"
)


class Gauge(NamedTuple):
    """What is looked at when it is asked for, and is the same for all workers."""

    name: str
    sentence: str
    look: Callable[[Path], float]
    labels: Mapping[str, str] = {}


def _size(path: Path) -> float:
    # By stat alone: to open a file that SQLite has open would drop its locks.
    return path.stat().st_size if path.exists() else 0


def _done_at(name: maintenance_runs.Name) -> Callable[[Path], float]:
    def look(database: Path) -> float:
        try:
            with contextlib.closing(connect(database, readonly=True)) as db:
                done = maintenance_runs.read_last_run(db, name)
        except (GfilError, apsw.Error):  # what is counted is told whatever the database is like
            return math.nan
        return done.time if done else 0

    return look


GAUGES = (
    Gauge("gfil_info", "Always 1.", lambda _: 1, {"version": VERSION}),
    Gauge("gfil_database_bytes", "Size of the database file.", _size),
    Gauge(
        "gfil_wal_bytes",
        "Size of its write-ahead log.",
        lambda database: _size(database.with_name(f"{database.name}-wal")),
    ),
    Gauge("gfil_disk_free_bytes", "Room that is left on its disk.", free_space.read_free_bytes),
    Gauge(
        "gfil_prune_last_success_timestamp_seconds",
        "When it was pruned last, UNIX time; 0: never.",
        _done_at("prune"),
    ),
    Gauge(
        "gfil_backup_last_success_timestamp_seconds",
        "When its last checked backup was begun, UNIX time; 0: never.",
        _done_at("backup"),
    ),
)


class _Looked(Collector):
    # The gauges in the shape that the text is made from.
    def __init__(self, database: Path) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        for gauge in GAUGES:
            family = GaugeMetricFamily(gauge.name, gauge.sentence, labels=[*gauge.labels])
            family.add_metric([*gauge.labels.values()], gauge.look(self._database))
            yield family


def describe() -> list[tuple[str, str, tuple[str, ...], str]]:
    """Return name, type, labels and sentence of every metric there is."""
    looked = [(each.name, "gauge", tuple(each.labels), each.sentence) for each in GAUGES]
    return [*COUNTED, *looked]


@bp.get("/metrics")
@scope("key")
def read() -> Response:
    """Tell what all workers have counted since the server's start, in Prometheus' format."""
    looked = generate_latest(_Looked(current_app.config["SETTINGS"].db))
    return current_app.response_class(
        _read_counts() + looked, content_type=CONTENT_TYPE_PLAIN_0_0_4
    )


def count_streams() -> int:
    """Return how many live streams are open, of all workers."""
    folder = prometheus_dir.find()
    if folder is None:
        return int(REGISTRY.get_sample_value("gfil_streams") or 0)
    with contextlib.suppress(*prometheus_dir.UNREADABLE, FileNotFoundError):
        live = MultiProcessCollector.merge(folder.glob("gauge_livesum_*.db"))
        samples = (sample for metric in live for sample in metric.samples)
        return int(sum(each.value for each in samples if each.name == "gfil_streams"))
    return 0


def _read_counts() -> bytes:
    folder = prometheus_dir.find()
    if folder is None:
        return generate_latest(REGISTRY)
    for _ in range(SCRAPE_TRIES):
        # A worker that is starting may not have completed its files.
        with contextlib.suppress(*prometheus_dir.UNREADABLE, FileNotFoundError):
            return generate_latest(_Counted(folder.glob("*.db")))
    return generate_latest(_Counted(filter(_is_readable, folder.glob("*.db"))))


class _Counted(Collector):
    # What stands in the workers' files.
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


class _Of(NamedTuple):
    # What is counted of one sort of requests.
    answers: Counter
    took: Histogram
    kind: str | None  # of the hourly figures; None where its time is not counted


_counted: dict[tuple[str | None, str, int], _Of] = {}


def count_request(asked: Request, status: int, took_s: float, ingest: str | None) -> None:
    """Count a request that is answered with this status, and how long that took.

    `ingest` is the kind of the rows it brought, None where it brought none.
    """
    sort = (asked.endpoint, asked.method, status // 100)
    of = _counted.get(sort) or _sort(asked, *sort)
    of.answers.inc()
    kind = ingest or of.kind
    if kind is None:
        return
    took = INGEST.labels(ingest) if ingest else of.took
    took.observe(took_s)
    current_app.extensions["figures"].count_request(kind, took_s)


def _sort(asked: Request, endpoint: str | None, method: str, hundreds: int) -> _Of:
    rule = asked.url_rule  # None where no route was found: the path is anything a client thinks of
    known = method if method in METHODS else "other"
    answers = REQUESTS.labels(rule.rule if rule else "none", known, f"{hundreds}xx")
    is_read = endpoint and getattr(current_app.view_functions[endpoint], "scope", None) == "read"
    if not is_read or hundreds > 3:
        of = _Of(answers, READ, None)
    else:
        kind = "pages" if str(endpoint).startswith(PAGES) else "reads"
        of = _Of(answers, READ.labels(kind), kind)
    if known == method:
        _counted[endpoint, method, hundreds] = of
    return of


def count_rows(kind: str, counts: Mapping[str, int], reasons: Mapping[str, int]) -> None:
    """Count what became of rows, `ticks` or `candles`: of a request, or of one batch of it.

    `counts` has the outcomes of an import's report, whatever else it has is not looked at.
    """
    figures = current_app.extensions["figures"]
    for outcome in OUTCOMES:
        if number := counts.get(outcome, 0):
            ROWS.labels(kind, outcome).inc(number)
            figures.count(kind, outcome, number)
    for reason, number in reasons.items():
        REFUSED.labels(kind, reason).inc(number)
        figures.count(kind, reason, number)
    if has_request_context():
        g.ingest_kind = kind
        for reason, number in reasons.items():
            refused = g.setdefault("refused", {})
            refused[reason] = refused.get(reason, 0) + number


def counted(checkpointer: Checkpointer) -> Callable[[], None]:
    """Return a function that does one round of checkpointing and counts how it ended."""

    def look() -> dict[str, int]:
        held_up = checkpointer.held_up
        return {
            "done": checkpointer.done - held_up,
            "held_up": held_up,
            "failed": checkpointer.failed,
        }

    def run() -> None:
        before = look()
        try:
            checkpointer.run()
        finally:
            for result, number in look().items():
                if number > before[result]:
                    CHECKPOINTS.labels(result).inc(number - before[result])
                    if result == "done":
                        CHECKPOINTED.set_to_current_time()

    return run


def init_app() -> None:
    """Begin at 0 with what is sure to come, and count what SQLite complains of from now on."""
    for kind in ("pages", "reads"):
        READ.labels(kind)
    for kind in ("ticks", "candles"):
        INGEST.labels(kind)
        for outcome in OUTCOMES:
            ROWS.labels(kind, outcome)
    for result in ("done", "held_up", "failed"):
        CHECKPOINTS.labels(result)
    sqlite_log.listen(_note)


def _note(name: str, message: str) -> None:
    SQLITE_ERRORS.labels(name).inc()
    logs.say(logging.ERROR, "sqlite", code=name, detail=message)
