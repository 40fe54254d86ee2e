"""Prunes that are cut off, killed, run twice at once, or run on a full disk.

RETENTION-SAFE: kept rows stay unchanged, and the next prune completes the work.
"""

import random
import signal
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import apsw
import pytest

from gfil.ingest import importer
from gfil.maintenance import prune as pruning
from gfil.store.engine import connection, pacing
from gfil.store.retention import rules as retention_rules
from gfil.store.retention.rules import parse_period
from gfil.timeframes import M1
from tests.conftest import clean_environment, wait_for
from tests.faults import workloads
from tests.faults.power import cut_everywhere, record_commits
from tests.faults.sizes import LONG, seeded
from tests.faults.workloads import DAY
from tests.oracle.database import check_derived
from tests.store.model import everything

LATER = workloads.NOW + 10 * 86400
KILLS = 25 if LONG else 6
COUNT = "SELECT COUNT(*) FROM candle WHERE series = 32"


def fill(database: Path, rng: random.Random) -> None:
    """Store more than a week of M1, ticks and D1 on another clock; most rows are past retention."""
    db = connection.connect(database)
    day_s = 86400
    for day in range(10):
        start = DAY - day * day_s
        workloads.send("M1", workloads.minutes(rng, start + 3600 * (day % 20), 12))(db)
        workloads.send_ticks(workloads.ticks_of(rng, (start + 50_000) * 1000, 25))(db)
    late = workloads.minutes(rng, DAY - 3 * day_s, 3)
    workloads.send("M1", late, now=workloads.NOW - 100 * day_s)(db)
    for step in workloads.late_candles(rng)[:12]:
        step(db)
    workloads.send("M1", workloads.minutes(rng, DAY + 6 * day_s, 5), "+00:01")(db)
    set_rules(db, ticks="1d", M1="3d", M5="4d", M15="4d", M30="5d", H1="6d", H4="8d")
    db.close()


def set_rules(db: apsw.Connection, **rules: str) -> None:
    with connection.transaction(db):
        parsed = {what: parse_period(text) for what, text in rules.items()}
        retention_rules.set_rules(db, None, parsed)


def test_prune_completes_after_a_power_cut(
    db_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece is whole with its settled candles; the next prune completes the work."""
    monkeypatch.setattr(pacing, "BATCH_S", 0)
    for name, size in (("TICKS_FIRST", 9), ("TICKS_MIN", 9), ("PAGES_FIRST", 4)):
        monkeypatch.setattr(pruning, name, size)
    monkeypatch.setattr(pruning, "PAGES_MIN", 4)
    rng = seeded("prune")
    fill(db_path, rng)

    def work(connection: apsw.Connection) -> None:
        pruning.prune(connection, now=LATER, rest=lambda _: None)

    tape = record_commits(db_path, work, is_pruning=True)
    assert len(tape.marks) > 30
    cut_everywhere(tape, folder, rng, again=lambda connection, _: work(connection))


def make_large(database: Path, days: int) -> None:
    """Store days of M1, all but one of them past retention."""
    connection.create(database)
    rng = random.Random(days)
    rows = workloads.minutes(rng, DAY - days * 86400, days * 1440)
    options = importer.Options(symbol="EURUSD", timeframe=M1)
    with closing(connection.connect(database)) as db:
        importer.load(db, [workloads.csv(rows)], options, now=DAY)
        set_rules(db, ticks="1d", M1="1d")


def begin(database: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "gfil", "prune"],
        env=clean_environment(GFIL_DB=str(database)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_prune_killed_repeatedly_ends_with_the_tables_of_an_undisturbed_one(tmp_path: Path) -> None:
    rng = seeded("prune kills")
    whole, killed = tmp_path / "whole.db", tmp_path / "killed.db"
    for database in (whole, killed):
        make_large(database, 20)
    assert begin(whole).wait(120) == 0
    left = []
    with closing(connection.connect(killed, readonly=True)) as reader:
        for _ in range(KILLS):
            started = begin(killed)
            before = connection.query_one(reader, COUNT)
            wait_for(
                lambda before=before, started=started: (
                    connection.query_one(reader, COUNT) < before - rng.randrange(3000)
                    or started.poll() is not None
                ),
                "some days are pruned",
                60,
            )
            with suppress(ProcessLookupError):
                started.send_signal(signal.SIGKILL)
            started.wait()
            left.append(connection.query_one(reader, COUNT))
            check_derived(reader)
    assert left == sorted(left, reverse=True)
    assert left[0] > 1440
    assert begin(killed).wait(120) == 0
    assert everything(killed) == everything(whole)


def test_two_prunes_at_once_end_with_the_tables_of_one(tmp_path: Path) -> None:
    one, two = tmp_path / "one.db", tmp_path / "two.db"
    for database in (one, two):
        make_large(database, 12)
    assert begin(one).wait(120) == 0
    both = [begin(two), begin(two)]
    assert [each.wait(120) for each in both] == [0, 0]
    assert everything(two) == everything(one)
