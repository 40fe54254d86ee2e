"""Counts of all the workers of a server: a folder in memory, new at its start, gone at its end."""

import contextlib
import fcntl
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""How `prometheus_client` is told of the folder, before it is imported."""

PREFIX = "gfil-counts-"
MEMORY = Path("/dev/shm")
LOCK = "lock"
LOCK_WAIT_S = 0.5
OF_THE_DEAD = "0"  # no worker's id

UNREADABLE = (struct.error, RuntimeError, ValueError)
"""What `prometheus_client` raises of a file that is damaged, or not finished yet."""


def create() -> None:
    """Make the folder of a server that starts, and remove those of servers that were killed.

    Their files only grow, so none outlives its server.
    """
    memory = MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    for left in memory.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or gone already
            if (held := _hold(left)) is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(held)
    held = None
    while held is None:  # another server that starts may have taken it for one that was left
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=memory))
        with contextlib.suppress(OSError):
            held = _hold(folder)
    (folder / LOCK).touch()
    os.environ[VARIABLE] = str(folder)


def repair() -> None:
    """Make the folder again where something tidied it away: without it no worker can start."""
    name = os.environ.get(VARIABLE)
    if name and not Path(name).is_dir():
        folder = Path(name)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        (folder / LOCK).touch()
        _hold(folder)


def _hold(folder: Path) -> int | None:
    # The lock lives as long as any process of the server, also one that was killed with -9 or that
    # runs in another container on the same memory. A server that replaces itself takes a new one.
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
    """Remove the folder of a server that ends."""
    if folder := find():
        shutil.rmtree(folder, ignore_errors=True)


def find() -> Path | None:
    """Return the folder, None where no server has made one, or where somebody removed it."""
    name = os.environ.get(VARIABLE)
    return Path(name) if name and Path(name).is_dir() else None


def keep(worker: int) -> None:
    """Add what a dead worker has counted to what all the dead have, in one file of each kind.

    So the files of workers that come and go do not pile up.
    """
    folder = find()
    if folder is None:
        return
    for path in folder.glob(f"gauge_live*_{worker}.db"):
        path.unlink()  # what it has been doing it does no more
    with _locked(folder, fcntl.LOCK_EX) as alone:
        if alone:  # else its files go on being read as they are
            for path in folder.glob(f"*_{worker}.db"):
                with contextlib.suppress(*UNREADABLE):  # killed as it made the file
                    _add(path, folder / path.name.replace(f"_{worker}.", f"_{OF_THE_DEAD}."))
                path.unlink()


def _add(path: Path, dead: Path) -> None:
    from prometheus_client.mmap_dict import MmapedDict

    counted = [*MmapedDict.read_all_values_from_file(os.fspath(path))]
    try:
        [*MmapedDict.read_all_values_from_file(os.fspath(dead))]
    except FileNotFoundError:
        pass
    except UNREADABLE:
        dead.unlink()  # what it had is lost; else all that come after would be too
    total = MmapedDict(os.fspath(dead))
    for key, value, stamp, _ in counted:
        before, _ = total.read_value(key)
        both = max(before, value) if path.name.startswith("gauge_max") else before + value
        total.write_value(key, both, stamp)
    total.close()


@contextlib.contextmanager
def reading() -> Iterator[Path | None]:
    """Let no count move from one file to another within the block, which is given the folder."""
    folder = find()
    if folder is None:
        yield None
        return
    with _locked(folder, fcntl.LOCK_SH):
        yield folder


@contextlib.contextmanager
def _locked(folder: Path, how: int) -> Iterator[bool]:
    deadline = time.monotonic() + LOCK_WAIT_S
    with (folder / LOCK).open() as lock:
        while True:
            try:
                fcntl.flock(lock, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:  # the master never hangs on a worker that does
                    yield False
                    return
                time.sleep(0.01)
        yield True
