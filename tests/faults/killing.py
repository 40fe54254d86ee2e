"""A real server whose processes are killed while they work, and restart."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import Server, limit_s, wait_for
from tests.faults.senders import Senders

VICTIMS = ("a worker", "all workers", "the master")
RECOVER_MAX_S = limit_s(10)
WORKERS = 2


class Standing:
    """A server that starts again, perhaps at another port, after its master was killed."""

    def __init__(self, start: Callable[..., Server], database: Path) -> None:
        self.start = lambda: start(GFIL_DB=str(database), GFIL_WORKERS=str(WORKERS))
        self.running = self.start()
        self.kills = dict.fromkeys(VICTIMS, 0)

    def url(self) -> str:
        """Return the current URL."""
        return self.running.url

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        master = self.running.process.pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text()
        return [int(pid) for pid in children.split()]

    def kill(self, victim: str, rng: random.Random) -> None:
        """Kill one or all workers, or the master, with SIGKILL."""
        self.kills[victim] += 1
        pids = self.workers()
        if victim == "the master":
            self.running.stop(signal.SIGKILL)
            self.running = self.start()
            return
        for pid in pids if victim == "all workers" else rng.sample(pids, min(1, len(pids))):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def kill_while_sending(
    standing: Standing, senders: Senders, rng: random.Random, victims: list[str], apart: int
) -> None:
    """Kill each victim after a number of further requests was stored.

    RECOVER: after each kill the senders get answers again within ten seconds.
    """
    for victim in victims:
        stored = len(senders.done) + rng.randint(apart // 2, apart)
        wait_for(
            lambda stored=stored: len(senders.done) >= stored or not senders.is_busy,
            f"{stored} requests are stored",
        )
        if not senders.is_busy:
            pytest.fail(f"everything was sent before {victim} could be killed: {standing.kills}")
        standing.kill(victim, rng)
        killed = time.monotonic()
        wait_for(
            lambda killed=killed: senders.done[-1].time > killed or not senders.is_busy,
            f"a request is stored after {victim} was killed",
            RECOVER_MAX_S,
        )
