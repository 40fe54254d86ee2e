"""Viewers of live streams beside what is measured: their process, and when each was shown what."""

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
    """What the viewers were shown, once they have gone: `shown` has for each the times and closes.

    `cpu` is what their process took of one core.
    """

    shown: list[list[tuple[float, float]]] = field(default_factory=list)
    resets: int = 0
    cpu: float = 0.0


@contextmanager
def watching(address: Address, subs: Sequence[str]) -> Iterator[Watched]:
    """Have a viewer for each sub until the block ends; all have been welcomed when it begins."""
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
        told, _ = process.communicate(b"\n", END_MAX_S)
        if process.returncode:
            raise _failure(process)
        vars(watched).update(orjson.loads(told))
    finally:
        process.kill()
        process.wait()


def _failure(process: subprocess.Popen[bytes]) -> GfilError:
    assert process.stderr
    said = b"" if process.stderr.closed else process.stderr.read()
    return GfilError(f"the viewers fail: {said.decode(errors='replace').strip()}")
