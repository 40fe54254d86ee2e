"""Tests of gfil/migration/cleanup.py."""

import hashlib
import os
from pathlib import Path

import apsw
import pytest

from gfil.migration.cleanup import delete_migrated
from gfil.store import maintenance_runs, migrated_files, symbols
from gfil.store.engine import connection
from gfil.store.migrated_files import MigratedFile

VERIFIED = 1_700_000_000
DUE = VERIFIED + 72 * 3600
CONTENT = b"[]"


@pytest.fixture
def old(db: apsw.Connection, tmp_path: Path) -> Path:
    """Migrated file without refused rows, with a newer backup."""
    path = tmp_path / "EURUSD_1m.json"
    path.write_bytes(CONTENT)
    remember(db, path)
    back_up(db, tmp_path / "backup.db")
    return path


def remember(db: apsw.Connection, path: Path, rejected: int = 0, due: int | None = DUE) -> None:
    """Record a file as the migration does."""
    now = path.stat()
    report = {"rejected": rejected, "size": now.st_size, "mtime_ns": now.st_mtime_ns}
    ids = [symbol.id for symbol in symbols.list_symbols(db)]
    digest = hashlib.sha256(path.read_bytes()).digest()
    with connection.transaction(db):
        migrated_files.record_file(
            db, MigratedFile(digest, str(path), VERIFIED, due, report | {"ids": ids})
        )


def back_up(db: apsw.Connection, path: Path, time: int = VERIFIED + 60) -> None:
    """Record a backup as `backup` does."""
    path.write_bytes(b"backup")
    with connection.transaction(db):
        maintenance_runs.record_run(db, "backup", {"path": str(path)}, now=time)


def kept(db: apsw.Connection, now: float = DUE) -> list[str]:
    """Reasons why files stay."""
    report = delete_migrated(db, now)
    assert report.deleted == []
    return [*report.kept.values()]


def test_file_is_deleted_after_its_delay(db: apsw.Connection, old: Path) -> None:
    assert delete_migrated(db, DUE - 1).as_json() == {"deleted": [], "kept": []}
    assert old.exists()
    report = delete_migrated(db, DUE)
    assert report.as_json() == {"deleted": [str(old)], "kept": []}
    assert report.describe() == ["1 migrated file deleted"]
    assert not old.exists()
    assert delete_migrated(db, DUE + 1).deleted == []
    assert len(migrated_files.list_files(db)) == 1, "the record stays"


def test_dry_run_deletes_no_file(db: apsw.Connection, db_path: Path, old: Path) -> None:
    reader = connection.connect(db_path, readonly=True)
    report = delete_migrated(reader, DUE, dry_run=True)
    assert report.deleted == [str(old)]
    assert report.describe() == ["1 migrated file would be deleted"]
    assert old.exists()


def test_file_without_a_deletion_time_stays(db: apsw.Connection, old: Path) -> None:
    remember(db, old, due=None)
    assert kept(db, DUE + 10**9) == []
    assert old.exists()


def test_file_with_refused_rows_stays(db: apsw.Connection, old: Path) -> None:
    remember(db, old, rejected=1)
    assert kept(db) == ["some of its rows were refused"]


def test_file_of_a_deleted_symbol_stays(db: apsw.Connection, old: Path, tmp_path: Path) -> None:
    with connection.transaction(db):
        gold, silver = (symbols.ensure(db, name) for name in ("XAUUSD", "XAGUSD"))
    remember(db, old)
    with connection.transaction(db):
        symbols.delete(db, silver)
    back_up(db, tmp_path / "backup.db", VERIFIED + 3600)
    assert kept(db) == ["its symbol was deleted since: `gfil migrate` imports it again"]
    remember(db, old)
    with connection.transaction(db):
        symbols.rename(db, gold, "GOLD")
    assert delete_migrated(db, DUE).deleted == [str(old)]


@pytest.mark.parametrize("time", [VERIFIED, VERIFIED - 1, DUE + 1])
def test_file_without_a_newer_backup_stays(
    db: apsw.Connection, old: Path, tmp_path: Path, time: int
) -> None:
    why = "no verified backup was made since: run `gfil backup`"
    back_up(db, tmp_path / "backup.db", time)
    assert kept(db) == [why]
    db.execute("DELETE FROM maintenance_run")
    report = delete_migrated(db, DUE)
    assert report.as_json()["kept"] == [{"file": str(old), "why": why}]
    assert report.describe() == [f"1 migrated file kept: {why}"]
    assert old.exists()


def test_file_stays_if_the_backup_is_missing(
    db: apsw.Connection, old: Path, tmp_path: Path
) -> None:
    (tmp_path / "backup.db").unlink()
    assert kept(db) == [f"the last backup {tmp_path / 'backup.db'} no longer exists"]


def test_changed_file_stays(db: apsw.Connection, old: Path) -> None:
    times = old.stat().st_atime_ns, old.stat().st_mtime_ns
    old.write_bytes(b"[1]")
    assert kept(db) == ["it was changed since: `gfil migrate` imports the new rows"]
    old.write_bytes(b"{}")
    os.utime(old, ns=times)
    assert kept(db) == ["its content was changed since: `gfil migrate` imports the new rows"]
    old.write_bytes(CONTENT)
    assert kept(db) == ["it was changed since: `gfil migrate` imports the new rows"]
    os.utime(old, ns=times)
    assert delete_migrated(db, DUE).deleted == [str(old)]


def test_link_in_place_of_the_file_stays(db: apsw.Connection, old: Path) -> None:
    old.rename(old.with_name("elsewhere.json"))
    old.symlink_to("elsewhere.json")
    assert kept(db) == ["it was changed since: `gfil migrate` imports the new rows"]


def test_missing_file_is_not_checked_again(db: apsw.Connection, old: Path) -> None:
    old.unlink()
    assert kept(db) == []
    assert migrated_files.list_files(db)[0].delete_after is None


def test_file_that_cannot_be_deleted_does_not_stop_the_others(
    db: apsw.Connection, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "XAUUSD_1m.json"
    other.write_bytes(b"[ ]")
    remember(db, other)
    unlink = Path.unlink

    def deny(path: Path, missing_ok: bool = False) -> None:
        if path == old:
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", deny)
    report = delete_migrated(db, DUE)
    assert report.deleted == [str(other)]
    assert report.kept == {str(old): "Permission denied"}
