"""A sync that fails once may succeed the next time without having written anything.

FAIL-STOP: what is acknowledged after that does not stand on what was lost. Every sync fails in
turn, the client sends again until it is answered, and then the power is cut.
"""

import itertools
import random
from contextlib import closing
from pathlib import Path

import pytest

from gfil.errors import GfilError
from gfil.store.engine import connection, failstop
from gfil.store.engine.failstop import InDoubt
from tests.faults import workloads
from tests.faults.disk import Fault, Tape, broken, mounted
from tests.faults.images import lay
from tests.faults.inprocess import Serving, serve
from tests.faults.power import IMAGES_MIN, Lost, cut_everywhere
from tests.faults.sizes import seeded
from tests.oracle.candles import Tick
from tests.oracle.database import read_state
from tests.store.model import write_ticks

REQUESTS = 4
ATTEMPTS_MAX = 20
IMAGES = {True: IMAGES_MIN // 8, False: IMAGES_MIN // 40}  # for each sync, alone or not


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again at a disk that failed without waiting."""
    monkeypatch.setattr(failstop, "RETRY_S", 0)


def days(rng: random.Random, count: int) -> list[list[Tick]]:
    """So many ticks on each of some days: no two of the days share a page of the database."""
    return [
        workloads.ticks_of(rng, (workloads.DAY + n * 86400) * 1000, count) for n in range(REQUESTS)
    ]


@pytest.fixture
def before(db_path: Path) -> bytes:
    """The file of a database with ticks of some days."""
    with closing(connection.connect(db_path)) as db:
        for ticks in days(seeded("before"), 300):
            write_ticks(db, workloads.SYMBOL, ticks)
    return db_path.read_bytes()


def send_until_stored(it: Serving, batch: list[Tick]) -> None:
    """Send one request until it is acknowledged."""
    for _ in range(ATTEMPTS_MAX):
        try:
            it.send(batch)
        except GfilError:
            continue
        return
    pytest.fail(f"not stored in {ATTEMPTS_MAX} attempts")


def record(database: Path, fault: Fault, *, alone: bool) -> Tape:
    """Send everything while syncs fail; each answer of success is a promise.

    `alone`: there is no reader and no checkpointer, so that the writer that gives up is the last
    to close the database, and the next one finds in the WAL what had failed.
    """
    with mounted() as disk, serve(database) as it:
        disk.tape = tape = Tape(database)
        with it.writer.transaction() as connection:
            tape.mark(read_state(connection))
        disk.fault = fault
        for batch in days(seeded("failed syncs"), 6):
            send_until_stored(it, batch)
            with it.writer.transaction() as connection:
                tape.mark(read_state(connection))
            if not alone:
                it.look()
                it.checkpoint()
        disk.fault = None
    return tape


def fail_each(before: bytes, folder: Path, *, alone: bool) -> None:
    """Let one sync after another fail, and cut the power everywhere each time."""
    rng = seeded("cuts")
    served, cut = folder / "served", folder / "cut"
    served.mkdir()
    cut.mkdir()
    for first in itertools.count(1):
        lay({"gfil.db": before}, served)
        fault = Fault("sync", first, 2 if alone else 1, broken)
        tape = record(served / "gfil.db", fault, alone=alone)
        cut_everywhere(tape, cut, rng, at_least=IMAGES[alone])
        if not fault.has_fired:
            break
    assert first > REQUESTS


@pytest.mark.parametrize("alone", [False, True])
def test_nothing_acknowledged_stands_on_what_a_failed_sync_lost(
    before: bytes, folder: Path, alone: bool
) -> None:
    fail_each(before, folder, alone=alone)


def test_going_on_without_a_check_is_caught(
    before: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof of the proof."""
    monkeypatch.setattr(failstop, "_probe", lambda path: None)
    with pytest.raises(Lost):
        fail_each(before, folder, alone=True)


def test_a_wal_of_megabytes_is_written_again(db_path: Path) -> None:
    rng = seeded("long wal")
    batch = workloads.ticks_of(rng, workloads.DAY * 1000, 10)
    with mounted() as disk, serve(db_path) as it:
        it.send(workloads.ticks_of(rng, (workloads.DAY + 86400) * 1000, 50_000))
        it.look()  # its connection stays, or the WAL would go with the writer's
        assert (db_path.parent / "gfil.db-wal").stat().st_size > 2 * 1024 * 1024
        disk.fault = Fault("sync", 1, 1, broken)
        with pytest.raises(InDoubt):
            it.send(batch)
        it.send(batch)
