"""The metrics directory of `prometheus_client`: created at the start, removed at the end.

The library counts in files of each worker, adds them up (`MultiProcessCollector`) and removes the
live gauges of a dead worker (`mark_process_dead`). It leaves the directory to the application:

- The directory must be empty at the start, because files of counters never shrink. Each server
  therefore creates its own, and removes directories of servers that were killed.
- Counter files of dead workers must stay, or counters would go down. A worker leaves three files of
  about 64 kB in memory. Gunicorn restarts workers only after a crash or a reload, and the next
  start of the server begins with an empty directory.
"""

import contextlib
import fcntl
import os
import shutil
import struct
import tempfile
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that `prometheus_client` reads when it is imported."""

PREFIX = "gfil-counts-"
MEMORY = Path("/dev/shm")

UNREADABLE = (struct.error, RuntimeError, ValueError)
"""Errors of `prometheus_client` for a file that is damaged or not yet complete."""


def create() -> None:
    """Create the directory of this server, and remove those of servers that were killed."""
    memory = MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    for left in memory.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # of another user, or already removed
            if (lock := _lock(left)) is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)
    lock = None
    while lock is None:  # another starting server may have removed the folder before it was locked
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=memory))
        with contextlib.suppress(OSError):
            lock = _lock(folder)
    os.environ[VARIABLE] = str(folder)


def repair() -> None:
    """Create the directory again if it was deleted: without it no worker can start."""
    name = os.environ.get(VARIABLE)
    if name and not Path(name).is_dir():
        folder = Path(name)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        _lock(folder)


def _lock(folder: Path) -> int | None:
    # The lock lasts as long as any process of the server, also after kill -9 or in another
    # container that shares the memory.
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder.stat().st_ino == os.fstat(opened).st_ino:
            return opened
    except OSError:
        pass
    os.close(opened)
    return None


def remove() -> None:
    """Remove the directory at the end of the server."""
    if folder := find():
        shutil.rmtree(folder, ignore_errors=True)


def find() -> Path | None:
    """Return the directory; None without a server, or if it was deleted."""
    name = os.environ.get(VARIABLE)
    return Path(name) if name and Path(name).is_dir() else None


def mark_worker_dead(pid: int) -> None:
    """Remove the live gauges of a dead worker; its counters keep counting."""
    from prometheus_client.multiprocess import mark_process_dead  # slow to import, rarely needed

    if find():
        mark_process_dead(pid)
