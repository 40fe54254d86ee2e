"""Metrics: counters and histograms, and the functions that count requests and rows."""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import prometheus_client
from flask import Request, current_app, g, has_request_context
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

from gfil import logs, prometheus_dir
from gfil.maintenance.checkpoint import Checkpointer
from gfil.store.engine import sqlite_log
from gfil.store.hourly_stats import OUTCOMES
from gfil.web.request.route import find_route

READ_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
INGEST_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

REGISTRY = CollectorRegistry()
"""Counters and histograms of this process; `/metrics` adds up those of all workers."""

COUNTED: list[tuple[str, str, tuple[str, ...], str]] = []
"""Name, type, labels and sentence of each."""

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
    "gfil_requests_total", "Answered requests, by class of status.", "route", "method", "status"
)
READ = _histogram(
    "gfil_read_seconds",
    "Time until an answer was ready to be sent: `pages`, or `reads` of the API.",
    READ_BOUNDS_S,
)
INGEST = _histogram(
    "gfil_ingest_seconds",
    "Time from the request head until `ticks` or `candles` were stored.",
    INGEST_BOUNDS_S,
)
ROWS = _counter("gfil_rows_total", "Rows received over HTTP, by outcome.", "kind", "outcome")
REFUSED = _counter("gfil_rows_refused_total", "Refused rows, by reason.", "kind", "reason")
CHECKPOINTS = _counter(
    "gfil_checkpoints_total",
    "Checkpoints of the write-ahead log: `done`, `held_up` by readers that kept part of it from "
    "being copied, or `failed`.",
    "result",
)
CHECKPOINTED = _latest(
    "gfil_checkpoint_last_success_timestamp_seconds",
    "Time of the last complete checkpoint, UNIX seconds.",
)
STREAMS = _present("gfil_streams", "Open live streams.")
STREAMS_REFUSED = _counter(
    "gfil_streams_refused_total", "Live streams refused because of GFIL_STREAMS_MAX."
)
STREAM_RESETS = _counter("gfil_stream_resets_total", "Reset events sent to live streams.")
SQLITE_ERRORS = _counter(
    "gfil_sqlite_errors_total", "Errors in SQLite's own log, by result code.", "code"
)


def count_streams() -> int:
    """Return the number of open live streams of all workers."""
    folder = prometheus_dir.find()
    if folder is None:
        return int(REGISTRY.get_sample_value("gfil_streams") or 0)
    with contextlib.suppress(*prometheus_dir.UNREADABLE, FileNotFoundError):
        live = MultiProcessCollector.merge(folder.glob("gauge_livesum_*.db"))
        samples = (sample for metric in live for sample in metric.samples)
        return int(sum(each.value for each in samples if each.name == "gfil_streams"))
    return 0


class _Series(NamedTuple):
    # The series of requests with one endpoint, method and class of status.
    answers: Counter
    took: Histogram
    kind: str | None  # in the hourly stats; None: the time is not counted


_series: dict[tuple[str | None, str, int], _Series] = {}


def count_request(asked: Request, status: int, took_s: float, ingest: str | None) -> None:
    """Count an answered request and its duration.

    `ingest` is `ticks` or `candles` if the request brought rows, else None.
    """
    key = (asked.endpoint, asked.method, status // 100)
    series = _series.get(key) or _find_series(asked, *key)
    series.answers.inc()
    kind = ingest or series.kind
    if kind is None:
        return
    took = INGEST.labels(ingest) if ingest else series.took
    took.observe(took_s)
    current_app.extensions["hourly_stats"].count_request(kind, took_s)


def _find_series(asked: Request, endpoint: str | None, method: str, hundreds: int) -> _Series:
    rule = asked.url_rule  # None without a route: a label of the path would grow without limit
    known = method if method in METHODS else "other"
    answers = REQUESTS.labels(rule.rule if rule else "none", known, f"{hundreds}xx")
    declared = find_route(endpoint)
    if declared is None or declared.scope != "read" or hundreds > 3:
        series = _Series(answers, READ, None)
    else:
        kind = "pages" if declared.is_page else "reads"
        series = _Series(answers, READ.labels(kind), kind)
    if known == method:
        _series[endpoint, method, hundreds] = series
    return series


def count_rows(kind: str, counts: Mapping[str, int], reasons: Mapping[str, int]) -> None:
    """Count the outcomes of `ticks` or `candles` of a request or of one of its batches.

    `counts` are those of an import report; names that are no outcome are ignored.
    """
    stats = current_app.extensions["hourly_stats"]
    for outcome in OUTCOMES:
        if number := counts.get(outcome, 0):
            ROWS.labels(kind, outcome).inc(number)
            stats.count(kind, outcome, number)
    for reason, number in reasons.items():
        REFUSED.labels(kind, reason).inc(number)
        stats.count(kind, reason, number)
    if has_request_context():
        g.ingest_kind = kind
        for reason, number in reasons.items():
            refused = g.setdefault("refused", {})
            refused[reason] = refused.get(reason, 0) + number


def count_checkpoints(checkpointer: Checkpointer) -> Callable[[], None]:
    """Return a function that runs one round of checkpointing and counts its result."""

    def read_counts() -> dict[str, int]:
        held_up = checkpointer.held_up
        return {
            "done": checkpointer.done - held_up,
            "held_up": held_up,
            "failed": checkpointer.failed,
        }

    def run() -> None:
        before = read_counts()
        try:
            checkpointer.run()
        finally:
            for result, number in read_counts().items():
                if number > before[result]:
                    CHECKPOINTS.labels(result).inc(number - before[result])
                    if result == "done":
                        CHECKPOINTED.set_to_current_time()

    return run


def init_app() -> None:
    """Start the known series at 0, and count the errors that SQLite logs."""
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
    logs.log_event(logging.ERROR, "sqlite", code=name, detail=message)
