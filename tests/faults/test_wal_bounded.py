"""Overlapping readers with half-read cursors while clients write at full speed.

WAL-BOUNDED on a real server: 64 MB at most, and short again soon after.
"""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from gfil.errors import Busy
from gfil.store.engine import connection
from tests.conftest import Server, limit_s, wait_for
from tests.faults import workloads
from tests.faults.senders import Job, Senders, candle_job, make_key
from tests.faults.sizes import LONG, seeded

MB = 1024 * 1024
READERS = 4
HELD_S = (0.1, 0.4)
DAYS = 60
JOBS = 400 if LONG else 60
EVERYTHING = "SELECT series, time FROM candle ORDER BY series, time"


def scattered(rng: random.Random) -> Iterator[Job]:
    """Return requests with some minutes of each of many days: each touches many pages."""
    for number in range(JOBS):
        first = workloads.DAY - DAYS * 86400 + number * 180
        times = (first + n * 86400 + later_s for n in range(DAYS) for later_s in (0, 60, 120))
        rows = [(time, workloads.candle(rng)) for time in times]
        yield candle_job(f"scattered {number}", "SCATTERED", rows)


def read_half(database: Path, rng: random.Random, end: threading.Event) -> None:
    """Read the first rows of all tables and keep the cursor open, repeatedly."""
    while not end.is_set():
        with closing(connection.connect(database, readonly=True)) as db, suppress(Busy):
            cursor = db.execute(EVERYTHING)
            next(cursor, None)
            end.wait(rng.uniform(*HELD_S))
            cursor.close()


@contextmanager
def reading(database: Path, rng: random.Random) -> Iterator[None]:
    """Run readers so that one always holds a snapshot."""
    end = threading.Event()
    threads = [
        threading.Thread(target=read_half, args=(database, random.Random(rng.random()), end))
        for _ in range(READERS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        end.set()
        for thread in threads:
            thread.join()


def test_the_wal_stays_bounded_while_readers_overlap_for_ever(
    server: Callable[..., Server], tmp_path: Path
) -> None:
    rng = seeded("readers")
    path = tmp_path / "gfil.db"
    wal = tmp_path / "gfil.db-wal"
    secret = make_key(path)
    running = server(GFIL_DB=str(path), GFIL_WORKERS="2")
    sizes = []

    def is_sent() -> bool:
        sizes.append(wal.stat().st_size if wal.exists() else 0)
        return not senders.is_busy

    with reading(path, rng):
        with Senders(lambda: running.url, secret, scattered(rng), rng) as senders:
            wait_for(is_sent, "everything is sent", 300)
        wait_for(lambda: wal.stat().st_size <= 8 * MB, "a short WAL", limit_s(60))
    assert len(senders.done) == JOBS
    assert max(sizes) <= 64 * MB
    running.stop()
