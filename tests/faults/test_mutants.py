"""Mutants: the power-cut proof catches each deliberate defect.

kill -9 cannot catch most of them, because the kernel still holds unsynced writes.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from gfil.store.candles import derive as candle_derive
from gfil.store.engine import connection
from tests.faults import workloads
from tests.faults.disk import recorded
from tests.faults.power import Lost, Step, cut_everywhere, promise, record, record_commits
from tests.faults.sizes import seeded


def in_weak_mode(step: Step, synchronous: str) -> Step:
    """Return a step that runs with a weaker `synchronous`."""

    def weakened(connection: apsw.Connection) -> None:
        connection.pragma("synchronous", synchronous)
        step(connection)

    return weakened


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
@pytest.mark.parametrize("work", [workloads.pumped_candles, workloads.pumped_ticks])
def test_weaker_synchronous_is_caught(
    work: Callable[[random.Random], list[Step]], synchronous: str, db_path: Path, folder: Path
) -> None:
    rng = seeded(f"{work.__name__} {synchronous}")
    tape = record(db_path, [in_weak_mode(step, synchronous) for step in work(rng)])
    with pytest.raises(Lost, match="back at promise"):
        cut_everywhere(tape, folder, rng)


def checkpoint(connection: apsw.Connection) -> None:
    """Copy the WAL into the database."""
    connection.wal_checkpoint()


def test_unsynced_checkpoint_is_caught(db_path: Path, folder: Path) -> None:
    """With checkpoints, synchronous OFF corrupts the file."""
    rng = seeded("unsynced checkpoint")
    steps = [in_weak_mode(step, "OFF") for step in workloads.pumped_candles(rng)[:12]]
    tape = record(db_path, [each for step in steps for each in (step, checkpoint)])
    with pytest.raises(Lost):
        cut_everywhere(tape, folder, rng)


def test_disk_that_lies_about_syncs_is_caught(db_path: Path, folder: Path) -> None:
    rng = seeded("lying disk")
    tape = record(db_path, workloads.pumped_candles(rng))
    with pytest.raises(Lost):
        cut_everywhere(tape, folder, rng, syncs_hold=False)


def test_answer_before_the_commit_is_caught(
    db_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = seeded("early answer")
    in_time = connection.transaction
    with recorded(db_path) as tape:
        db = connection.connect(db_path)
        promise(tape, db)

        @contextmanager
        def too_early(db: apsw.Connection) -> Iterator[None]:
            with in_time(db):
                yield
                promise(tape, db)

        monkeypatch.setattr(connection, "transaction", too_early)
        for step in workloads.pumped_candles(rng):
            step(db)
        db.close()
    with pytest.raises(Lost, match="back at promise"):
        cut_everywhere(tape, folder, rng)


def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Delay all derivation until the returned function is called."""
    waiting: list[Callable[[], None]] = []
    at_once = candle_derive.derive_above

    def put_off(*arguments: object, **options: object) -> None:
        waiting.append(lambda: at_once(*arguments, **options))

    def derive() -> None:
        while waiting:
            waiting.pop(0)()

    monkeypatch.setattr(candle_derive, "derive_above", put_off)
    return derive


def test_derivation_in_a_second_transaction_is_caught(
    db_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = seeded("derived later")
    derive = later(monkeypatch)

    def in_two(step: Step) -> Step:
        def both(db: apsw.Connection) -> None:
            step(db)
            with connection.transaction(db):
                derive()

        return both

    tape = record(db_path, [in_two(step) for step in workloads.pumped_candles(rng)])
    with pytest.raises(Lost, match="half of something"):
        cut_everywhere(tape, folder, rng)


def test_commit_without_derived_candles_is_caught_at_once(
    db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DERIVED=BASE is checked at every commit, not only after a power cut."""
    later(monkeypatch)
    step = workloads.pumped_candles(seeded("never derived"))[0]
    with pytest.raises(AssertionError, match="are not what their base makes them"):
        record_commits(db_path, step)
