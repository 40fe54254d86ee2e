"""Background jobs, in one process and in the workers of a real server."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask, current_app

from gfil import create_app
from gfil.config import Settings
from gfil.store.engine.failstop import FailStop
from gfil.store.engine.pool import Writer
from gfil.web import jobs as worker_jobs
from gfil.web.jobs import Jobs
from tests.conftest import Server, wait_for
from tests.server.test_gunicorn_conf import gunicorn


@pytest.fixture
def app(db_path: Path) -> Flask:
    app = Flask("jobs")
    app.extensions["jobs"] = Jobs(app)
    app.extensions["writer"] = Writer(db_path)
    return app


@pytest.fixture
def jobs(app: Flask) -> Iterator[Jobs]:
    made: Jobs = app.extensions["jobs"]
    yield made
    made.stop()


def test_job_runs_within_the_application_context(jobs: Jobs) -> None:
    seen: list[str] = []
    jobs.add("look", 0.001, lambda: seen.append(current_app.name))
    jobs.start()
    wait_for(lambda: len(seen) >= 3, "three rounds")
    assert set(seen) == {"jobs"}


def test_no_job_runs_before_start(settings: Settings) -> None:
    before = threading.active_count()
    app = create_app(settings)
    app.extensions["jobs"].add("never", 0.001, lambda: None)
    assert threading.active_count() == before


def test_failing_job_is_logged_once_and_repeated(
    jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("no room")

    jobs.add("sweep", 0.001, fail)
    with caplog.at_level(logging.ERROR, "gfil"):
        jobs.start()
        wait_for(lambda: jobs.jobs[0].failures >= 3, "three failures")
    assert [record.getMessage() for record in caplog.records] == ["the job sweep failed: no room"]


def test_hanging_job_blocks_neither_others_nor_the_end(jobs: Jobs) -> None:
    release = threading.Event()
    rounds: list[int] = []
    jobs.add("hang", 0.001, release.wait)
    jobs.add("count", 0.001, lambda: rounds.append(1))
    jobs.start()
    wait_for(lambda: len(rounds) >= 3, "rounds of the other")
    jobs.stop(timeout_s=0.05)
    release.set()


def test_job_at_exit_runs_after_all_threads_ended(jobs: Jobs) -> None:
    calls: list[str] = []
    jobs.add("flush", 3600, lambda: calls.append("flush"), at_exit=True)
    jobs.add("other", 3600, lambda: calls.append("other"))
    jobs.start()
    jobs.stop()
    assert calls == ["flush"]


def test_stopping_is_set_soon_after_the_worker_is_stopped(app: Flask) -> None:
    worker = SimpleNamespace(wsgi=app, alive=True, ppid=os.getppid())
    worker_jobs.start(worker, FailStop())
    stopping = app.extensions["jobs"].stopping
    assert not stopping.is_set()
    worker.alive = False
    assert stopping.wait(10)
    worker_jobs.stop(worker)


def test_stopping_is_set_when_the_master_is_gone(app: Flask) -> None:
    worker = SimpleNamespace(wsgi=app, alive=True, ppid=os.getppid() + 1)
    worker_jobs.start(worker, FailStop())
    assert app.extensions["jobs"].stopping.wait(10)
    worker_jobs.stop(worker)


@pytest.mark.parametrize(
    "worker", [SimpleNamespace(), SimpleNamespace(wsgi=lambda environ, start: [])]
)
def test_worker_of_another_application_has_no_jobs(worker: SimpleNamespace) -> None:
    worker_jobs.start(worker, FailStop())
    worker_jobs.stop(worker)


PROBE = """
import os
from flask import Flask
from pathlib import Path
from gfil.store.engine.pool import Writer
from gfil.web.jobs import Jobs

app = Flask("probe")
app.extensions["jobs"] = Jobs(app)
app.extensions["writer"] = Writer(Path("a.db"))
app.get("/")(lambda: "here")

def note(word):
    with open("notes", "a") as file:
        file.write(f"{word} {os.getpid()}\\n")

app.extensions["jobs"].add("round", 0.01, lambda: note("round"))
app.extensions["jobs"].add("flush", 3600, lambda: note("flush"), at_exit=True)
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "probe.py").write_text(PROBE)
    with gunicorn(tmp_path, "probe:app") as server:
        yield server


def workers_that(word: str, notes: Path) -> set[str]:
    lines = notes.read_text().splitlines() if notes.exists() else []
    return {line.split()[1] for line in lines if line.split()[0] == word}


@pytest.mark.skipif(sys.platform != "linux", reason="HUP of a real master")
def test_every_worker_runs_its_jobs_and_those_at_exit(running: Server) -> None:
    notes = running.log.parent / "notes"
    wait_for(lambda: len(workers_that("round", notes)) == 2, "rounds of both workers")
    assert workers_that("flush", notes) == set()
    first = workers_that("round", notes)
    running.process.send_signal(signal.SIGHUP)
    wait_for(lambda: workers_that("flush", notes) == first, "the last calls of the old workers")
    wait_for(lambda: len(workers_that("round", notes)) == 4, "rounds of the new workers")
    running.stop()
    assert workers_that("flush", notes) == workers_that("round", notes)
