"""Viewers of live streams in a separate process, with the time of every received candle."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import orjson

from gfil.bench.load import Address
from gfil.config import ROOT
from gfil.errors import GfilError

END_MAX_S = 60


@dataclass
class Watched:
    """Record of the viewers after their end: `shown` has the times and closes for each viewer.

    `cpu` is the CPU of their process, in cores.
    """

    shown: list[list[tuple[float, float]]] = field(default_factory=list)
    resets: int = 0
    cpu: float = 0.0


@contextmanager
def watching(address: Address, subs: Sequence[str]) -> Iterator[Watched]:
    """Run a viewer for each subscription; the block starts when all have their first event."""
    host, port = address
    process = subprocess.Popen(
        [sys.executable, "-P", str(ROOT / "scripts/bench/viewers.py"), host, str(port), *subs],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    watched = Watched()
    try:
        assert process.stdout
        if process.stdout.readline() != b"watching\n":
            raise _failure(process)
        yield watched
        output, _ = process.communicate(b"\n", END_MAX_S)
        if process.returncode:
            raise _failure(process)
        vars(watched).update(orjson.loads(output))
    finally:
        process.kill()
        process.wait()


def _failure(process: subprocess.Popen[bytes]) -> GfilError:
    assert process.stderr
    text = b"" if process.stderr.closed else process.stderr.read()
    return GfilError(f"the viewers failed: {text.decode(errors='replace').strip()}")
