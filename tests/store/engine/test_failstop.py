"""Fail-stop, on a disk that fails on demand."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from gfil.config import ROOT
from gfil.errors import GfilError, NoDatabase
from gfil.store.engine import connection, failstop
from gfil.store.engine.failstop import Damaged, FailStop, InDoubt
from gfil.store.engine.pool import Pool, Writer
from tests.faults.disk import Disk, Op, broken, full, mounted


@pytest.fixture
def disk() -> Iterator[Disk]:
    with mounted() as disk:
        yield disk


@pytest.fixture
def writer(disk: Disk, db_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    monkeypatch.setattr(failstop, "RETRY_S", 0.0)
    writer = Writer(db_path)
    count(writer)
    yield writer
    disk.fault = None


def count(writer: Writer) -> int:
    with writer.transaction() as db:
        return connection.next_change(db)


def meet_an_error(of: FailStop, path: Path) -> None:
    with pytest.raises(InDoubt):
        of.record_failure(broken(), path)


def fails(kind: str, error: Callable[[], apsw.Error] = broken) -> Callable[[Op], apsw.Error | None]:
    return lambda op: error() if op.kind == kind else None


@pytest.mark.parametrize(("kind", "next_change"), [("write", 2), ("sync", 3)])
def test_io_error_refuses_writes_until_a_check_passes(
    disk: Disk, writer: Writer, kind: str, next_change: int
) -> None:
    """A commit that failed at its sync is found again; it was not acknowledged."""
    disk.fault = fails(kind)
    for _ in range(3):
        with pytest.raises(InDoubt) as caught:
            count(writer)
        assert (caught.value.status, caught.value.retry_after_s) == (503, 5)
        with pytest.raises(InDoubt):
            writer.check()
    disk.fault = None
    assert count(writer) == next_change
    writer.check()


def test_failed_process_leaves_and_never_writes_again(disk: Disk, writer: Writer) -> None:
    left: list[int] = []
    writer.failstop.join(lambda: left.append(1))
    disk.fault = fails("write")
    with pytest.raises(InDoubt):
        count(writer)
    disk.fault = None
    assert left == [1]
    assert not writer.failstop.recover(writer.path)
    with pytest.raises(InDoubt):
        count(writer)


def test_successor_checks_before_writing(disk: Disk, writer: Writer) -> None:
    writer.failstop.join(lambda: None)
    disk.fault = fails("write")
    with pytest.raises(InDoubt):
        count(writer)
    writer.failstop.join(lambda: None)  # as the process that is started next does
    with pytest.raises(InDoubt):
        count(writer)
    assert not writer.failstop.recover(writer.path)  # the disk still fails
    disk.fault = None
    assert writer.failstop.recover(writer.path)
    assert count(writer) == 2


def test_io_error_of_child_stops_parent(disk: Disk, writer: Writer) -> None:
    """They share memory that was created before the fork."""
    writer.failstop.join(lambda: None)
    child = os.fork()
    if not child:
        disk.fault = fails("write")
        try:
            count(writer)
        except InDoubt:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(InDoubt):
        writer.check()


def test_each_failed_process_leaves_once(writer: Writer) -> None:
    """Also after a successor has started: it may not clear a later failure."""
    left: list[str] = []
    first, second, successor, last = (copy.copy(writer.failstop) for _ in range(4))
    first.join(lambda: left.append("first"))
    second.join(lambda: left.append("second"))
    for _ in range(3):
        meet_an_error(first, writer.path)
    successor.join(lambda: left.append("successor"))
    for _ in range(3):
        meet_an_error(second, writer.path)
    assert left == ["first", "second"]
    assert not successor.recover(writer.path)
    last.join(lambda: left.append("last"))  # in the place of the second
    assert last.recover(writer.path)
    successor.check(writer.path)


def test_another_process_leaves_if_failed_one_is_not_replaced(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failed process had been replaced before its last write."""
    left: list[str] = []
    old, new, other, last = (copy.copy(writer.failstop) for _ in range(4))
    for each, name in ((old, "old"), (new, "new"), (other, "other")):
        each.join(lambda name=name: left.append(name))  # type: ignore[misc]
    meet_an_error(old, writer.path)
    for each in (new, other):
        assert not each.recover(writer.path)
    assert left == ["old"]  # its successor may still come
    monkeypatch.setattr(failstop, "SUCCESSOR_S", 0.0)
    for each in (new, other, new, other):
        assert not each.recover(writer.path)
    assert left == ["old", "new"]
    last.join(lambda: left.append("last"))
    assert last.recover(writer.path)
    other.check(writer.path)


