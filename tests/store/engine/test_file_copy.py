"""Copies of a database: complete, replaced, without room, failed."""

import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from gfil.errors import DiskFull
from gfil.store.engine import connection, file_copy
from tests.conftest import gfil
from tests.faults.disk import Disk, broken, full, mounted
from tests.store.engine.test_connection import MINUTE
from tests.store.model import read, write


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix not in (".db-shm", ".db-wal")}


def state(path: Path) -> tuple[int, int, tuple[str, int]]:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return (
            db.pragma("user_version"),
            db.pragma("application_id"),
            connection.read_state(db),
        )
    finally:
        db.close()


def test_copy_equals_database(db: apsw.Connection, db_path: Path) -> None:
    write(db, "EURUSD", "M1", MINUTE)
    target = db_path.with_name("copy.db")
    file_copy.write_copy(db, target)
    write(db, "EURUSD", "M1", [((MINUTE[0][0][1], MINUTE[0][0][1] + 60), MINUTE[0][1])])
    copy = connection.connect(target)
    assert read(copy, "EURUSD", "M1").candles == [(1_700_006_400, 1.1, 1.3, 1.0, 1.2, 5.0)]
    assert copy.pragma("auto_vacuum") == 2
    copy.close()


def test_copy_replaces_older_copy_and_incomplete_parts(db: apsw.Connection, db_path: Path) -> None:
    target = db_path.with_name("copy.db")
    file_copy.write_copy(db, target)
    store_change(db)
    target.with_name("copy.db.part").write_bytes(b"half")
    file_copy.write_copy(db, target)
    assert state(target)[2] == connection.read_state(db)
    assert names(db_path.parent) == {"gfil.db", "copy.db"}


def store_change(db: apsw.Connection) -> None:
    with connection.transaction(db):
        connection.next_change(db)


def test_copy_without_room_is_not_started(
    db: apsw.Connection, db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_copy, "RESERVE_BYTES", 10**18)
    with pytest.raises(DiskFull, match="no room for a copy"):
        file_copy.write_copy(db, db_path.with_name("copy.db"))
    assert names(db_path.parent) == {"gfil.db"}


@pytest.fixture
def disk() -> Iterator[Disk]:
    with mounted() as disk:
        yield disk
        disk.fault = None


@pytest.mark.parametrize(("error", "raised"), [(full, DiskFull), (broken, apsw.IOError)])
def test_failed_copy_leaves_no_file(
    disk: Disk, db_path: Path, error: type[apsw.Error], raised: type[Exception]
) -> None:
    db = connection.connect(db_path)
    disk.fault = lambda op: error() if op.file.endswith(".part") else None
    with pytest.raises(raised):
        file_copy.write_copy(db, db_path.with_name("copy.db"))
    disk.fault = None
    assert names(db_path.parent) == {"gfil.db"}
    db.close()


def test_init_in_unreadable_folder_prints_one_line(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every folder")
    tmp_path.chmod(0o300)
    try:
        status, _, error = gfil(tmp_path / "gfil.db", "init")
    finally:
        tmp_path.chmod(0o700)
    assert status == 1
    assert error.count("\n") == 1
