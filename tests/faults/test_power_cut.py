"""Power cuts at any write: acknowledged requests stay, and no request is half stored.

ACK-DURABLE, ATOMIC-REQUEST, DERIVED=BASE and, where a client repeats, EXACTLY-ONCE.
"""

import random
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from gfil.ingest.load import batched
from tests.faults import workloads
from tests.faults.power import IMAGES_MIN, Step, cut_everywhere, record, record_commits
from tests.faults.sizes import seeded


def repeat(steps: list[Step]) -> Callable[[apsw.Connection, int], None]:
    """Return a function that repeats the steps from one on, as a client without an answer does."""

    def again(connection: apsw.Connection, done: int) -> None:
        for step in steps[done:]:
            step(connection)

    return again


@pytest.mark.parametrize(
    ("work", "at_least"),
    [
        (workloads.pumped_ticks, IMAGES_MIN),
        (workloads.late_ticks, IMAGES_MIN // 2),
        (workloads.pumped_candles, IMAGES_MIN // 2),  # other workloads send them too
        (workloads.late_candles, IMAGES_MIN),
    ],
)
def test_ticks_and_candles_survive_a_power_cut_at_any_write(
    work: Callable[[random.Random], list[Step]], at_least: int, db_path: Path, folder: Path
) -> None:
    rng = seeded(work.__name__)
    steps = work(rng)
    tape = record(db_path, steps)
    cut_everywhere(tape, folder, rng, at_least=at_least, again=repeat(steps))


def test_revoked_key_stays_revoked_after_a_power_cut(db_path: Path, folder: Path) -> None:
    rng = seeded("keys")
    tape = record(db_path, workloads.keys_made_and_revoked(rng))
    cut_everywhere(tape, folder, rng)


def test_power_cut_in_a_checkpoint_loses_nothing(db_path: Path, folder: Path) -> None:
    rng = seeded("checkpoints")
    steps = workloads.checkpoints(rng, db_path)
    tape = record(db_path, steps)
    assert {op.file for op in tape.ops} == {"gfil.db", "gfil.db-wal"}
    cut_everywhere(tape, folder, rng)


def test_rows_of_two_alternating_writers_survive_a_power_cut(db_path: Path, folder: Path) -> None:
    rng = seeded("two writers")
    tape = record(db_path, workloads.two_writers(rng, db_path))
    cut_everywhere(tape, folder, rng, at_least=IMAGES_MIN // 2)


def test_import_completes_after_a_power_cut(
    db_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IMPORT-RESUME: each batch is whole, and a second import completes the file."""
    monkeypatch.setattr(batched, "BATCH_ROWS_FIRST", 8)
    monkeypatch.setattr(batched, "BATCH_ROWS_MAX", 10)
    rng = seeded("import")
    rows = workloads.minutes(rng, workloads.DAY, 320)
    work = workloads.load(workloads.csv(rows))
    tape = record_commits(db_path, work)
    assert len(tape.marks) > 30
    cut_everywhere(tape, folder, rng, again=lambda connection, _: work(connection))


def test_each_piece_of_a_deletion_is_whole_after_a_power_cut(db_path: Path, folder: Path) -> None:
    rng = seeded("deletions")
    steps = workloads.deletions(rng)

    def work(connection: apsw.Connection) -> None:
        for step in steps:
            step(connection)

    tape = record_commits(db_path, work)
    cut_everywhere(tape, folder, rng)
