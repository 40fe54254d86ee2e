"""What a worker does beside its requests: jobs that come round, and the flag that ends streams."""

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
CHECK_S = 0.5  # between looks whether the database has to be checked
LEAVE_S = 3

log = logging.getLogger("gfil")


@dataclass
class Job:
    """One thing done again and again; `failures` counts the rounds that raised."""

    name: str
    interval_s: float
    run: Callable[[], object]
    at_exit: bool
    failures: int = 0
    has_failed: bool = False  # the last time


class Jobs:
    """The jobs of one worker process, each on a thread of its own: none waits for another.

    They are `app.extensions["jobs"]`. Nothing runs before `start`, which the server calls in each
    worker; in a program that never does, nothing ever runs. Whatever takes long, a live stream or
    a job with much to do, looks at `stopping` and ends soon after it is set.
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
        """Have `run()` called every so many seconds, within an application context.

        One that raises is logged and called again the next time. `at_exit`: also once more when the
        worker has answered its last request.
        """
        self.jobs.append(Job(name, interval_s, run, at_exit))

    def start(self, is_leaving: Callable[[], bool] = lambda: False) -> None:
        """Begin; `stopping` is set as soon as `is_leaving()` says that the process is to end."""
        self.is_running = True
        self._spawn("watch", lambda: self._watch(is_leaving))
        for job in self.jobs:
            self._spawn(job.name, lambda job=job: self._repeat(job))  # type: ignore[misc]

    def stop(self, timeout_s: float = 1.0) -> None:
        """End them all, then call those once more that asked for it."""
        self.stopping.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for job in self.jobs:
            if job.at_exit:
                self._once(job)

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
            self._once(job)

    def _once(self, job: Job) -> None:
        try:
            with self._app.app_context():
                job.run()
            job.has_failed = False
        except Exception as error:  # whatever it was, the next round may go better
            job.failures += 1
            if not job.has_failed:  # the first of a row says it all
                log.error("the job %s failed: %s", job.name, error, exc_info=error)
            job.has_failed = True


def init_app(app: Flask) -> None:
    """Give the application its jobs, first those that keep the database well."""
    writer: Writer = app.extensions["writer"]
    app.extensions["jobs"] = jobs = Jobs(app)
    app.extensions["checkpointer"] = checkpointer = Checkpointer(writer)
    jobs.add("checkpoint", checkpoint.POLL_S, metrics.counted(checkpointer))
    jobs.add("check", CHECK_S, lambda: writer.failstop.recover(writer.path))


def start(worker: Any, failstop: FailStop) -> None:
    """Begin the jobs of a gunicorn worker; they stop when it is told to, or its master is gone.

    `failstop` is what all workers of the server share. One whose write fails leaves quickly, for
    its successor has to check.
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
    """End the jobs of a worker that has answered its last request."""
    if app := _app(worker):
        app.extensions["jobs"].stop()


def _app(worker: Any) -> Flask | None:
    # The master calls the hooks of a worker's end too, for one it never got to start; and what
    # gunicorn serves with these settings may be another application.
    app: Flask | None = getattr(worker, "wsgi", None)
    return app if app is not None and "jobs" in getattr(app, "extensions", {}) else None
