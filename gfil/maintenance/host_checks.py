"""Checks of the host: sync time and file system of the disk, versions of SQLite and Python."""

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
SYNC_MIN_US = 20.0  # a faster sync is not durable: no medium writes that quickly
IN_MEMORY = {"tmpfs", "ramfs"}
SQLITE_MIN = (3, 51, 3)  # older versions can corrupt a WAL database (sqlite.org/wal.html)


def measure_sync_us(folder: Path) -> float:
    """Return the median time in microseconds that the disk of a folder takes to sync a page."""
    times_s = []
    with NamedTemporaryFile(dir=folder, prefix=".gfil-sync-") as file:
        for _ in range(SYNCS):
            os.pwrite(file.fileno(), PAGE, 0)
            start = perf_counter()
            os.fdatasync(file.fileno())
            times_s.append(perf_counter() - start)
    return median(times_s) * 1e6


def find_file_system(folder: Path) -> str:
    """Return the file system type of a folder, such as `ext4`; empty if unknown."""
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


def check_sync(sync_us: float, file_system: str) -> tuple[bool, str]:
    """Return whether the sync time is plausible, and a description."""
    detail = f"a sync takes {sync_us / 1000:.3g} ms on {file_system or 'this disk'}"
    if file_system in IN_MEMORY:
        return True, f"{detail}, in memory: a power failure loses all data"
    if sync_us < SYNC_MIN_US:
        return False, f"{detail}: implausibly fast, a power failure may lose stored data"
    return True, detail


def describe_versions() -> str:
    """Return the versions of GFIL, its schema, SQLite and Python."""
    return (
        f"GFIL {VERSION}, schema {SCHEMA_VERSION}, SQLite {apsw.sqlite_lib_version()}, "
        f"Python {platform.python_version()}"
    )


def find_version_problem(sqlite: str, python: tuple[int, ...]) -> str | None:
    """Return the problem with a version of SQLite or Python, or None."""
    if tuple(map(int, sqlite.split("."))) < SQLITE_MIN:
        oldest = ".".join(map(str, SQLITE_MIN))
        return f"SQLite before {oldest} can corrupt a WAL database: recreate .venv"
    return "Python 3.11 or newer is needed" if python < (3, 11) else None
