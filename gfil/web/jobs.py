"""Background jobs of a worker process, and the flag that ends its live streams."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Flask

from gfil.maintenance import checkpoint
from gfil.maintenance.checkpoint import Checkpointer
from gfil.store.engine.failstop import FailStop
from gfil.store.engine.pool import Writer
from gfil.web.request import metrics

WATCH_S = 0.25
CHECK_S = 0.5  # between checks whether a worker reported a failed write
LEAVE_S = 3

log = logging.getLogger("gfil")


@dataclass
class Job:
    """One periodic job; `failures` counts the runs that raised."""

    name: str
    interval_s: float
    run: Callable[[], object]
    at_exit: bool
    failures: int = 0
    has_failed: bool = False  # in the last run


class Jobs:
    """The jobs of one worker process, `app.extensions["jobs"]`; each has its own thread.

    Jobs run after `start`, which the server calls in each worker. Live streams and long jobs check
    `stopping` and end soon after it is set.
    """

    def __init__(self, app: Flask) -> None:
        self.stopping = threading.Event()
        self.is_running = False
        self.jobs: list[Job] = []
        self._app = app
        self._threads: list[threading.Thread] = []

    def add(
        self, name: str, interval_s: float, run: Callable[[], object], *, at_exit: bool = False
    ) -> None:
        """Add a job: `run()` is called every `interval_s` within an application context.

        A job that raises is logged and runs again. `at_exit`: the job runs once more after the last
        request of the worker.
        """
        self.jobs.append(Job(name, interval_s, run, at_exit))

    def start(self, is_leaving: Callable[[], bool] = lambda: False) -> None:
        """Start the jobs; `stopping` is set once `is_leaving()` returns true."""
        self.is_running = True
        self._spawn("watch", lambda: self._watch(is_leaving))
        for job in self.jobs:
            self._spawn(job.name, lambda job=job: self._repeat(job))  # type: ignore[misc]

    def stop(self, timeout_s: float = 1.0) -> None:
        """Stop the jobs, then run those with `at_exit` once more."""
        self.stopping.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for job in self.jobs:
            if job.at_exit:
                self._run_once(job)

    def _spawn(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=f"gfil-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _watch(self, is_leaving: Callable[[], bool]) -> None:
        while not self.stopping.wait(WATCH_S):
            if is_leaving():
                self.stopping.set()

    def _repeat(self, job: Job) -> None:
        while not self.stopping.wait(job.interval_s):
            self._run_once(job)

    def _run_once(self, job: Job) -> None:
        try:
            with self._app.app_context():
                job.run()
            job.has_failed = False
        except Exception as error:  # the next run may succeed
            job.failures += 1
            if not job.has_failed:  # log the first of consecutive failures
                log.error("the job %s failed: %s", job.name, error, exc_info=error)
            job.has_failed = True


def init_app(app: Flask) -> None:
    """Attach the jobs to the application, with those that maintain the database."""
    writer: Writer = app.extensions["writer"]
    app.extensions["jobs"] = jobs = Jobs(app)
    app.extensions["checkpointer"] = checkpointer = Checkpointer(writer)
    jobs.add("checkpoint", checkpoint.POLL_S, metrics.count_checkpoints(checkpointer))
    jobs.add("check", CHECK_S, lambda: writer.failstop.recover(writer.path))


def start(worker: Any, failstop: FailStop) -> None:
    """Start the jobs of a gunicorn worker; they stop with the worker or with its master.

    All workers of the server share `failstop`. A worker that fails to write exits quickly, because
    its successor has to check the database.
    """
    if (app := _app(worker)) is None:
        return

    def leave() -> None:
        worker.cfg.set("graceful_timeout", LEAVE_S)  # the worker's own copy of the settings
        os.kill(os.getpid(), signal.SIGTERM)

    failstop.join(leave)
    app.extensions["writer"].failstop = failstop
    app.extensions["jobs"].start(lambda: not worker.alive or os.getppid() != worker.ppid)


def stop(worker: Any) -> None:
    """Stop the jobs of a worker after its last request."""
    if app := _app(worker):
        app.extensions["jobs"].stop()


def _app(worker: Any) -> Flask | None:
    # The master also calls the exit hook of a worker that never started, and gunicorn may serve
    # another application with these settings.
    app: Flask | None = getattr(worker, "wsgi", None)
    return app if app is not None and "jobs" in getattr(app, "extensions", {}) else None
