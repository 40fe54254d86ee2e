"""The pool of readers and the writer of a process, on real files."""

import threading
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from gfil.store.engine import connection
from gfil.store.engine.pool import Pool, Writer
from tests.faults.disk import broken, mounted
from tests.store.model import write

MINUTE = [((1_700_006_400, 1_700_006_460), (1.1, 1.3, 1.0, 1.2, 5.0))]


def test_threads_write_one_after_another(db_path: Path) -> None:
    """Through one connection; each change has its own number."""
    writer = Writer(db_path)

    def count() -> None:
        for _ in range(50):
            with writer.transaction() as db:
                connection.next_change(db)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with writer.transaction() as db:
        assert connection.read_state(db)[1] == 200


def test_writer_reopens_replaced_file(db_path: Path, tmp_path: Path) -> None:
    writer = Writer(db_path)
    with writer.transaction() as db:
        connection.next_change(db)
    connection.create(tmp_path / "restored.db")
    for name in (f"{db_path.name}-wal", f"{db_path.name}-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "restored.db").rename(db_path)
    with writer.transaction() as db:
        assert connection.next_change(db) == 1


def test_failed_block_is_rolled_back_and_next_block_works(db_path: Path) -> None:
    writer = Writer(db_path)

    def fail() -> None:
        with writer.transaction() as db:
            connection.next_change(db)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    with writer.transaction() as db:
        assert connection.next_change(db) == 1


def test_pool_gives_fresh_snapshot_each_time(db: apsw.Connection, db_path: Path) -> None:
    pool = Pool(db_path)
    first = pool.acquire()
    assert connection.read_state(first)[1] == 0
    pool.release(first)
    write(db, "EURUSD", "M1", MINUTE)
    again, other = pool.acquire(), pool.acquire()
    assert again is first
    assert other is not first
    assert [connection.read_state(taken)[1] for taken in (again, other)] == [1, 1]
    for taken in (again, other):
        pool.release(taken)
        assert not taken.in_transaction
        taken.close()


def test_pool_closes_reader_after_io_error(db_path: Path) -> None:
    """SQLite has ended its snapshot; closing may fail too."""
    pool = Pool(db_path)
    with mounted() as disk:
        failed = pool.acquire()
        disk.fault = lambda op: broken() if op.kind == "read" else None
        with pytest.raises(apsw.IOError):
            connection.read_state(failed)
        disk.fault = None
        pool.release(failed)
        with closing(connection.connect(db_path)), closing(pool.acquire()) as again:
            assert again is not failed
            assert connection.read_state(again)[1] == 0
