"""Tests of gfil/maintenance/restore.py and gfil/store/engine/file_swap.py."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import orjson
import pytest

from gfil.config import ROOT
from gfil.errors import (
    BadParameter,
    DatabaseError,
    DiskFull,
    ForeignDatabase,
    GfilError,
    NotFound,
)
from gfil.maintenance import backup, restore
from gfil.maintenance.restore import Restored
from gfil.store import api_keys
from gfil.store.candles import integrity
from gfil.store.engine import connection, file_copy, file_swap, upgrade
from gfil.store.engine.file_swap import InUse
from tests.conftest import Server, clean_environment, gfil, wait_for
from tests.faults import workloads
from tests.faults.disk import Fault, full, mounted
from tests.faults.sizes import seeded
from tests.maintenance.restoring import NOW, add, data, epoch
from tests.maintenance.test_backup import names
from tests.oracle.database import State
from tests.store.old_schema import make_old

KEPT = "gfil.before-restore-20250102T030405Z.db"
HOLDS = """
import sys, apsw
db = apsw.Connection(sys.argv[1])
db.execute(sys.argv[2]).fetchall()
print("holds", flush=True)
sys.stdin.read()
"""


def test_restore_brings_back_the_backup_and_keeps_the_old_file(source: Path, db_path: Path) -> None:
    old, wanted = data(db_path), data(source)
    old_epoch = epoch(db_path)
    done = restore.run(source, db_path, now=NOW)
    assert names(db_path.parent) == sorted(
        ["backup.db", "gfil.db", "gfil.db-backup", "gfil.db-checkpointer", KEPT]
    )
    assert done == Restored(db_path.with_name(KEPT), wanted["store"][0][0], 0)
    assert data(db_path) == wanted
    assert data(db_path.with_name(KEPT)) == old
    assert epoch(db_path) not in (old_epoch, epoch(source))


def test_restore_can_be_undone(source: Path, db_path: Path) -> None:
    old = data(db_path)
    first = restore.run(source, db_path, now=NOW)
    assert first.kept is not None
    second = restore.run(first.kept, db_path, now=NOW)
    assert data(db_path) == old
    assert second.kept == db_path.with_name("gfil.before-restore-20250102T030405Z-2.db")


def test_restore_creates_a_missing_database(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "other.db"
    assert restore.run(source, path, now=NOW).kept is None
    assert names(path.parent) == ["other.db", "other.db-checkpointer"]
    assert data(path) == data(source)


def test_orphaned_wal_is_not_applied_to_the_restored_file(source: Path, db_path: Path) -> None:
    """The database was deleted without its WAL."""
    with closing(connection.connect(db_path)) as db:
        workloads.send("M1", workloads.minutes(seeded("left"), workloads.DAY, 9))(db)
        left = Path(f"{db_path}-wal").read_bytes()
    db_path.unlink()
    Path(f"{db_path}-wal").write_bytes(left)
    assert restore.run(source, db_path, now=NOW).kept is None
    assert data(db_path) == data(source)
    assert db_path.with_name(f"{KEPT}-wal").read_bytes() == left


def test_wal_of_a_killed_server_is_kept(source: Path, db_path: Path) -> None:
    """No false alarm after kill -9, and no lost commit."""
    with hold(db_path, "SELECT * FROM symbol"):
        add(db_path, "in the log")
    assert Path(f"{db_path}-wal").exists()
    old = data_of_copy(db_path)
    done = restore.run(source, db_path, now=NOW)
    assert done.kept is not None
    assert data(done.kept) == old
    assert data(db_path) == data(source)


def data_of_copy(path: Path) -> State:
    copy = path.with_name("looked-at.db")
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{copy}{end}")
    return data(copy)


@contextmanager
def hold(path: Path, sql: str) -> Iterator[None]:
    """Keep the database open in another process, which is killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path), sql],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        try:
            yield
        finally:
            process.kill()


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM symbol", "BEGIN; SELECT * FROM store", "BEGIN IMMEDIATE"]
)
def test_database_in_use_is_not_replaced(source: Path, db_path: Path, sql: str) -> None:
    old = data(db_path)
    with hold(db_path, sql), pytest.raises(InUse, match="is in use: first stop its server"):
        restore.run(source, db_path, now=NOW)
    assert data(db_path) == old
    assert restore.run(source, db_path, now=NOW).kept is not None


