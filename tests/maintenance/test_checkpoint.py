"""Tests of gfil/upkeep/checkpoint.py: who copies the WAL, when, and how large it gets meanwhile."""

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
    """Commit once, through about so many pages of WAL."""
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


def test_what_was_written_is_copied_once(writer: Writer, checkpointer: Checkpointer) -> None:
    fill(writer)
    before = writer.path.stat().st_size, writer.path.stat().st_mtime_ns
    checkpointer.run()
    assert (writer.path.stat().st_size, writer.path.stat().st_mtime_ns) != before
    checkpointer.run()
    assert (checkpointer.done, checkpointer.failed, checkpointer.held_up) == (1, 0, 0)
    fill(writer)
    checkpointer.run()
    assert checkpointer.done == 2


def test_one_process_of_all_does_it_and_another_after_its_end(
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


def test_a_wal_that_has_grown_begins_anew_and_is_short_once_all_is_quiet(
    writer: Writer, checkpointer: Checkpointer
) -> None:
    for _ in range(4):
        fill(writer, 1500)
    assert wal_bytes(writer) > 20 * MB
    checkpointer.run()
    fill(writer)  # begins at the start, and cuts what is beyond the limit
    assert wal_bytes(writer) == connection.JOURNAL_SIZE_MAX_BYTES
    fill(writer, 4000)
    for _ in range(2):
        checkpointer.run()
    assert wal_bytes(writer) == 0


def test_a_reader_that_holds_on_is_counted_and_no_error(
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


def test_it_rests_between_rounds_unless_the_wal_is_large(
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


def test_it_waits_for_readers_no_longer_than_a_writer_can_bear(
    writer: Writer, checkpointer: Checkpointer
) -> None:
    pool = Pool(writer.path)
    reader = pool.acquire()
    connection.read_state(reader)
    fill(writer, 1500)
    began = time.monotonic()
    checkpointer.run()
    assert time.monotonic() - began < limit_s(10 * checkpoint.WAIT_S)
    pool.release(reader)


def test_a_disk_that_fails_throws_doubt_on_the_file(db_path: Path) -> None:
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


def test_it_follows_the_file_at_its_path(
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


def test_where_there_is_nothing_it_does_nothing(tmp_path: Path) -> None:
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


def test_it_stays_bounded_while_readers_overlap_for_ever(
    writer: Writer, checkpointer: Checkpointer
) -> None:
    """WAL-BOUNDED: four readers, there is always one, and megabytes are written a second."""
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
