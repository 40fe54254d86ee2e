"""Hourly stats of this worker: counted in memory, stored once a minute."""

import threading
import time
from collections.abc import Mapping

import apsw
from flask import Flask, current_app

from gfil.errors import GfilError
from gfil.store import hourly_stats
from gfil.store.engine.connection import WRITER_WAIT_MS
from gfil.store.engine.pool import Writer
from gfil.store.hourly_stats import TOOK, HourlyStat
from gfil.timeframes import HOUR

FLUSH_S = 60
LAST_WAIT_MS = 1500  # for the lock at the end of a worker, which is killed soon after

Key = tuple[int, str, str, int]


class HourlyCounts:
    """Counts that are not stored yet; `app.extensions["hourly_stats"]`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Key, int] = {}

    def count(self, kind: str, name: str, number: int, bucket: int = 0) -> None:
        """Add a number to a count of the current hour."""
        key = (int(time.time()) // HOUR * HOUR, kind, name, bucket)
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + number

    def count_request(self, kind: str, took_s: float) -> None:
        """Count one request in the bucket of its duration."""
        self.count(kind, TOOK, 1, hourly_stats.bucket_of(took_s))

    def flush(self, writer: Writer, now: float, wait_ms: int = WRITER_WAIT_MS) -> None:
        """Store the counts; a failed flush keeps them for the next one."""
        with self._lock:
            counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            with writer.transaction(wait_ms) as db:
                hourly_stats.add(db, (HourlyStat(*key, count) for key, count in counts.items()))
                hourly_stats.drop_old(db, now)
        except (GfilError, apsw.Error):
            self._restore(counts, now)

    def _restore(self, counts: Mapping[Key, int], now: float) -> None:
        with self._lock:
            for key, count in counts.items():
                if key[0] > now - hourly_stats.RETENTION_S:
                    self._counts[key] = self._counts.get(key, 0) + count


def init_app(app: Flask) -> None:
    """Attach the counts to the application, and add the job that stores them."""
    counted, jobs = HourlyCounts(), app.extensions["jobs"]
    app.extensions["hourly_stats"] = counted

    def flush() -> None:
        wait_ms = LAST_WAIT_MS if jobs.stopping.is_set() else WRITER_WAIT_MS
        counted.flush(current_app.extensions["writer"], time.time(), wait_ms)

    jobs.add("hourly_stats", FLUSH_S, flush, at_exit=True)