def test_write_started_before_failure_is_not_acknowledged(writer: Writer) -> None:
    """The write waited for the lock while the commit of another process failed."""
    writer.failstop.join(lambda: None)
    write = writer.transaction()
    connection.next_change(write.__enter__())
    meet_an_error(writer.failstop, writer.path)  # as the other: what they know is shared
    with pytest.raises(InDoubt):
        write.__exit__(None, None, None)


def test_check_clears_only_the_failure_it_checked(
    disk: Disk, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failstop, "_probe", lambda path: meet_an_error(writer.failstop, path))
    meet_an_error(writer.failstop, writer.path)
    writer.failstop.join(lambda: None)
    assert writer.failstop.recover(writer.path)
    with pytest.raises(InDoubt):
        writer.check()


def corrupt() -> apsw.Error:
    return apsw.CorruptError("database disk image is malformed")


def test_damaged_file_stays_refused(disk: Disk, writer: Writer) -> None:
    disk.fault = fails("write", corrupt)
    with pytest.raises(Damaged) as caught:
        count(writer)
    assert caught.value.status == 503
    disk.fault = None
    assert not writer.failstop.recover(writer.path)
    for refused in (writer.check, lambda: count(writer)):
        with pytest.raises(Damaged, match="restore a backup"):
            refused()


def test_inconsistent_file_fails_check(writer: Writer, db_path: Path) -> None:
    with writer.transaction() as db:
        root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'candle'").get
    second = connection.connect(db_path)
    second.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    second.close()
    writer._close()
    with db_path.open("r+b") as file:  # no connection is open in this process
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)
    meet_an_error(writer.failstop, db_path)
    with pytest.raises(InDoubt):
        count(writer)
    with pytest.raises(Damaged):
        count(writer)


def test_check_empties_the_wal(disk: Disk, writer: Writer) -> None:
    """The page cache may hold pages that no sync has written."""
    disk.fault = fails("sync")
    with pytest.raises(InDoubt):
        count(writer)
    disk.fault = None
    assert writer.failstop.recover(writer.path)
    wal = writer.path.with_name(f"{writer.path.name}-wal")
    assert not wal.exists() or wal.stat().st_size == 0


def test_check_waits_for_open_reader(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "WRITER_WAIT_MS", 50)
    pool = Pool(writer.path)
    reader = pool.acquire()
    before = connection.read_state(reader)
    count(writer)
    meet_an_error(writer.failstop, writer.path)
    assert not writer.failstop.recover(writer.path)
    assert connection.read_state(reader) == before
    pool.release(reader)
    assert writer.failstop.recover(writer.path)


@pytest.mark.parametrize("error", [None, apsw.FullError("full"), GfilError("no"), ValueError("no")])
def test_other_errors_do_not_stop_writes(writer: Writer, error: BaseException | None) -> None:
    writer.failstop.record_failure(error, writer.path)
    writer.check()


def test_full_disk_does_not_stop_later_writes(disk: Disk, writer: Writer) -> None:
    disk.fault = fails("write", full)
    with pytest.raises(GfilError) as caught:
        count(writer)
    assert caught.value.status == 507
    disk.fault = None
    assert count(writer) == 2


LIMITED = """
import resource, sys
from pathlib import Path
from gfil.errors import DiskFull
from gfil.store import symbols
from gfil.store.engine.pool import Writer
writer = Writer(Path(sys.argv[1]))
with writer.transaction() as db:
    symbols.ensure(db, "FIRST")
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
try:
    with writer.transaction() as db:
        for n in range(2000):
            symbols.ensure(db, f"MORE{n}")
except DiskFull:
    writer.check()
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with writer.transaction() as db:
        symbols.ensure(db, "LAST")
        print([symbol.name for symbol in symbols.list_symbols(db)])
"""


def test_quota_or_limit_is_a_full_disk(db_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(db_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("['FIRST', 'LAST']\n", "")


def test_reads_work_while_writes_are_refused(disk: Disk, writer: Writer) -> None:
    disk.fault = fails("write")
    with pytest.raises(InDoubt):
        count(writer)
    pool = Pool(writer.path)
    reader = pool.acquire()
    assert connection.read_state(reader)[1] == 1
    disk.fault = None
    pool.release(reader)
    assert count(writer) == 2


def test_missing_file_does_not_stop_writes(writer: Writer, db_path: Path) -> None:
    db_path.unlink()
    with pytest.raises(NoDatabase):
        count(writer)
    writer.check()
