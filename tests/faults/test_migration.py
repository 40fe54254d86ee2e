"""Migrations that are cut off at any write, killed, or run out of disk.

IMPORT-RESUME: the next run ends with the same tables; a file is marked done only when it is.
"""

import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import apsw
import pytest

from gfil.errors import DiskFull
from gfil.ingest.load import batched
from gfil.store.engine import connection
from tests.conftest import clean_environment, wait_for
from tests.faults import workloads
from tests.faults.disk import Fault, full, mounted
from tests.faults.power import comparable, cut_everywhere, record_commits
from tests.faults.sizes import LONG, seeded
from tests.migration import legacy_samples
from tests.migration.legacy_samples import fold, objects, save
from tests.oracle.database import State, check_derived, read_state
from tests.store.model import everything

KILLS = 25 if LONG else 5
LATER_MAX_S = 0.03
START = workloads.DAY
MIGRATED = "SELECT digest, path, delete_after IS NULL FROM migrated_file ORDER BY path"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in one process, in batches of a few rows."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(batched, "BATCH_ROWS_FIRST", 10)
    monkeypatch.setattr(batched, "BATCH_ROWS_MAX", 10)


def old_system(folder: Path, rng: random.Random, count: int) -> Path:
    """Write the files of a symbol: with repeated rows, and with one file cut off."""
    rows = legacy_samples.minutes(count, START, rng.randrange(10**6))
    twice = [row for row in rows for _ in range(1 + (rng.random() < 0.05))]
    save(folder, "EURUSD_1m", objects(twice), cut=0.9)
    for tf in ("5m", "1h", "1d"):
        save(folder, f"EURUSD_{tf}", objects(fold(rows, tf)))
    return folder


def test_migration_completes_after_a_power_cut(
    db_path: Path, folder: Path, tmp_path: Path, here: None
) -> None:
    rng = seeded("migration")
    work = workloads.migration_of(old_system(tmp_path / "klines", rng, 260))
    tape = record_commits(db_path, work)
    assert len(tape.marks) > 25
    cut_everywhere(tape, folder, rng, again=lambda connection, _: work(connection))


def migrate_until_done(database: Path, work: Callable[[apsw.Connection], Any]) -> int:
    """Run the migration until it completes; return the number of runs without room."""
    for failures in itertools.count():
        db = connection.connect(database)
        try:
            work(db)
        except DiskFull:
            check_derived(db)
        else:
            return failures
        finally:
            with suppress(apsw.FullError):  # the last connection to close checkpoints
                db.close()
        assert failures < 100
    raise AssertionError


@pytest.mark.parametrize("times", [1, 40])
def test_migration_resumes_after_a_full_disk(
    folder: Path, tmp_path: Path, here: None, times: int
) -> None:
    rng = seeded("migration without room")
    work = workloads.migration_of(old_system(tmp_path / "klines", rng, 60))

    def state_after(first: int | None) -> tuple[State, bool, int]:
        database = folder / f"{first}.db"
        connection.create(database)
        with mounted() as disk:
            fault = Fault("write", first or 10**9, times, full)
            disk.fault = fault
            failures = migrate_until_done(database, work)
        with closing(connection.connect(database, readonly=True)) as db:
            return comparable(read_state(db)), fault.has_fired, failures

    wanted, _, _ = state_after(None)
    failed = 0
    for first in itertools.count(1, 1 if LONG or times == 1 else 5):
        found, has_fired, failures = state_after(first)
        failed += failures
        assert without_numbers(found) == without_numbers(wanted)
        if not has_fired:
            break
    assert failed > 10


def without_numbers(state: State) -> State:
    """Return a state without change numbers, because a failed run may have used some."""
    return {
        name: [row[:-1] for row in rows] if name == "symbol" else rows
        for name, rows in state.items()
        if name not in ("store", "change_log")
    }


def begin(source: Path, database: Path) -> subprocess.Popen[bytes]:
    """Start a migration."""
    return subprocess.Popen(
        [sys.executable, "-m", "gfil", "migrate", source],
        env=clean_environment(GFIL_DB=str(database)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_soon(started: subprocess.Popen[bytes], reader: apsw.Connection, later_s: float) -> bool:
    """Kill the migration shortly after one more batch or file, if it still runs.

    Its verifying process ends too.
    """
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
    before = reader.pragma("data_version")
    wait_for(
        lambda: reader.pragma("data_version") != before or started.poll() is not None,
        "one more batch",
        60,
    )
    was_running = started.poll() is None
    helpers = children.read_text().split() if was_running else []
    time.sleep(later_s)  # a random moment of the next batch
    started.kill()
    started.wait()
    for helper in helpers:
        wait_for(lambda helper=helper: not is_running(helper), "the other process ends")
    return was_running


def is_running(pid: str) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_migration_killed_repeatedly_ends_with_the_tables_of_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    rng = seeded("migration kills")
    source = tmp_path / "klines"
    for number in range(KILLS):
        rows = old_system(source, rng, 3000 + 500 * number)
        for path in rows.glob("EURUSD_*"):
            path.rename(path.with_name(path.name.replace("EURUSD", f"SYM{number:02}")))
    whole, killed = tmp_path / "whole.db", tmp_path / "killed.db"
    assert begin(source, whole).wait(120) == 3
    connection.create(killed)
    with closing(connection.connect(killed, readonly=True)) as reader:
        kills = [
            kill_soon(begin(source, killed), reader, rng.uniform(0, LATER_MAX_S))
            for _ in range(KILLS)
        ]
        check_derived(reader)
    assert any(kills)
    assert begin(source, killed).wait(120) == 3
    assert everything(killed) == everything(whole)
    with closing(connection.connect(killed)) as one, closing(connection.connect(whole)) as other:
        assert connection.query_all(one, MIGRATED) == connection.query_all(other, MIGRATED)
