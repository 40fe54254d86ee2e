"""Ballast: a file that holds some of the disk, to be thrown off where a full one must be pruned.

To delete rows takes room too: they are gone only when the write-ahead log says so.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gfil.maintenance.free_space import MB, read_free_bytes

BYTES = 32 * MB  # the write-ahead log may be as large, and has to come into the database
NEEDED_BYTES = 64 * MB  # with so much free nothing has to be thrown off
PART = 4  # of what is free, where that is little


def find(database: Path) -> Path:
    """Return where the ballast of a database is: `gfil.ballast` beside `gfil.db`."""
    return database.with_suffix(".ballast")


def make(database: Path, keep_free_mb: int) -> None:
    """Make the ballast where there is none and so much is left free; else there is none."""
    path = find(database)
    free = read_free_bytes(database)
    size = min(BYTES, free // PART)
    if path.exists() or not database.exists() or free - size < keep_free_mb * MB:
        return
    with suppress(OSError):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(file, 0, size)
        except OSError:
            path.unlink()
        finally:
            os.close(file)


def is_needed(database: Path) -> bool:
    """Say whether there is little room."""
    return read_free_bytes(database) < NEEDED_BYTES


@contextmanager
def released(database: Path, keep_free_mb: int) -> Iterator[None]:
    """Do without the ballast for the time of the block, if there is little room."""
    if is_needed(database):
        find(database).unlink(missing_ok=True)
    try:
        yield
    finally:
        make(database, keep_free_mb)
