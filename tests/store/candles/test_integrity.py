"""Integrity checks and repair, compared with the plain-Python reference."""

import random
from pathlib import Path

import apsw
import pytest

from gfil.maintenance.prune import prune
from gfil.store import symbols
from gfil.store.candles import integrity
from gfil.store.engine import connection
from tests.faults import workloads
from tests.faults.sizes import seeded
from tests.oracle.database import check_derived

SPOILT = (
    "UPDATE candle SET volume = volume + 1 WHERE series = ? AND time = ? AND extra_s = ?",
    "UPDATE candle SET high = high + 1 WHERE series = ? AND time = ? AND extra_s = ?",
    "DELETE FROM candle WHERE series = ? AND time = ? AND extra_s = ?",
    "UPDATE candle SET kind = 0 WHERE series = ? AND time = ? AND extra_s = ?",
    "DELETE FROM superseded WHERE series = ? AND time = ? AND extra_s = ?",
)
WORKS = (
    workloads.pumped_candles,
    workloads.late_candles,
    workloads.pumped_ticks,
    workloads.late_ticks,
    workloads.deletions,
)


def is_right(connection: apsw.Connection) -> bool:
    """Return whether all laws hold by the reference."""
    try:
        check_derived(connection)
    except AssertionError:
        return False
    return True


def find(connection: apsw.Connection) -> list[integrity.Mismatch]:
    """Return the mismatches that the check finds."""
    return [
        mismatch
        for symbol in symbols.list_symbols(connection)
        for mismatch in integrity.find_mismatches(connection, symbol)
    ]


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.__name__)
def test_no_mismatch_after_random_operations(db: apsw.Connection, work: object) -> None:
    assert callable(work)
    for number, step in enumerate(work(seeded(work.__name__))):
        step(db)
        if number % 6 == 0:
            assert find(db) == []
    assert find(db) == []
    assert integrity.find_orphans(db) == []


def test_no_mismatch_after_prune(db: apsw.Connection) -> None:
    rng = seeded("pruned")
    for step in (*workloads.late_candles(rng), *workloads.late_ticks(rng)):
        step(db)
    for days in (3, 60, 120):
        prune(db, now=workloads.DAY + days * 86400, rest=lambda seconds: None)
        assert find(db) == []
        check_derived(db)


def spoil(db: apsw.Connection, rng: random.Random) -> None:
    """Change one random candle."""
    table = "candle" if rng.random() < 0.9 else "superseded"
    keys = connection.query_all(db, f"SELECT series, time, extra_s FROM {table}")  # noqa: S608
    if keys:
        db.execute(rng.choice(SPOILT), rng.choice(keys))


@pytest.mark.parametrize("number", range(12))
def test_corrupted_candle_is_found_and_repaired(db: apsw.Connection, number: int) -> None:
    rng = seeded(f"spoilt {number}")
    for step in (*workloads.late_candles(rng)[:20], *workloads.late_ticks(rng)[:20]):
        step(db)
    spoil(db, rng)
    found = find(db)
    assert (found == []) == is_right(db)
    while found := find(db):
        first = [mismatch for mismatch in found if mismatch.timeframe == found[0].timeframe]
        integrity.repair(db, first)
    check_derived(db)


def test_mismatch_search_holds_no_snapshot_between_steps(db: apsw.Connection) -> None:
    """The caller may pause between two mismatches."""
    for step in workloads.late_candles(seeded("pieces")):
        step(db)
    db.execute("UPDATE candle SET volume = volume + 1 WHERE kind = 0")
    for _ in integrity.find_mismatches(db, symbols.read(db, workloads.SYMBOL)):
        assert not db.in_transaction


def test_mismatch_search_skips_gaps_between_candles(db: apsw.Connection) -> None:
    rng = seeded("far")
    for year in (1950, 1971, 2000, 2080):
        workloads.send(
            "M1", workloads.minutes(rng, (year - 1970) * 31_557_600 // 86400 * 86400, 3)
        )(db)
    assert find(db) == []
    db.execute("UPDATE candle SET volume = volume + 1 WHERE series % 32 = 15 AND kind = 0")
    assert len(find(db)) == 4


def test_repair_uses_one_transaction_for_each_distant_candle(db: apsw.Connection) -> None:
    """Otherwise one transaction would derive all candles between them."""
    rng = seeded("apart")
    for year in (1950, 1971, 2000, 2080):
        workloads.send(
            "M1", workloads.minutes(rng, (year - 1970) * 31_557_600 // 86400 * 86400, 3)
        )(db)
    db.execute("UPDATE candle SET volume = volume + 1 WHERE series % 32 = 15 AND kind = 0")
    rests: list[float] = []
    integrity.repair(db, find(db), rest=rests.append)
    assert len(rests) == 4
    assert find(db) == []
    check_derived(db)


def test_symbol_deleted_during_check_has_no_mismatch(db: apsw.Connection) -> None:
    workloads.late_candles(seeded("deleted"))[0](db)
    symbol = symbols.read(db, workloads.SYMBOL)
    db.execute("UPDATE candle SET volume = volume + 1 WHERE kind = 0")
    with connection.transaction(db):
        symbols.delete(db, symbol)
    assert list(integrity.find_mismatches(db, symbol)) == []
    assert integrity.find_orphans(db) == []


def test_find_damage_returns_nothing_for_sound_file(db: apsw.Connection, db_path: Path) -> None:
    workloads.late_candles(seeded("sound"))[0](db)
    assert integrity.find_damage(db) == integrity.find_damage(db, quick=True) == []
    integrity.check(db)


def test_find_damage_reports_row_without_symbol(db: apsw.Connection) -> None:
    db.pragma("foreign_keys", 0)
    db.execute("INSERT INTO symbol_clock VALUES (99, 'Europe/Athens')")
    assert integrity.find_damage(db) == ["a row belongs to no symbol"]


def test_find_orphans_searches_every_table(db: apsw.Connection) -> None:
    db.execute("INSERT INTO candle VALUES (320, 0, 0, 1, 1, 1, 1, 1, 1)")
    db.execute("INSERT INTO superseded VALUES (643, 0, 0, 1, 1, 1, 1, 1)")
    db.execute("INSERT INTO tick VALUES (30, 1, 0, 1, 1, 1, 1, 1)")
    assert integrity.find_orphans(db) == [10, 20, 30]
    with pytest.raises(integrity.Unsound, match="rows of 3 unknown symbol ids"):
        integrity.check(db)
