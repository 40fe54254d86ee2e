"""Power cuts during backup and restore: BACKUP-RESTORABLE, the old database or the new one.

The name of a file changes at once, or not; what was written to it may be lost unless it was synced.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from gfil.maintenance import backup, restore
from gfil.store.engine import connection, file_copy
from tests.faults import workloads
from tests.faults.disk import Op, Tape, recorded
from tests.faults.images import images, lay
from tests.faults.sizes import LONG, seeded
from tests.oracle.database import State, check_derived, read_state

IMAGES = 2000 if LONG else 300
AFTER = 60  # more cuts behind the last operation, each with other unsynced writes
NOW = 1_735_787_045
Lost = (AssertionError, apsw.Error)


@contextmanager
def renaming(monkeypatch: pytest.MonkeyPatch, database: Path, last: str) -> Iterator[Tape]:
    """Record operations and syncs; mark the point where a file gets the `last` name."""
    replace = Path.replace

    def note_sync(path: Path) -> None:
        if path.is_file():
            tape.ops.append(Op("sync", path.name))

    def note_replace(path: Path, target: Path) -> Path:
        if Path(target).name == last:
            tape.mark(path.name)
        return replace(path, target)

    with recorded(database) as tape, monkeypatch.context() as patched:
        patched.setattr(file_copy, "sync_file", note_sync)
        patched.setattr(Path, "replace", note_replace)
        yield tape
    tape.ops += [Op("sync", "another")] * AFTER


def read(path: Path) -> State:
    """Return the state of a file, which must be a sound database that obeys the laws."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    with closing(connection):
        connection.pragma("locking_mode", "EXCLUSIVE")
        assert connection.pragma("integrity_check") == "ok"
        check_derived(connection)
        return read_state(connection)


@pytest.fixture
def state(db_path: Path) -> State:
    """Return the state of a database that no connection has open."""
    with closing(connection.connect(db_path)) as db:
        for step in workloads.late_candles(seeded("copies"))[:12]:
            step(db)
    return read(db_path)


def cut_backup(tape: Tape, folder: Path, part: str, wanted: State) -> int:
    """Check every backup found after each cut; return their number."""
    found = 0
    for image in images(tape, seeded("backup cuts"), IMAGES):
        if image.promised:  # the backup may have its name
            lay({"backup.db": image.files.get(part, b"")}, folder)
            assert read(folder / "backup.db") == wanted
            found += 1
    return found


def test_every_file_named_as_a_backup_is_whole_after_a_power_cut(
    db_path: Path, folder: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = db_path.with_name("gfil.db.copy")
    with renaming(monkeypatch, db_path, target.name) as tape, closing(connection.connect(db_path)):
        backup.write(db_path, target, now=NOW)
    assert cut_backup(tape, folder, "gfil.db.copy.part", state) > 0


def too_early(db: apsw.Connection, target: Path, check: Callable[[Path], object]) -> None:
    """A mutant that renames the backup before its sync."""
    part = target.with_name(target.name + file_copy.PART)
    db.pragma("synchronous", "OFF")
    db.execute(file_copy.WRITE_COPY, {"path": str(part)})
    check(part)
    part.replace(target)
    file_copy.sync_file(target)


def test_mutant_that_renames_before_the_sync_is_caught(
    db_path: Path, folder: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = db_path.with_name("gfil.db.copy")
    monkeypatch.setattr(file_copy, "write_copy", too_early)
    with renaming(monkeypatch, db_path, target.name) as tape, closing(connection.connect(db_path)):
        backup.write(db_path, target, now=NOW)
    with pytest.raises(Lost):
        cut_backup(tape, folder, "gfil.db.copy.part", state)


def cut_restore(tape: Tape, folder: Path, old: State, new: State) -> set[bool]:
    """Check the database after each cut: the old one, then the new one."""
    part = "gfil.db.restoring.part"
    seen = set()
    for image in images(tape, seeded("restore cuts"), IMAGES):
        is_new = bool(image.promised)
        files = {
            name: image.files[name] for name in ("gfil.db", "gfil.db-wal") if name in image.files
        }
        lay({"gfil.db": image.files[part]} if is_new else files, folder)
        assert read(folder / "gfil.db") == (new if is_new else old)
        seen.add(is_new)
    return seen


def test_restore_leaves_the_old_or_the_new_database_after_a_power_cut(
    db_path: Path, folder: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = backup.write(db_path, db_path.with_name("backup.db"), now=NOW).path
    with closing(connection.connect(db_path)) as db:
        workloads.send("M1", workloads.minutes(seeded("since"), workloads.DAY + 86400, 20))(db)
    old = read(db_path)
    with renaming(monkeypatch, db_path, "gfil.db") as tape:
        restore.run(source, db_path, now=NOW)
    new = read(db_path)
    assert new["candle"] == state["candle"] != old["candle"]
    assert cut_restore(tape, folder, old, new) == {False, True}


def test_mutant_restore_without_sync_is_caught(
    db_path: Path, folder: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = backup.write(db_path, db_path.with_name("backup.db"), now=NOW).path
    monkeypatch.setattr(file_copy, "write_copy", too_early)
    configure = connection._configure_writer

    def lax(db: apsw.Connection) -> None:
        configure(db)
        db.pragma("synchronous", "OFF")

    monkeypatch.setattr(connection, "_configure_writer", lax)
    with renaming(monkeypatch, db_path, "gfil.db") as tape, monkeypatch.context() as inner:
        inner.setattr(
            file_copy, "sync_file", lambda path: None
        )  # taken back before that of the tape
        restore.run(source, db_path, now=NOW)
    with pytest.raises(Lost):
        cut_restore(tape, folder, state, read(db_path))
