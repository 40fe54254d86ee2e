"""kill -9 near the end of an import batch: a second import completes the file."""

import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import apsw

from gfil.store.engine import connection
from tests.conftest import clean_environment, wait_for
from tests.faults import workloads
from tests.faults.sizes import LONG, seeded
from tests.oracle.database import check_derived
from tests.store.model import everything

KILLS = 25 if LONG else 5
ROWS_BETWEEN = 7_000  # a few batches
LATER_MAX_S = 0.03
M1 = "SELECT COUNT(*) FROM candle WHERE series = 32 AND kind = 1"


def begin(source: Path, database: Path) -> subprocess.Popen[bytes]:
    """Start an import."""
    return subprocess.Popen(
        [sys.executable, "-m", "gfil", "import", source],
        env=clean_environment(GFIL_DB=str(database)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_soon(started: subprocess.Popen[bytes], reader: apsw.Connection, later_s: float) -> int:
    """Kill an import shortly after one more batch; return the rows it left."""
    _, change = connection.read_state(reader)
    wait_for(
        lambda: connection.read_state(reader)[1] > change or started.poll() is not None,
        "one more batch",
        60,
    )
    time.sleep(later_s)  # a random moment of the next batch
    started.kill()
    started.wait()
    return connection.query_one(reader, M1)


def test_import_killed_repeatedly_ends_with_the_tables_of_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    """IMPORT-RESUME and DERIVED=BASE."""
    rng = seeded("import kills")
    source = tmp_path / "EURUSD_M1.csv"
    source.write_bytes(
        workloads.csv(workloads.minutes(rng, workloads.DAY - 10**7, KILLS * ROWS_BETWEEN))
    )
    whole, killed = tmp_path / "whole.db", tmp_path / "killed.db"
    assert begin(source, whole).wait(120) == 0
    connection.create(killed)
    left = []
    with closing(connection.connect(killed, readonly=True)) as reader:
        for _ in range(KILLS):
            left.append(kill_soon(begin(source, killed), reader, rng.uniform(0, LATER_MAX_S)))
            check_derived(reader)
    assert left == sorted(left)
    assert 0 < left[0] < left[-1]
    assert begin(source, killed).wait(120) == 0
    assert everything(killed) == everything(whole)
