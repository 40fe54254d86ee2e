"""kill -9 of one worker, all workers or the master while four clients write.

ACK-DURABLE, EXACTLY-ONCE, DERIVED=BASE and RECOVER, on a real server.
"""

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from gfil.store.engine import connection
from tests.conftest import Server
from tests.faults import workloads
from tests.faults.killing import VICTIMS, Standing, kill_while_sending
from tests.faults.senders import Job, Senders, candle_job, distinct, make_key, tick_jobs
from tests.faults.sizes import LONG, seeded
from tests.oracle.candles import Candle, Tick
from tests.oracle.database import check_derived

CYCLES = 60 if LONG else 10
APART = 25  # requests between two kills, at most
TICKS = """
SELECT time_msc, bid, ask, last, volume, flags
FROM tick JOIN symbol ON symbol.id = tick.symbol_id
WHERE symbol.name = :symbol
ORDER BY time_msc, seq
"""
STORED = """
SELECT time, open, high, low, close, volume
FROM symbol JOIN candle ON candle.series = symbol.id * 32
WHERE symbol.name = :symbol AND kind = 1
ORDER BY time
"""


def make(rng: random.Random) -> tuple[list[Job], list[Tick], list[tuple[int, Candle]]]:
    """Return mixed requests with ticks and candles, and all rows in them."""
    ticks = workloads.ticks_of(rng, workloads.DAY * 1000, CYCLES * APART * 8)
    rows = [(workloads.DAY + 60 * n, workloads.candle(rng)) for n in range(CYCLES * APART * 2)]
    jobs = tick_jobs(rng, "TICKS", ticks, 8)
    jobs += [
        candle_job(
            f"candles {at}", "CANDLES", rng.sample(rows[at : at + 3], len(rows[at : at + 3]))
        )
        for at in range(0, len(rows), 3)
    ]
    rng.shuffle(jobs)
    return jobs, distinct(ticks), rows


def test_acknowledged_requests_survive_kills_and_are_stored_once(
    server: Callable[..., Server], tmp_path: Path
) -> None:
    rng = seeded("kills")
    path = tmp_path / "gfil.db"
    secret = make_key(path)
    standing = Standing(server, path)
    jobs, ticks, rows = make(rng)
    victims = [VICTIMS[number % len(VICTIMS)] for number in range(CYCLES)]
    with Senders(standing.url, secret, jobs, rng, lost=0.05) as senders:
        kill_while_sending(standing, senders, rng, rng.sample(victims, CYCLES), APART)
    assert min(standing.kills.values()) > 0
    assert senders.statuses.keys() <= {0, 200, 503}
    assert sorted(done.job.name for done in senders.done) == sorted(job.name for job in jobs)
    answers = [done.answer for done in senders.done]
    assert {answer["rejected"] for answer in answers} == {0}
    assert sum(answer["inserted"] for answer in answers) == len(ticks) + len(rows)
    changes = sorted(answer["change"] for answer in answers if answer["inserted"])
    assert changes == list(range(1, len(changes) + 1))
    with closing(connection.connect(path, readonly=True)) as db:
        assert connection.read_state(db)[1] == len(changes)
        assert connection.query_all(db, TICKS, {"symbol": "TICKS"}) == ticks
        stored = connection.query_all(db, STORED, {"symbol": "CANDLES"})
        assert [(time, tuple(values)) for time, *values in stored] == rows
        assert db.pragma("integrity_check") == "ok"
        check_derived(db)
    standing.running.stop()
