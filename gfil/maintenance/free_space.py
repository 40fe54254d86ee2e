"""Free disk space: the floor below which ingest stops, and the ballast that a prune releases.

The ballast is a file that reserves disk space. A prune of a full disk deletes it first, because
deleting rows writes to the write-ahead log before it frees pages.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gfil.errors import DiskFull
from gfil.store.engine import file_copy
from gfil.wording import MB

BALLAST_BYTES = 32 * MB  # the write-ahead log can grow as large between checkpoints
BALLAST_SHARE = 4  # the ballast takes at most a quarter of the free space
TIGHT_BYTES = 64 * MB  # with less free space a prune releases the ballast


def read_free_bytes(database: Path) -> int:
    """Return how many bytes can still be written where the database is."""
    return file_copy.read_free_bytes(database.parent)


def check_room(database: Path, free_mb_min: int) -> None:
    """Refuse ingest while the free space is below the floor.

    Raises:
        DiskFull: less than `free_mb_min` MB are free.
    """
    free_mb = read_free_bytes(database) // MB
    if free_mb < free_mb_min:
        raise DiskFull(
            f"the disk is nearly full: {free_mb} MB are free and GFIL_MIN_FREE_MB is "
            f"{free_mb_min}; nothing was stored"
        )


def is_tight(database: Path) -> bool:
    """Return whether so little is free that a prune must work in the smallest batches."""
    return read_free_bytes(database) < TIGHT_BYTES


def ballast_path(database: Path) -> Path:
    """Return the path of the ballast of a database: `gfil.ballast` next to `gfil.db`."""
    return database.with_suffix(".ballast")


def create_ballast(database: Path, free_mb_min: int) -> None:
    """Create the ballast unless it exists or would push the free space below the floor."""
    path = ballast_path(database)
    free_bytes = read_free_bytes(database)
    size_bytes = min(BALLAST_BYTES, free_bytes // BALLAST_SHARE)
    is_possible = database.exists() and free_bytes - size_bytes >= free_mb_min * MB
    if path.exists() or not is_possible:
        return
    with suppress(OSError):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(file, 0, size_bytes)
        except OSError:
            path.unlink()
        finally:
            os.close(file)


@contextmanager
def ballast_released(database: Path, free_mb_min: int) -> Iterator[None]:
    """Delete the ballast if space is tight, and create it again at the end of the block."""
    if is_tight(database):
        ballast_path(database).unlink(missing_ok=True)
    try:
        yield
    finally:
        create_ballast(database, free_mb_min)
