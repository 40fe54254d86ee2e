"""Locks among processes, each an empty file beside the database: held until they end, or let go."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def acquire(path: Path) -> int | None:
    """Return the descriptor of a lock that is this process's from now on; None: another has it.

    To open one of SQLite's own files instead would drop its locks (sqlite.org/howtocorrupt.html).
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if os.geteuid() == 0:  # root restores, and the service is to take it next
        owner = path.parent.stat()
        os.fchown(file, owner.st_uid, owner.st_gid)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel ends it with us
    except OSError:
        os.close(file)
        return None
    return file


@contextmanager
def hold(path: Path) -> Iterator[bool]:
    """Hold a lock for the time of the block; tell whether it is held, or another has it."""
    lock = acquire(path)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)


def checkpointer_path(database: Path) -> Path:
    """Return the lock of the one process of a server that copies the WAL into the database."""
    return database.with_name(f"{database.name}-checkpointer")


def backup_path(database: Path) -> Path:
    """Return the lock of whoever backs the database up."""
    return database.with_name(f"{database.name}-backup")
