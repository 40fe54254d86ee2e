"""A prune on a full disk frees enough room for ingest."""

import os
import subprocess
import sys
from pathlib import Path

import orjson

from tests.conftest import clean_environment, wait_for
from tests.faults.test_full_disk import Small, small

DAYS = 25


def command(it: Small, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command in the mount namespace of the small disk."""
    process = it.server.process.pid
    folder = Path("/", *it.folder.parts[4:])  # the path inside the namespace
    inside = ["nsenter", "-m", "-t", str(process), sys.executable, "-m", "gfil", *words]
    environment = clean_environment(GFIL_DB=str(folder / "gfil.db"), GFIL_MIN_FREE_MB="0")
    return subprocess.run(inside, input=stdin, env=environment, capture_output=True, check=False)


def minutes() -> bytes:
    """Return some weeks of old M1 as CSV."""
    lines = (f"{1_700_006_400 + 60 * n},1,2,1,2,{n % 7}" for n in range(DAYS * 1440))
    return "\n".join(["time,open,high,low,close,volume", *lines, ""]).encode()


def free(it: Small) -> int:
    disk = os.statvfs(it.folder)
    return disk.f_bavail * disk.f_frsize


def test_prune_works_on_a_full_disk_and_ingest_resumes(tmp_path: Path) -> None:
    with small(tmp_path, free_mb_min=0) as it:
        done = command(it, "import", "-", "--symbol", "X", "--tf", "M1", stdin=minutes())
        assert done.returncode == 0, done.stderr
        assert command(it, "retention", "M1=5d", "ticks=5d").returncode == 0
        assert command(it, "prune").returncode == 0  # the first prune creates the ballast
        assert (it.folder / "gfil.ballast").stat().st_size > 100_000
        it.fill(leave_mb=0)
        wait_for(lambda: it.post()[0] == 507, "the disk is full")
        assert it.reads() in (200, 404)
        assert free(it) < 100_000
        done = command(it, "prune", "--imported", "--json")
        assert done.returncode == 0, done.stderr
        assert orjson.loads(done.stdout)["bytes"] > 0
        wait_for(lambda: it.post()[0] == 200, "ticks are taken in again")
