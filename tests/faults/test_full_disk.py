"""A small disk in memory that is really full: READS-LIVE, 507, RECOVER."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.conftest import Server, clean_environment, limit_s, wait_for
from tests.faults import workloads
from tests.server.test_gunicorn_conf import started

DISK_MB = 24
BATCH_TICKS = 2000
RECOVER_MAX_S = limit_s(10.0)


class Small:
    """A server with its database on a small disk, and that disk as seen by the test."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        # SQLite would resolve this link to the folder outside of the mount namespace.
        self.folder = Path(f"/proc/{server.process.pid}/root{folder}")
        inside = ["nsenter", "-m", "-t", str(server.process.pid), sys.executable, "-m", "gfil"]
        self.secret = subprocess.run(
            [*inside, "key", "create", "--name", "test", "--scope", "write"],
            env=clean_environment(GFIL_DB=str(folder / "gfil.db")),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        self.sent = 0

    def post(self) -> tuple[int, dict[str, object]]:
        """Send the next ticks; after a failure, the same ticks again."""
        start = workloads.DAY * 1000 + self.sent * 10
        ticks = [
            {"symbol": "EURUSD", "time_msc": start + 10 * n, "bid": 1.5 + n % 9 / 8, "ask": 3.0}
            for n in range(BATCH_TICKS)
        ]
        body = orjson.dumps({"ticks": ticks})
        answer = self.server.request("POST", "/api/v1/ticks", body, X_API_Key=self.secret)
        if answer.status == 200:
            self.sent += BATCH_TICKS
        return answer.status, orjson.loads(answer.body)

    def fill(self, leave_mb: int) -> None:
        """Fill the disk up to `leave_mb`."""
        disk = os.statvfs(self.folder)
        count = disk.f_bavail * disk.f_frsize - leave_mb * 1_000_000
        with contextlib.suppress(OSError), (self.folder / "filler").open("wb") as file:
            file.write(bytes(count))
            file.write(bytes(1_000_000 if not leave_mb else 0))

    def make_room(self) -> None:
        """Delete the filler."""
        (self.folder / "filler").unlink()

    def reads(self) -> int:
        """Ask for candles."""
        return self.server.get("/api/v1/candles?symbol=EURUSD&tf=M1").status


def small(folder: Path, free_mb_min: int) -> contextlib.AbstractContextManager[Small]:
    disk = folder / "disk"
    disk.mkdir()
    probe = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", str(disk)]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here: that takes root and Linux")
    return _small(folder, disk, free_mb_min)


@contextlib.contextmanager
def _small(folder: Path, disk: Path, free_mb_min: int) -> Iterator[Small]:
    mount = f'mount -t tmpfs -o size={DISK_MB}m tmpfs "{disk}" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, "sh", sys.executable, "-m", "gfil", "serve"]
    settings = {
        "GFIL_DB": str(disk / "gfil.db"),
        "GFIL_READ": "public",
        "GFIL_MIN_FREE_MB": str(free_mb_min),
    }
    with started(folder, command, settings) as server:
        yield Small(server, disk)


def test_full_disk_answers_507_until_there_is_room(tmp_path: Path) -> None:
    with small(tmp_path, free_mb_min=0) as it:
        assert it.post()[0] == 200
        it.fill(leave_mb=0)
        statuses = [it.post()[0] for _ in range(12)]
        assert statuses[-1] == 507
        assert set(statuses) <= {200, 507}
        assert it.reads() == 200
        assert it.server.get("/healthz").status == 200
        it.make_room()
        wait_for(lambda: it.post()[0] == 200, "an acknowledgement", RECOVER_MAX_S)
        it.sent -= BATCH_TICKS
        assert it.post()[1]["duplicates"] == BATCH_TICKS


def test_ingest_is_refused_below_the_free_space_floor(tmp_path: Path) -> None:
    with small(tmp_path, free_mb_min=8) as it:
        assert it.post()[0] == 200
        it.fill(leave_mb=6)
        status, problem = it.post()
        assert (status, problem["type"]) == (507, "disk_full")
        assert it.server.get("/readyz").status == 503
        assert it.reads() == 200
        it.make_room()
        assert it.post()[0] == 200
        assert it.server.get("/readyz").status == 200
