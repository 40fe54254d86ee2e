"""Measured processes: start them on chosen cores, read their memory and CPU, stop them."""

import contextlib
import math
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from gfil.config import ROOT, SETTINGS
from gfil.errors import GfilError
from gfil.wording import MB

START_MAX_S = 30
STOP_MAX_S = 30
POLL_S = 0.02
CONTROL_GROUPS = Path("/sys/fs/cgroup")
SMALL_MEMORY_BYTES = 1024**3
WORKERS = 2
_KIB = 1024

SERVE = ("-m", "gfil", "serve", "--bind", "127.0.0.1:0")
HELLO = (
    "-m",
    "gunicorn",
    "-c",
    "python:gfil.server.gunicorn_conf",
    "-b",
    "127.0.0.1:0",
    "scripts.bench.hello:app",
)


class Bounds(NamedTuple):
    """Resources of a process: some cores or a control group; `description` names them."""

    description: str
    cores: frozenset[int] | None = None
    group: Path | None = None


class Server(NamedTuple):
    """A server that listens at `address`, and its master process."""

    url: str
    address: tuple[str, int]
    process: subprocess.Popen[str]


def whole_machine() -> Bounds:
    """Return no bounds."""
    return Bounds(f"all {len(os.sched_getaffinity(0))} cores")


def all_but_the_last_core() -> tuple[Bounds, Bounds]:
    """Return bounds that place a server and its client on different cores."""
    *cores, last = sorted(os.sched_getaffinity(0))
    if not cores:
        return Bounds("the only core"), Bounds("the same")
    description = "one core" if len(cores) == 1 else f"{len(cores)} cores"
    return Bounds(description, frozenset(cores)), Bounds("another", frozenset([last]))


def all_but(bounds: Bounds) -> Bounds:
    """Return bounds that keep a client off the cores of a server, if there are other cores."""
    ours = os.sched_getaffinity(0) - (bounds.cores or set())
    return Bounds("the other cores", frozenset(ours) or None)


@contextmanager
def small_server() -> Iterator[Bounds]:
    """Limit processes started in the block to one core and 1 GB, as far as possible."""
    group = _make_group(CONTROL_GROUPS / f"gfil-bench-{os.getpid()}")
    try:
        if group is None:
            core = min(os.sched_getaffinity(0))
            yield Bounds("pinned to one core, memory not limited", cores=frozenset([core]))
        else:
            yield Bounds("a control group of one core and 1 GB", group=group)
    finally:
        if group is not None:
            group.rmdir()


def _make_group(path: Path) -> Path | None:
    try:
        controllers = (path.parent / "cgroup.subtree_control").read_text().split()
        if not {"cpu", "memory"} <= {*controllers}:
            return None
        path.mkdir()
    except OSError:  # no control groups version 2, or no permission
        return None
    try:
        (path / "cpu.max").write_text("100000 100000")
        (path / "memory.max").write_text(str(SMALL_MEMORY_BYTES))
    except OSError:
        path.rmdir()
        return None
    return path


@contextmanager
def running_on(bounds: Bounds) -> Iterator[None]:
    """Run this thread, and threads and processes it starts, on the cores of the bounds."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, bounds.cores or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def environment(database: Path) -> dict[str, str]:
    """Return an environment with default settings and the given database."""
    defaults = {setting.name: setting.default for setting in SETTINGS}
    changed = {"GFIL_DB": str(database), "GFIL_READ": "public", "GFIL_WORKERS": str(WORKERS)}
    return {**os.environ, **defaults, **changed, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@contextmanager
def server(arguments: Sequence[str], database: Path, bounds: Bounds) -> Iterator[Server]:
    """Run a server of two workers until the block ends."""
    command = [sys.executable, "-P", *arguments]
    if bounds.group is not None:
        enter = 'echo $$ > "$0"/cgroup.procs && exec "$@"'
        command = ["sh", "-c", enter, str(bounds.group), *command]
    with running_on(bounds):
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(database),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    try:
        url = _read_url(process)
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        yield Server(url, (parts.hostname, parts.port), process)
    finally:
        _stop(process)


def _read_url(process: subprocess.Popen[str]) -> str:
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:  # until the end: a full pipe would block the server
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    printed = []
    with contextlib.suppress(queue.Empty):
        while (line := lines.get(timeout=START_MAX_S)) is not None:
            printed.append(line.strip())
            if match := re.search(r"http://\S+", line):
                return match[0]
    raise GfilError(f"the measured server does not start: {' '.join(printed[-1:])}")


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_MAX_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def proportional_mb(process: subprocess.Popen[str]) -> float | None:
    """Return the memory of a process and its children, shared pages counted once (PSS)."""
    try:
        sizes = [
            _read_kib(Path(f"/proc/{pid}/smaps_rollup"), "Pss")
            for pid in [process.pid, *_children(process)]
        ]
    except OSError:
        return None
    return sum(sizes) * _KIB / MB


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    """Return the CPU time of a process and its children; NaN if unknown."""
    ticks = 0
    try:
        for pid in [process.pid, *_children(process)]:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # user and system: proc(5), after the name
    except OSError:
        return math.nan
    return ticks / os.sysconf("SC_CLK_TCK")


def _children(process: subprocess.Popen[str]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


@dataclass
class Growth:
    """Largest growth of memory of any worker; None if unknown."""

    mb: float | None = None


@contextmanager
def watch_growth_mb(process: subprocess.Popen[str]) -> Iterator[Growth]:
    """Watch the memory of a server's workers until the block ends."""
    growth, ended = Growth(), threading.Event()
    before = _resident_kib(process)

    def watch() -> None:
        while not ended.wait(POLL_S):
            for pid, size in _resident_kib(process).items():
                grown = (size - before.get(pid, size)) * _KIB / MB
                growth.mb = max(grown, growth.mb or 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield growth
    finally:
        ended.set()
        watcher.join()


def _resident_kib(process: subprocess.Popen[str]) -> dict[str, int]:
    sizes = {}
    with contextlib.suppress(OSError):
        for pid in _children(process):
            sizes[pid] = _read_kib(Path(f"/proc/{pid}/status"), "VmRSS")
    return sizes


def _read_kib(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise FileNotFoundError(f"{path} has no {name}")


class Run(NamedTuple):
    """Finished command: its duration, CPU time, peak memory and output."""

    seconds: float
    cpu_s: float
    peak_mb: float | None
    status: int
    output: str
    errors: str


def run(command: Sequence[str], database: Path, variables: Mapping[str, str] | None = None) -> Run:
    """Run a Python program and watch its memory; `variables` extend the environment."""
    peak_kib: int | None = None
    before = os.times()
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-P", *command],
        cwd=ROOT,
        env={**environment(database), **(variables or {})},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        while process.poll() is None:
            # Not rusage: its peak includes the copy of this process before exec.
            with contextlib.suppress(OSError):
                peak_kib = _read_kib(Path(f"/proc/{process.pid}/status"), "VmHWM")
            time.sleep(POLL_S)
        seconds = time.perf_counter() - start
        output, errors = process.communicate()
    after = os.times()
    cpu_s = sum(after[2:4]) - sum(before[2:4])  # of finished children, user and system
    peak_mb = None if peak_kib is None else peak_kib * _KIB / MB
    return Run(seconds, cpu_s, peak_mb, process.returncode, output, errors)