def test_restore_refuses_a_running_server_and_accepts_a_killed_one(
    source: Path, server: Callable[..., Server]
) -> None:
    running = server()
    status, said, error = gfil(running.db, "restore", str(source))
    assert (status, said) == (1, "")
    assert error == (
        f"gfil: {running.db} is in use: first stop its server and other programs that use it\n"
    )
    assert running.get("/healthz").status == 200
    workers = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text()
    running.stop(signal.SIGKILL)
    for pid in map(int, workers.split()):
        wait_for(lambda pid=pid: not Path(f"/proc/{pid}").exists(), "the end of its workers")
    assert gfil(running.db, "restore", str(source))[0] == 0
    assert data(running.db) == data(source)


def test_key_revoked_since_the_backup_stays_revoked(db_path: Path, tmp_path: Path) -> None:
    with closing(connection.connect(db_path)) as db, connection.transaction(db):
        keys = [api_keys.create(db, name, "read", now=NOW) for name in ("a", "b")]
    source = backup.write(db_path, tmp_path / "backup.db", now=NOW).path
    with closing(connection.connect(db_path)) as db, connection.transaction(db):
        api_keys.revoke(db, keys[0][0].id, now=NOW)
    assert restore.run(source, db_path, now=NOW).revoked == 1
    with closing(connection.connect(db_path)) as db:
        valid = [api_keys.check(db, secret, now=NOW) is not None for _, secret in keys]
    assert valid == [False, True]


def test_older_schema_is_upgraded(db_path: Path, tmp_path: Path) -> None:
    source = tmp_path / "old.db"
    make_old(source)
    before = source.read_bytes()
    restore.run(source, db_path, now=NOW)
    data(db_path)
    assert source.read_bytes() == before
    assert not [name for name in names(tmp_path) if "schema" in name]


def newer(path: Path) -> None:
    apsw.Connection(str(path)).pragma("user_version", upgrade.SCHEMA_VERSION + 1)


def foreign(path: Path) -> None:
    apsw.Connection(str(path)).pragma("application_id", 7)


def no_database(path: Path) -> None:
    path.write_text("dear all, " * 1000)


def broken_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = len(content) // 8192 * 4096
    content[at : at + 4096] = bytes(range(256)) * 16
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096])


def wrong_candle(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE candle SET volume = volume + 1 WHERE kind = 0")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "raised", "line"),
    [
        (newer, ForeignDatabase, "newer than this program's"),
        (foreign, ForeignDatabase, "it is not one of GFIL's"),
        (no_database, ForeignDatabase, "it is not an SQLite database"),
        (broken_page, (integrity.Unsound, DatabaseError), "damaged|malformed"),
        (cut_off, (integrity.Unsound, DatabaseError), "damaged|malformed"),
        (wrong_candle, integrity.Unsound, "differs from what its base makes"),
        (Path.unlink, NotFound, "does not exist"),
    ],
)
def test_invalid_backup_changes_nothing(
    source: Path,
    db_path: Path,
    spoil: Callable[[Path], object],
    raised: type[Exception],
    line: str,
) -> None:
    spoil(source)
    old, old_epoch = data(db_path), epoch(db_path)
    with pytest.raises(raised, match=line):
        restore.run(source, db_path, now=NOW)
    assert (data(db_path), epoch(db_path)) == (old, old_epoch)
    assert not [name for name in names(db_path.parent) if "restor" in name]


def test_database_is_not_a_backup_of_itself(db_path: Path) -> None:
    with pytest.raises(BadParameter, match="the database itself"):
        restore.run(db_path, db_path, now=NOW)


