"""Tests of gfil/prometheus_dir.py."""

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict

from gfil import prometheus_dir
from gfil.config import ROOT
from tests.conftest import clean_environment, wait_for

ENTRY = "iii4s8xdd"
DAMAGED = [
    pytest.param(b"", id="not complete"),
    pytest.param(struct.pack(ENTRY, 40, 0, 9999, b"name", 0.0, 0.0), id="length beyond the end"),
    pytest.param(struct.pack(ENTRY, 4000, 0, 4, b"name", 0.0, 0.0), id="cut off"),
    pytest.param(struct.pack(ENTRY, 40, 0, 4, b"\xff" * 4, 0.0, 0.0), id="not UTF-8"),
]
"""Contents of metrics files that cannot be read."""


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Use a separate memory folder for each test."""
    monkeypatch.setattr(prometheus_dir, "MEMORY", tmp_path)
    monkeypatch.delenv(prometheus_dir.VARIABLE, raising=False)
    yield tmp_path
    os.environ.pop(prometheus_dir.VARIABLE, None)


def folders(memory: Path) -> set[Path]:
    return set(memory.glob(f"{prometheus_dir.PREFIX}*"))


def begin() -> Path:
    prometheus_dir.create()
    created = prometheus_dir.find()
    assert created is not None
    return created


def write(path: Path, **counts: float) -> None:
    file = MmapedDict(str(path))
    for name, value in counts.items():
        file.write_value(name, value, 0.0)
    file.close()


def read(path: Path) -> dict[str, float]:
    found = MmapedDict.read_all_values_from_file(str(path))
    return {name: value for name, value, _, _ in found}


def test_each_start_creates_its_own_directory(memory: Path) -> None:
    first, second = begin(), begin()
    assert folders(memory) == {first, second}  # this process holds the first
    assert second.stat().st_mode & 0o777 == 0o700
    prometheus_dir.remove()
    assert folders(memory) == {first}


HOLD = """
import sys, time
from pathlib import Path
from gfil import prometheus_dir
prometheus_dir.MEMORY = Path(sys.argv[1])
prometheus_dir.create()
print("held", flush=True)
time.sleep(60)
"""


def test_start_removes_directories_of_killed_servers_only(memory: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(memory)]
    with subprocess.Popen(
        command, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        (theirs,) = folders(memory)
        write(theirs / "counter_1.db", a=1)
        ours = begin()
        assert folders(memory) == {theirs, ours}
        other.kill()
    wait_for(lambda: other.poll() is not None, "the end of the other server")
    following = begin()
    assert folders(memory) == {ours, following}


def test_start_ignores_other_files_and_folders(memory: Path) -> None:
    (memory / f"{prometheus_dir.PREFIX}file").touch()
    (memory / "gfil-other").mkdir()
    ours = begin()
    assert {path.name for path in memory.iterdir()} == {
        *(f"{prometheus_dir.PREFIX}file", "gfil-other", ours.name)
    }


def test_counters_of_a_dead_worker_stay_and_its_live_gauges_go(memory: Path) -> None:
    folder = begin()
    for name in ("counter_11", "histogram_11", "gauge_max_11", "gauge_livesum_11"):
        write(folder / f"{name}.db", a=1)
    write(folder / "gauge_livesum_111.db", a=1)
    prometheus_dir.mark_worker_dead(11)
    assert {path.name for path in folder.glob("*.db")} == {
        *("counter_11.db", "histogram_11.db", "gauge_max_11.db", "gauge_livesum_111.db")
    }
    assert read(folder / "counter_11.db") == {"a": 1}


def test_without_a_server_nothing_is_marked_or_removed() -> None:
    assert prometheus_dir.find() is None
    prometheus_dir.mark_worker_dead(11)
    prometheus_dir.remove()
    assert prometheus_dir.find() is None


def test_a_deleted_directory_is_restored(memory: Path) -> None:
    ours = begin()
    shutil.rmtree(ours)
    prometheus_dir.mark_worker_dead(11)
    assert prometheus_dir.find() is None
    prometheus_dir.remove()
    for _ in range(2):
        prometheus_dir.repair()
        assert prometheus_dir.find() == ours
    assert ours.stat().st_mode & 0o777 == 0o700
    following = begin()
    assert folders(memory) == {ours, following}
