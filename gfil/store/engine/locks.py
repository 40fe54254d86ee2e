"""Locks between processes: empty files next to the database, locked until released or exit."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def acquire(path: Path) -> int | None:
    """Acquire a lock; return its file descriptor, or None if another process has it.

    The lock is a separate file: opening and closing SQLite's files would drop SQLite's locks
    (sqlite.org/howtocorrupt.html).
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if os.geteuid() == 0:  # root restores a backup, then the service must open the file
        owner = path.parent.stat()
        os.fchown(file, owner.st_uid, owner.st_gid)
    try:
        fcntl.flock(
            file, fcntl.LOCK_EX | fcntl.LOCK_NB
        )  # the kernel releases the lock when the process ends
    except OSError:
        os.close(file)
        return None
    return file


@contextmanager
def hold(path: Path) -> Iterator[bool]:
    """Hold a lock during the block; yield whether it was acquired."""
    lock = acquire(path)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)


def checkpointer_path(database: Path) -> Path:
    """Return the path of the lock of the one process of a server that checkpoints the WAL."""
    return database.with_name(f"{database.name}-checkpointer")


def backup_path(database: Path) -> Path:
    """Return the path of the lock of the process that backs up the database."""
    return database.with_name(f"{database.name}-backup")
