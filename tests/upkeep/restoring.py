"""What the tests of a restore share: what a database holds, and what is added to it."""

import random
from contextlib import closing
from pathlib import Path

from gfil.store import db as store
from tests.faults import works
from tests.faults.laws import State, check_derived, read_state

NOW = 1_735_787_045  # 2025-01-02T03:04:05Z


def data(path: Path) -> State:
    """All a database holds, but for its epoch, which is new in each."""
    with closing(store.connect(path, readonly=True)) as connection:
        assert connection.pragma("integrity_check") == "ok"
        check_derived(connection)
        state = read_state(connection)
    return state | {"store": [row[2:] for row in state["store"]]}


def epoch(path: Path) -> str:
    with closing(store.connect(path, readonly=True)) as connection:
        return store.read_state(connection)[0]


def add(path: Path, what: str = "more") -> None:
    with closing(store.connect(path)) as connection:
        works.send("M1", works.minutes(random.Random(what), works.DAY + 86400, 30))(connection)
