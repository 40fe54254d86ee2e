"""Copy a database while it is in use; a copy is checked, and either complete or absent."""

import errno
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw

from gfil.errors import DiskFull
from gfil.wording import format_size

RESERVE_BYTES = 16_000_000  # stay free on the disk after a copy
# Errors of a disk without room (a quota, a limit) that SQLite reports as I/O errors.
NO_ROOM = (errno.EDQUOT, errno.EFBIG)

PART = ".part"  # suffix of an incomplete copy


def read_free_bytes(folder: Path) -> int:
    """Return the free bytes on the disk of a folder."""
    disk = os.statvfs(folder)  # takes 1 µs: no cache
    return disk.f_bavail * disk.f_frsize


def check_pages(path: Path) -> None:
    """Check a whole copy with SQLite's integrity_check.

    Raises:
        apsw.Error: the copy is damaged.
    """
    with closing(apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READONLY)) as copy:
        if (found := copy.pragma("integrity_check", 1)) != "ok":
            raise apsw.CorruptError(f"the copy is not sound: {found}")


WRITE_COPY = "VACUUM INTO :path"


def write_copy(
    db: apsw.Connection, target: Path, check: Callable[[Path], object] = check_pages
) -> None:
    """Write a copy of the database; it replaces `target` once it is complete and checked.

    Only one process may write a target at a time; incomplete copies of earlier ones are removed.
    `check` receives the path of the complete copy before it is renamed, and raises to reject it.

    Raises:
        DiskFull: the copy does not fit; no file is left of it.
        apsw.Error: the database could not be read, the copy not written, or the check failed.
    """
    pages = db.pragma("page_count") - db.pragma("freelist_count")
    size_bytes = pages * db.pragma("page_size")
    if read_free_bytes(target.parent) < size_bytes + RESERVE_BYTES:
        raise DiskFull(f"no room for a copy of {format_size(size_bytes)} at {target}")
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
    for end in ("-journal", "-wal", "-shm"):  # else SQLite applies the rest to the next copy
        part.with_name(part.name + end).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Sync a file, or the names in a folder, to the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
