"""What a database stands on: how quickly its disk syncs, and the versions of what reads it."""

import os
import platform
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile
from time import perf_counter

import apsw

from gfil.config import VERSION
from gfil.store.engine.upgrade import SCHEMA_VERSION

SYNCS = 15
PAGE = bytes(4096)
SYNC_MIN_US = 20.0  # no medium is quicker; one that seems so says it is done before it is
IN_MEMORY = {"tmpfs", "ramfs"}
SQLITE_MIN = (3, 51, 3)  # before it a bug of WAL could corrupt the file (sqlite.org/wal.html)


def measure_sync_us(folder: Path) -> float:
    """Return how many microseconds the disk of a folder takes to have a page safe, as a median."""
    took = []
    with NamedTemporaryFile(dir=folder, prefix=".gfil-sync-") as file:
        for _ in range(SYNCS):
            os.pwrite(file.fileno(), PAGE, 0)
            began = perf_counter()
            os.fdatasync(file.fileno())
            took.append(perf_counter() - began)
    return median(took) * 1e6


def find_file_system(folder: Path) -> str:
    """Return the kind of file system a folder is on, such as `ext4`; empty where none tells."""
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        mount, _, kind = line.partition(" - ")
        if mount.split()[2] == wanted:
            return kind.split()[0]
    return ""


def judge_sync(took_us: float, file_system: str) -> tuple[bool, str]:
    """Say whether so quick a sync can be true, and what it means if not."""
    told = f"a sync takes {took_us / 1000:.3g} ms on {file_system or 'this disk'}"
    if file_system in IN_MEMORY:
        return True, f"{told}, in memory: nothing of it survives a cut of the power"
    if took_us < SYNC_MIN_US:
        return False, f"{told}: it cannot be true, and a cut of the power may lose what was stored"
    return True, told


def describe_versions() -> str:
    """Return the versions of all that reads and writes the file."""
    return (
        f"GFIL {VERSION}, schema {SCHEMA_VERSION}, SQLite {apsw.sqlite_lib_version()}, "
        f"Python {platform.python_version()}"
    )


def judge_versions(sqlite: str, python: tuple[int, ...]) -> str | None:
    """Return what is wrong with a version of SQLite or Python, None where nothing is."""
    if tuple(map(int, sqlite.split("."))) < SQLITE_MIN:
        return f"SQLite before {'.'.join(map(str, SQLITE_MIN))} may corrupt a WAL: renew .venv"
    return "Python 3.11 or newer is needed" if python < (3, 11) else None
