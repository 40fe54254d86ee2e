"""Tests of gfil/maintenance/checkpoint.py: election, timing and the size of the WAL."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gfil.config import ROOT
from gfil.maintenance import checkpoint
from gfil.maintenance.checkpoint import Checkpointer, read_state
from gfil.store.engine import connection
from gfil.store.engine.failstop import InDoubt
from gfil.store.engine.pool import Pool, Writer
from tests.conftest import limit_s
from tests.faults.disk import Op, broken, mounted

MB = 1024 * 1024
ELECTED = """
import sys
from pathlib import Path
from gfil.store.engine.pool import Writer
from gfil.maintenance.checkpoint import Checkpointer
checkpointer = Checkpointer(Writer(Path(sys.argv[1])))
checkpointer.run()
print(checkpointer.done, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def writer(db_path: Path) -> Writer:
    return Writer(db_path)


@pytest.fixture
def checkpointer(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkpointer]:
    monkeypatch.setattr(checkpoint, "INTERVAL_S", 0.0)
    made = Checkpointer(writer)
    yield made
    made.close()


def fill(writer: Writer, pages: int = 1) -> None:
    """Commit once with about this many pages of WAL."""
    with writer.transaction() as db:
        connection.next_change(db)
        name = f"filled {connection.read_state(db)[1]}"
        rows = (("key", name, str(n), b"d" * 32, b"a" * 3500) for n in range(pages - 1))
        db.executemany(
            "INSERT INTO idempotency_record (key_id, route, name, digest, time, status, answer) "
            "VALUES (?, ?, ?, ?, 0, 200, ?)",
            rows,
        )


def wal_bytes(writer: Writer) -> int:
    state = read_state(writer.path)
    return state.bytes if state else 0


def test_committed_pages_are_copied_once(writer: Writer, checkpointer: Checkpointer) -> None:
    fill(writer)
    before = writer.path.stat().st_size, writer.path.stat().st_mtime_ns
    checkpointer.run()
    assert (writer.path.stat().st_size, writer.path.stat().st_mtime_ns) != before
    checkpointer.run()
    assert (checkpointer.done, checkpointer.failed, checkpointer.held_up) == (1, 0, 0)
    fill(writer)
    checkpointer.run()
    assert checkpointer.done == 2


def test_another_process_is_elected_after_the_first_ends(
    writer: Writer, checkpointer: Checkpointer
) -> None:
    fill(writer)
    other = subprocess.Popen(
        [sys.executable, "-c", ELECTED, str(writer.path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"1\n"
    fill(writer)
    checkpointer.run()
    assert checkpointer.done == 0
    other.kill()
    other.communicate()
    checkpointer.run()
    assert checkpointer.done == 1


def test_large_wal_is_restarted_and_truncated_when_idle(
    writer: Writer, checkpointer: Checkpointer
) -> None:
    for _ in range(4):
        fill(writer, 1500)
    assert wal_bytes(writer) > 20 * MB
    checkpointer.run()
    fill(writer)  # restarts the WAL and truncates it to the limit
    assert wal_bytes(writer) == connection.JOURNAL_SIZE_MAX_BYTES
    fill(writer, 4000)
    for _ in range(2):
        checkpointer.run()
    assert wal_bytes(writer) == 0


def test_checkpoint_held_up_by_a_reader_is_counted_and_no_error(
    writer: Writer, checkpointer: Checkpointer
) -> None:
    pool = Pool(writer.path)
    fill(writer)
    reader = pool.acquire()
    before = connection.read_state(reader)
    fill(writer, 1500)
    checkpointer.run()
    assert (checkpointer.done, checkpointer.failed, checkpointer.held_up) == (1, 0, 1)
    assert connection.read_state(reader) == before
    pool.release(reader)
    checkpointer.run()
    assert (checkpointer.done, checkpointer.failed, checkpointer.held_up) == (2, 0, 1)


def test_checkpoints_have_an_interval_unless_the_wal_is_large(
    writer: Writer, checkpointer: Checkpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "INTERVAL_S", 3600.0)
    for _ in range(2):
        fill(writer)
        checkpointer.run()
    assert checkpointer.done == 1
    fill(writer, checkpoint.LARGE_BYTES // 4096 + 500)
    checkpointer.run()
    assert checkpointer.done == 2


def test_wait_for_readers_is_short(writer: Writer, checkpointer: Checkpointer) -> None:
    pool = Pool(writer.path)
    reader = pool.acquire()
    connection.read_state(reader)
    fill(writer, 1500)
    began = time.monotonic()
    checkpointer.run()
    assert time.monotonic() - began < limit_s(10 * checkpoint.WAIT_S)
    pool.release(reader)


def test_failing_disk_puts_the_database_in_doubt(db_path: Path) -> None:
    with mounted() as disk:
        writer = Writer(db_path)
        checkpointer = Checkpointer(writer)
        fill(writer)
        disk.fault = lambda op: broken() if is_database(op) else None
        with pytest.raises(InDoubt):
            checkpointer.run()
        assert (checkpointer.done, checkpointer.failed) == (0, 1)
        with pytest.raises(InDoubt):
            fill(writer)
        disk.fault = None
        writer._close()


def is_database(op: Op) -> bool:
    return op.kind == "write" and op.file.endswith(".db")


def test_checkpointer_follows_a_replaced_file(
    writer: Writer, checkpointer: Checkpointer, tmp_path: Path
) -> None:
    fill(writer)
    checkpointer.run()
    connection.create(tmp_path / "restored.db")
    for name in (f"{writer.path.name}-wal", f"{writer.path.name}-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "restored.db").rename(writer.path)
    fill(writer, 3)
    checkpointer.run()
    assert (checkpointer.done, checkpointer.failed) == (2, 0)


def test_checkpointer_ignores_a_missing_database(tmp_path: Path) -> None:
    checkpointer = Checkpointer(Writer(tmp_path / "none.db"))
    checkpointer.run()
    assert checkpointer.done == 0
    assert list(tmp_path.iterdir()) == []


def read_on(pool: Pool, end: threading.Event, seconds: float) -> None:
    while not end.is_set():
        reader = pool.acquire()
        connection.read_state(reader)
        end.wait(seconds)
        connection.read_state(reader)
        pool.release(reader)


def repeat(run: Callable[[], object], end: threading.Event, seconds: float) -> None:
    while not end.wait(seconds):
        run()


def test_wal_stays_bounded_while_readers_overlap(
    writer: Writer, checkpointer: Checkpointer
) -> None:
    """WAL-BOUNDED: four overlapping readers while megabytes per second are written."""
    end, pool = threading.Event(), Pool(writer.path)
    runs: list[Callable[[], None]] = [
        lambda n=n: read_on(pool, end, 0.05 + n / 50)
        for n in range(4)  # type: ignore[misc]
    ]
    runs.append(lambda: repeat(checkpointer.run, end, checkpoint.POLL_S))
    threads = [threading.Thread(target=run) for run in runs]
    for thread in threads:
        thread.start()
    largest, written = 0, 0
    deadline = time.monotonic() + (10 if os.environ.get("GFIL_LONG") else 4)
    try:
        while time.monotonic() < deadline:
            fill(writer, 50)
            written += 50 * 4096
            largest = max(largest, wal_bytes(writer))
            time.sleep(0.005)
    finally:
        end.set()
        for thread in threads:
            thread.join()
    for _ in range(2):
        checkpointer.run()
    assert written > 16 * MB
    assert largest < 64 * MB
    assert checkpointer.failed == 0
    assert wal_bytes(writer) <= connection.JOURNAL_SIZE_MAX_BYTES
