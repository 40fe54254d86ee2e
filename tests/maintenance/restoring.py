"""Helpers of the restore tests: read a whole database and add rows to it."""

import random
from contextlib import closing
from pathlib import Path

from gfil.store.engine import connection
from tests.faults import workloads
from tests.oracle.database import State, check_derived, read_state

NOW = 1_735_787_045  # 2025-01-02T03:04:05Z


def data(path: Path) -> State:
    """Content of a database without its epoch, which is new after each restore."""
    with closing(connection.connect(path, readonly=True)) as db:
        assert db.pragma("integrity_check") == "ok"
        check_derived(db)
        state = read_state(db)
    return state | {"store": [row[2:] for row in state["store"]]}


def epoch(path: Path) -> str:
    with closing(connection.connect(path, readonly=True)) as db:
        return connection.read_state(db)[0]


def add(path: Path, what: str = "more") -> None:
    with closing(connection.connect(path)) as db:
        workloads.send("M1", workloads.minutes(random.Random(what), workloads.DAY + 86400, 30))(db)
