"""Copies of a database: consistent while it is written, checked, and either whole or not there."""

import os
from contextlib import closing
from pathlib import Path

import apsw

from gfil.errors import DiskFull

SPARE_BYTES = 16_000_000  # a copy must not take the very last of the disk

WRITE_COPY = "VACUUM INTO :path"


def write(db: apsw.Connection, target: Path) -> None:
    """Write a copy of the database as it is now; a file of that name is replaced once all is well.

    One process at a time may write it: what another has left unfinished is removed.

    Raises:
        DiskFull: it does not fit; nothing is left of it.
        apsw.Error: it could not be read or written, or has not passed its check.
    """
    size_bytes = db.pragma("page_count") * db.pragma("page_size")
    disk = os.statvfs(target.parent)
    if disk.f_bavail * disk.f_frsize < size_bytes + SPARE_BYTES:
        raise DiskFull(f"no room for a copy of {size_bytes // 1_000_000} MB at {target}")
    part = target.with_name(f"{target.name}.part")
    _remove(part)
    try:
        db.execute(WRITE_COPY, {"path": os.fspath(part)})
        _check(part)
        _sync(part)
        part.replace(target)
        _sync(target.parent)
    except apsw.FullError as error:
        raise DiskFull(f"no room for a copy at {target}") from error
    finally:
        _remove(part)


def _remove(part: Path) -> None:
    part.with_name(f"{part.name}-journal").unlink(missing_ok=True)  # or the next one gets it back
    part.unlink(missing_ok=True)


def _check(path: Path) -> None:
    with closing(apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READONLY)) as copy:
        if (found := copy.pragma("integrity_check", 1)) != "ok":
            raise apsw.CorruptError(f"the copy is not sound: {found}")


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
