"""Several processes write one symbol at once: no row is lost, in any order."""

import random
import subprocess
import sys
from pathlib import Path

from gfil.config import ROOT
from gfil.store.engine import connection
from tests.oracle.buckets import SECONDS, bucket
from tests.store.model import Row, everything, read, write

DAY = 1_700_006_400 // 86400 * 86400
WORKERS, BATCHES = 3, 25
WORK = """
import sys
from pathlib import Path
from gfil.store.engine import connection
from tests.store.engine.test_processes import send
db = connection.connect(Path(sys.argv[1]))
sys.stdin.read(1)
send(db, int(sys.argv[2]))
db.close()
"""


def batches(worker: int) -> list[tuple[str, str, list[Row]]]:
    """Return rows of one worker; all workers write to the same days."""
    rng = random.Random(worker)
    found = []
    for number in range(BATCHES):
        timeframe, clock = rng.choice((("M1", "UTC"), ("H1", "UTC"), ("D1", "Europe/Athens")))
        place = number * WORKERS + worker
        step = {"M1": 7 * 60, "H1": 3600, "D1": 86400}[timeframe]
        within = bucket(timeframe, clock, DAY + place * step)
        prices = rng.choices((1.1, 1.2, 1.3), k=4)
        values = prices[0], max(prices), min(prices), prices[3], float(rng.randrange(3))
        found.append((timeframe, clock, [(within, values)]))
    return found


def send(connection: connection.Connection, worker: int) -> None:
    """Write all batches of a worker, one transaction each."""
    for timeframe, clock, rows in batches(worker):
        write(connection, "EURUSD", timeframe, rows, clock)


def test_concurrent_processes_leave_same_tables_as_sequential_ones(
    tmp_path: Path, db_path: Path
) -> None:
    alone = tmp_path / "alone.db"
    connection.create(alone)
    db = connection.connect(alone)
    for worker in range(WORKERS):
        send(db, worker)
    answers = {name: read(db, "EURUSD", name, "Europe/Athens") for name in SECONDS}
    db.close()

    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORK, db_path, str(worker)], cwd=ROOT, stdin=subprocess.PIPE
        )
        for worker in range(WORKERS)
    ]
    for process in started:
        process.stdin.write(b"!")
        process.stdin.close()
    assert [process.wait(60) for process in started] == [0] * WORKERS
    assert everything(db_path) == everything(alone)
    db = connection.connect(db_path, readonly=True)
    assert connection.read_state(db)[1] <= WORKERS * BATCHES
    assert {name: read(db, "EURUSD", name, "Europe/Athens") for name in SECONDS} == answers
    db.close()
