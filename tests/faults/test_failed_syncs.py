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
IMAGES = {True: IMAGES_MIN // 8, False: IMAGES_MIN // 40}  # for each sync: alone, or with others


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry a failed disk without a pause."""
    monkeypatch.setattr(failstop, "RETRY_S", 0)


def days(rng: random.Random, count: int) -> list[list[Tick]]:
    """Return ticks on some days, far enough apart that no two days share a database page."""
    return [
        workloads.ticks_of(rng, (workloads.DAY + n * 86400) * 1000, count) for n in range(REQUESTS)
    ]


@pytest.fixture
def before(db_path: Path) -> bytes:
    """A database file with ticks of some days."""
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
    """Send all requests while syncs fail; each acknowledgement is a promise.

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
    """Fail one sync after another, and cut the power at every point each time."""
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
def test_acknowledged_requests_survive_a_failed_sync_and_a_power_cut(
    before: bytes, folder: Path, alone: bool
) -> None:
    fail_each(before, folder, alone=alone)


def test_mutant_that_goes_on_without_a_check_is_caught(
    before: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the check after a failed sync the proof fails."""
    monkeypatch.setattr(failstop, "_probe", lambda path: None)
    with pytest.raises(Lost):
        fail_each(before, folder, alone=True)


def test_large_wal_is_written_again_after_a_failed_sync(db_path: Path) -> None:
    rng = seeded("long wal")
    batch = workloads.ticks_of(rng, workloads.DAY * 1000, 10)
    with mounted() as disk, serve(db_path) as it:
        it.send(workloads.ticks_of(rng, (workloads.DAY + 86400) * 1000, 50_000))
        it.look()  # an open reader keeps the WAL when the writer closes
        assert (db_path.parent / "gfil.db-wal").stat().st_size > 2 * 1024 * 1024
        disk.fault = Fault("sync", 1, 1, broken)
        with pytest.raises(InDoubt):
            it.send(batch)
        it.send(batch)
