"""One database in place of another: only where nobody has it open, and never half."""

import errno
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from gfil.errors import Conflict, DatabaseError
from gfil.store.engine import connection, file_copy
from gfil.store.engine.connection import Connection

ALONE_MS = 200  # for a reader that is about to end


class InUse(Conflict):
    """Somebody has the database open."""

    type = "in_use"
    title = "In use"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is in use: stop its server, and whatever else has it open, first")


@contextmanager
def exclusive_access(path: Path) -> Iterator[Connection | None]:
    """Keep everybody from a database for the time of the block; lend the connection that does so.

    Its WAL has been copied into it then, and is gone. A file that SQLite cannot read is kept from
    the others by the locks alone, its WAL stays, and there is no connection: None.

    Raises:
        InUse: somebody has it open. Whoever was killed has not: the kernel has let go for them.
        ForeignDatabase: it is sound, but none of this program's.
    """
    try:
        alone = _open_alone(path)
    except (apsw.BusyError, apsw.LockedError) as error:
        raise InUse(path) from error
    except apsw.Error:  # it is damaged, which may be why it is to be replaced
        with _locked(path):
            yield None
    else:
        with closing(alone):
            yield alone


TAKE = "BEGIN EXCLUSIVE"


def _open_alone(path: Path) -> Connection:
    db = Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        db.set_busy_timeout(ALONE_MS)
        connection.check_ours(db, path, oldest=0)
        # Only the one connection there is can do so. Whoever opens the file after that finds no WAL
        # to write to, which by its name would be that of the database in its place.
        if db.pragma("journal_mode", "DELETE") != "delete":
            raise apsw.BusyError
        db.execute(TAKE)
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # By SQLite's own file layer: every connection to a database in WAL mode holds a shared lock.
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


def swap(database: Path, successor: Path, kept: Path) -> Path | None:
    """Put a database in the place of another, which is `taken`; return where that one is kept.

    At every moment one of the two bears the name, also after a cut of the power. None is returned
    where there was none.
    """
    wal, shm = (database.with_name(f"{database.name}-{end}") for end in ("wal", "shm"))
    had_one = database.exists()
    if had_one:
        _link(database, kept)  # between two renamings there would be no database at all
    if wal.exists():  # of one that is damaged, or gone; under this name it would be the new one's
        _link(wal, kept.with_name(f"{kept.name}-wal"))
        file_copy.sync_file(database.parent)
        wal.unlink()
    shm.unlink(missing_ok=True)
    file_copy.sync_file(database.parent)
    successor.replace(database)
    file_copy.sync_file(database.parent)
    return kept if had_one else None


def _link(path: Path, second: Path) -> None:
    try:
        os.link(path, second)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        told = "its file system gives no file a second name: move it elsewhere, then restore"
        raise DatabaseError(path, told) from error
