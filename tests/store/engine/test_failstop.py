"""Tests of gfil/store/failstop.py, on a disk that fails when told."""

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
def test_an_io_error_is_in_doubt_and_nothing_is_written_while_it_lasts(
    disk: Disk, writer: Writer, kind: str, next_change: int
) -> None:
    """What failed only when it was synced is found again; nobody was told that it is stored."""
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


def test_who_is_replaced_leaves_and_never_writes_again(disk: Disk, writer: Writer) -> None:
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


def test_its_successor_checks_first(disk: Disk, writer: Writer) -> None:
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


def test_processes_of_one_server_know_it_of_each_other(disk: Disk, writer: Writer) -> None:
    """A child tells its parent: what they share was made before the fork."""
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


def test_each_that_fails_leaves_once(writer: Writer) -> None:
    """Also after the birth of a successor, who is too old to dispel what came later."""
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


def test_where_the_one_that_failed_is_not_replaced_one_other_leaves(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart gave it its successor before it failed, with the last it had to do."""
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


def test_who_was_let_in_before_the_doubt_gets_no_acknowledgement(writer: Writer) -> None:
    """A write that waited for the lock while the commit of another process failed."""
    writer.failstop.join(lambda: None)
    write = writer.transaction()
    connection.next_change(write.__enter__())
    meet_an_error(writer.failstop, writer.path)  # as the other: what they know is shared
    with pytest.raises(InDoubt):
        write.__exit__(None, None, None)


def test_a_newer_doubt_outlives_the_check_of_an_older(
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


def test_damage_is_for_good(disk: Disk, writer: Writer) -> None:
    disk.fault = fails("write", corrupt)
    with pytest.raises(Damaged) as caught:
        count(writer)
    assert caught.value.status == 503
    disk.fault = None
    assert not writer.failstop.recover(writer.path)
    for refused in (writer.check, lambda: count(writer)):
        with pytest.raises(Damaged, match="restore a backup"):
            refused()


def test_a_file_that_contradicts_itself_does_not_pass(writer: Writer, db_path: Path) -> None:
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


def test_a_check_leaves_nothing_to_the_wal(disk: Disk, writer: Writer) -> None:
    """The page cache may hold what no sync has brought to the disk."""
    disk.fault = fails("sync")
    with pytest.raises(InDoubt):
        count(writer)
    disk.fault = None
    assert writer.failstop.recover(writer.path)
    wal = writer.path.with_name(f"{writer.path.name}-wal")
    assert not wal.exists() or wal.stat().st_size == 0


def test_a_check_waits_for_a_reader_that_holds_on(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
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
def test_other_errors_throw_no_doubt(writer: Writer, error: BaseException | None) -> None:
    writer.failstop.record_failure(error, writer.path)
    writer.check()


def test_a_full_disk_is_no_doubt_and_room_is_all_it_takes(disk: Disk, writer: Writer) -> None:
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


def test_a_quota_or_a_limit_is_a_full_disk_too(db_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(db_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == ("['FIRST', 'LAST']\n", "")


def test_what_is_there_is_read_all_the_time(disk: Disk, writer: Writer) -> None:
    disk.fault = fails("write")
    with pytest.raises(InDoubt):
        count(writer)
    pool = Pool(writer.path)
    reader = pool.acquire()
    assert connection.read_state(reader)[1] == 1
    disk.fault = None
    pool.release(reader)
    assert count(writer) == 2


def test_a_missing_file_throws_no_doubt(writer: Writer, db_path: Path) -> None:
    db_path.unlink()
    with pytest.raises(NoDatabase):
        count(writer)
    writer.check()