def test_database_of_another_program_is_not_replaced(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    apsw.Connection(str(other)).execute("CREATE TABLE mine (a)")
    before = other.read_bytes()
    with pytest.raises(ForeignDatabase, match="not one of GFIL's"):
        restore.run(source, other, now=NOW)
    assert other.read_bytes() == before


@pytest.mark.parametrize("spoil", [broken_page, cut_off, no_database])
def test_damaged_database_is_replaced_and_kept(
    source: Path, db_path: Path, spoil: Callable[[Path], object]
) -> None:
    add(db_path)
    spoil(db_path)
    damaged = db_path.read_bytes()
    done = restore.run(source, db_path, now=NOW)
    assert data(db_path) == data(source)
    assert done.kept is not None
    assert len(done.kept.read_bytes()) == len(damaged)


def test_damaged_database_in_use_is_not_replaced(source: Path, db_path: Path) -> None:
    with hold(db_path, "SELECT * FROM symbol"):
        descriptor = os.open(db_path, os.O_WRONLY)
        os.pwrite(descriptor, b"x" * 100, 0)
        os.close(descriptor)
        with pytest.raises(InUse):
            restore.run(source, db_path, now=NOW)
    assert db_path.read_bytes()[:100] == b"x" * 100


def test_backup_that_does_not_fit_changes_nothing(
    source: Path, db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = data(db_path)
    monkeypatch.setattr(file_copy, "RESERVE_BYTES", 10**18)
    with pytest.raises(DiskFull, match="no room for a copy"):
        restore.run(source, db_path, now=NOW)
    assert data(db_path) == old


def test_full_disk_is_one_line_and_changes_nothing(source: Path, db_path: Path) -> None:
    old = data(db_path)
    done = subprocess.run(
        [sys.executable, "-m", "gfil", "restore", str(source)],
        cwd=ROOT,
        env=clean_environment(GFIL_DB=str(db_path)),
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)),
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"gfil: no room for a copy at {db_path}.restoring\n"
    assert data(db_path) == old
    assert not [name for name in names(db_path.parent) if "restor" in name]


@pytest.mark.parametrize("kind", ["write", "sync"])
def test_failed_write_leaves_the_old_or_the_new_database(
    kind: str, source: Path, db_path: Path
) -> None:
    """From the first write of the copy to the last of the new epoch."""
    old, new = data(db_path), data(source)
    for first in range(1, 400):
        failed: GfilError | None = None
        with mounted() as disk:
            disk.fault = fault = Fault(kind, first, 40, full)
            try:
                restore.run(source, db_path, now=NOW)
            except GfilError as error:
                failed = error
        if failed is None:
            break
        connection.connect(
            db_path
        ).close()  # it may have to roll back a change of the header, as a server does
        assert data(db_path) == old
    assert (data(db_path), epoch(db_path) == epoch(source)) == (new, False)
    assert first > 1
    assert not fault.has_fired


def test_file_system_without_hard_links_changes_nothing(
    source: Path, db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    old = data(db_path)
    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(DatabaseError, match="has no hard links"):
        restore.run(source, db_path, now=NOW)
    assert data(db_path) == old


def test_symbolic_link_to_the_database_stays_a_link(
    source: Path, db_path: Path, tmp_path: Path
) -> None:
    real = tmp_path / "disk" / "real.db"
    real.parent.mkdir()
    db_path.rename(real)
    db_path.symlink_to(real)
    done = restore.run(source, db_path, now=NOW)
    assert db_path.is_symlink()
    assert done.kept == real.with_name("real.before-restore-20250102T030405Z.db")
    assert data(real) == data(source)


def test_command_prints_one_line_or_json(source: Path, db_path: Path) -> None:
    status, said, error = gfil(db_path, "restore", str(source))
    assert (status, error) == (0, "")
    assert said.startswith(
        f"{db_path}: restored from {source}; the previous database is now {db_path.parent}"
    )
    status, said, _ = gfil(db_path, "restore", str(source), "--json")
    told = orjson.loads(said)
    assert (status, sorted(told)) == (0, ["change", "db", "kept", "revoked", "source"])


def test_missing_backup_is_one_line(db_path: Path, tmp_path: Path) -> None:
    status, said, error = gfil(db_path, "restore", str(tmp_path / "none.db"))
    assert (status, said, error) == (
        1,
        "",
        f"gfil: the file {tmp_path / 'none.db'} does not exist\n",
    )


def test_exclusive_access_is_given_once(db_path: Path) -> None:
    with file_swap.exclusive_access(db_path) as old:
        assert old is not None
        with pytest.raises(InUse), file_swap.exclusive_access(db_path):
            pass
