"""Room on the disk: below a floor nothing more is taken in, and what is there goes on working."""

from pathlib import Path

from gfil.errors import DiskFull
from gfil.store.engine import file_copy

MB = 1_000_000


def read_free_bytes(database: Path) -> int:
    """Return how much more may be written where the database is."""
    return file_copy.read_free_bytes(database.parent)


def check_room(database: Path, free_mb_min: int) -> None:
    """Refuse to take in more while less than the floor is free.

    Raises:
        DiskFull: it is so.
    """
    free_mb = read_free_bytes(database) // MB
    if free_mb < free_mb_min:
        raise DiskFull(
            f"the disk is nearly full: {free_mb} MB are free and GFIL_MIN_FREE_MB is "
            f"{free_mb_min}; nothing was stored"
        )
