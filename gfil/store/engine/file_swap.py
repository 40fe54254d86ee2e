"""Replace the database file with another: atomically, and only while no process has it open."""

import errno
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from gfil.errors import Conflict, DatabaseError
from gfil.store.engine import connection, file_copy
from gfil.store.engine.connection import Connection

EXCLUSIVE_WAIT_MS = 200  # for a reader that is about to end


class InUse(Conflict):
    """Another process has the database open."""

    type = "in_use"
    title = "In use"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is in use: first stop its server and other programs that use it")


@contextmanager
def exclusive_access(path: Path) -> Iterator[Connection | None]:
    """Lock a database against all other processes during the block; yield the locking connection.

    The WAL is checkpointed and removed first. For a damaged file it yields None: only file locks
    protect it, and its WAL stays.

    Raises:
        InUse: another process has it open. (A killed process has not: the kernel drops its locks.)
        ForeignDatabase: the file is sound, but not a GFIL database.
    """
    try:
        db = _open_exclusively(path)
    except (apsw.BusyError, apsw.LockedError) as error:
        raise InUse(path) from error
    except apsw.Error:  # damaged, which may be the reason of the swap
        with _locked(path):
            yield None
    else:
        with closing(db):
            yield db


BEGIN_EXCLUSIVE = "BEGIN EXCLUSIVE"


def _open_exclusively(path: Path) -> Connection:
    db = Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        db.set_busy_timeout(EXCLUSIVE_WAIT_MS)
        connection.check_ours(db, path, oldest=0)
        # This succeeds only for the sole connection. Later connections find no WAL to write to; by
        # its name such a WAL would belong to the database that replaces this one.
        if db.pragma("journal_mode", "DELETE") != "delete":
            raise apsw.BusyError
        db.execute(BEGIN_EXCLUSIVE)
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # Through SQLite's file layer: every connection to a WAL-mode database holds a shared lock.
    flags = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE
    try:
        file = apsw.VFSFile("", os.fspath(path), [flags, 0])
    except apsw.Error as error:
        raise DatabaseError(path, str(error)) from error
    try:
        file.xLock(apsw.SQLITE_LOCK_SHARED)
        file.xLock(apsw.SQLITE_LOCK_EXCLUSIVE)
        yield
    except apsw.BusyError as error:
        raise InUse(path) from error
    finally:
        file.xClose()


def swap(database: Path, successor: Path, old_path: Path) -> Path | None:
    """Move `successor` to the path of a database under `exclusive_access`.

    The old database moves to `old_path`. At every moment, also at a power cut, one of the two has
    the name.

    Returns:
        `old_path`, or None if there was no database.
    """
    wal, shm = (database.with_name(f"{database.name}-{end}") for end in ("wal", "shm"))
    had_one = database.exists()
    if had_one:
        _link(database, old_path)  # between two renames there would be no database
    if wal.exists():  # WAL of a damaged or missing database; SQLite would apply it to the successor
        _link(wal, old_path.with_name(f"{old_path.name}-wal"))
        file_copy.sync_file(database.parent)
        wal.unlink()
    shm.unlink(missing_ok=True)
    file_copy.sync_file(database.parent)
    successor.replace(database)
    file_copy.sync_file(database.parent)
    return old_path if had_one else None


def _link(path: Path, second: Path) -> None:
    try:
        os.link(path, second)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        reason = "its file system has no hard links: move the file elsewhere, then restore"
        raise DatabaseError(path, reason) from error
