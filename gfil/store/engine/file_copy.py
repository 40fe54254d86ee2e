"""Copies of a database: consistent while it is written, checked, and either whole or not there."""

import errno
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw

from gfil.errors import DiskFull

SPARE_BYTES = 16_000_000  # a copy must not take the very last of the disk
# What a full disk may say beside ENOSPC, and SQLite takes for a broken one: a quota, a limit.
NO_ROOM = (errno.EDQUOT, errno.EFBIG)

PART = ".part"  # at the end of the name of a copy that is not ready

WRITE_COPY = "VACUUM INTO :path"


def read_free_bytes(folder: Path) -> int:
    """Return how much more may be written to the disk of a folder."""
    disk = os.statvfs(folder)  # 1 µs: nothing to remember
    return disk.f_bavail * disk.f_frsize


def check_pages(path: Path) -> None:
    """Read a whole copy, as SQLite checks it.

    Raises:
        apsw.Error: it is not sound.
    """
    with closing(apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READONLY)) as copy:
        if (found := copy.pragma("integrity_check", 1)) != "ok":
            raise apsw.CorruptError(f"the copy is not sound: {found}")


def write_copy(
    db: apsw.Connection, target: Path, check: Callable[[Path], object] = check_pages
) -> None:
    """Write a copy of the database as it is now; a file of that name is replaced once all is well.

    One process at a time may write it: what another has left unfinished is removed. `check` gets
    the copy under another name, and raises an error if it is not to have its own.

    Raises:
        DiskFull: it does not fit; nothing is left of it.
        apsw.Error: it could not be read or written, or has not passed its check.
    """
    pages = db.pragma("page_count") - db.pragma("freelist_count")
    size_bytes = pages * db.pragma("page_size")
    if read_free_bytes(target.parent) < size_bytes + SPARE_BYTES:
        raise DiskFull(f"no room for a copy of {size_bytes // 1_000_000} MB at {target}")
    part = target.with_name(target.name + PART)
    _remove(part)
    try:
        db.execute(WRITE_COPY, {"path": os.fspath(part)})
        check(part)
        sync_file(part)
        part.replace(target)
        sync_file(target.parent)
    except (apsw.FullError, apsw.IOError) as error:
        if isinstance(error, apsw.IOError) and db.system_errno not in NO_ROOM:
            raise
        raise DiskFull(f"no room for a copy at {target}") from error
    finally:
        _remove(part)


def _remove(part: Path) -> None:
    for end in ("-journal", "-wal", "-shm"):  # or the next one gets it back
        part.with_name(part.name + end).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk itself."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
