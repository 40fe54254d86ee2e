"""Tests of gfil/counting.py: a folder for each server, and what the dead have counted."""

import fcntl
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
    pytest.param(b"", id="never finished"),
    pytest.param(struct.pack(ENTRY, 40, 0, 9999, b"name", 0.0, 0.0), id="beyond its end"),
    pytest.param(struct.pack(ENTRY, 4000, 0, 4, b"name", 0.0, 0.0), id="cut off"),
    pytest.param(struct.pack(ENTRY, 40, 0, 4, b"\xff" * 4, 0.0, 0.0), id="no text"),
]
"""Files of counts that cannot be read."""


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A memory of its own for each test."""
    monkeypatch.setattr(prometheus_dir, "MEMORY", tmp_path)
    monkeypatch.delenv(prometheus_dir.VARIABLE, raising=False)
    yield tmp_path
    os.environ.pop(prometheus_dir.VARIABLE, None)


def folders(memory: Path) -> set[Path]:
    return set(memory.glob(f"{prometheus_dir.PREFIX}*"))


def begin() -> Path:
    prometheus_dir.create()
    made = prometheus_dir.find()
    assert made is not None
    return made


def write(path: Path, **counts: float) -> None:
    file = MmapedDict(str(path))
    for name, value in counts.items():
        file.write_value(name, value, 0.0)
    file.close()


def read(path: Path) -> dict[str, float]:
    found = MmapedDict.read_all_values_from_file(str(path))
    return {name: value for name, value, _, _ in found}


def test_each_start_makes_a_folder_of_its_own(memory: Path) -> None:
    first, second = begin(), begin()
    assert folders(memory) == {first, second}  # the first is held by this process
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


def test_folder_of_a_killed_server_is_removed_and_that_of_a_running_one_kept(memory: Path) -> None:
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
    wait_for(lambda: other.poll() is not None, "its end")
    following = begin()
    assert folders(memory) == {ours, following}


def test_files_in_the_way_are_left_alone(memory: Path) -> None:
    (memory / f"{prometheus_dir.PREFIX}file").touch()
    (memory / "gfil-other").mkdir()
    ours = begin()
    assert {path.name for path in memory.iterdir()} == {
        *(f"{prometheus_dir.PREFIX}file", "gfil-other", ours.name)
    }


def test_the_dead_add_up_in_one_file_of_each_kind(memory: Path) -> None:
    folder = begin()
    write(folder / "counter_11.db", a=1, b=2)
    write(folder / "counter_12.db", b=3, c=4)
    write(folder / "counter_111.db", a=100)
    write(folder / "histogram_11.db", h=0.5)
    write(folder / "gauge_max_11.db", g=7)
    write(folder / "gauge_max_12.db", g=5)
    for dead in (11, 12, 13):
        prometheus_dir.keep(dead)
    assert {path.name: read(path) for path in folder.glob("*.db")} == {
        "counter_0.db": {"a": 1, "b": 5, "c": 4},
        "counter_111.db": {"a": 100},
        "histogram_0.db": {"h": 0.5},
        "gauge_max_0.db": {"g": 7},
    }


def test_a_file_that_was_never_finished_counts_nothing(memory: Path) -> None:
    folder = begin()
    (folder / "counter_11.db").touch()
    prometheus_dir.keep(11)
    assert [path.name for path in folder.glob("*_11.db")] == []


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_files_of_ended_workers_are_removed_and_later_ones_add_up(
    memory: Path, content: bytes
) -> None:
    folder = begin()
    (folder / "counter_11.db").write_bytes(content)
    (folder / "counter_0.db").write_bytes(content)
    write(folder / "counter_12.db", a=1)
    write(folder / "counter_13.db", a=2)
    prometheus_dir.keep(11)
    assert not (folder / "counter_11.db").exists()
    prometheus_dir.keep(12)
    prometheus_dir.keep(13)
    assert {path.name: read(path) for path in folder.glob("*.db")} == {"counter_0.db": {"a": 3}}


def test_nothing_moves_while_it_is_read(memory: Path) -> None:
    folder = begin()
    write(folder / "counter_11.db", a=1)
    with prometheus_dir.reading() as seen:
        assert seen == folder
        prometheus_dir.keep(11)
        assert (folder / "counter_11.db").exists()
    with (
        folder / prometheus_dir.LOCK
    ).open() as lock:  # a scrape that hangs does not stop the next one
        fcntl.flock(lock, fcntl.LOCK_EX)
        with prometheus_dir.reading() as seen:
            assert seen == folder


def test_without_a_server_there_is_nothing_to_keep_or_end() -> None:
    with prometheus_dir.reading() as seen:
        assert seen is None
    prometheus_dir.keep(11)
    prometheus_dir.remove()
    assert prometheus_dir.find() is None


def test_a_folder_that_somebody_removed_stops_nobody(memory: Path) -> None:
    ours = begin()
    shutil.rmtree(ours)
    prometheus_dir.keep(11)
    with prometheus_dir.reading() as seen:
        assert seen is None
    prometheus_dir.remove()
    for _ in range(2):
        prometheus_dir.repair()
        with prometheus_dir.reading() as seen:
            assert seen == ours
    assert ours.stat().st_mode & 0o777 == 0o700
    following = begin()
    assert folders(memory) == {ours, following}
