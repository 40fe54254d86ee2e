"""A broker's ticks sent by four unreliable clients become the right candles.

Batches are sent at once, repeated, reordered within two seconds, and lose answers; in a second test
workers are killed at random moments. The expected candles are a fold in plain Python.
"""

import csv
import gzip
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from itertools import islice, pairwise
from pathlib import Path
from urllib.parse import urlencode

import orjson
import pytest

from gfil.store.engine import connection
from tests.conftest import SAMPLES, WHOLE_FILES, Server
from tests.faults import workloads
from tests.faults.killing import Standing, kill_while_sending
from tests.faults.senders import Senders, distinct, make_key, tick_jobs
from tests.faults.sizes import LONG, seeded
from tests.oracle.buckets import CHAIN, SECONDS
from tests.oracle.candles import Candle, Tick, fold, fold_minutes
from tests.oracle.database import check_derived

REAL_FILE = "ticks/oanda_XAUUSD_ticks_201405_first300k.csv.gz"
TICKS_MAX = 300_000
MADE_TICKS = 60_000 if LONG else 6_000
SYMBOL = "XAUUSD"
KILLED = ("a worker", "all workers")
KILLS = 20 if LONG else 4
LOST = 0.1
PAGE = 10_000


@pytest.fixture
def real_ticks() -> list[Tick]:
    """The first ticks of a broker's file: of the sample, of the whole one in the long size."""
    path = (WHOLE_FILES if LONG and WHOLE_FILES.is_dir() else SAMPLES) / REAL_FILE
    with gzip.open(path, "rt", newline="") as lines:
        rows = islice(csv.DictReader(lines), TICKS_MAX)
        return [
            (int(row["time_msc"]), float(row["bid"]), float(row["ask"]), 0.0, 0.0, 0)
            for row in rows
        ]


@pytest.fixture
def made_ticks() -> list[Tick]:
    """Random ticks with prices of deals and volumes too."""
    return workloads.ticks_of(seeded("made ticks"), workloads.DAY * 1000, MADE_TICKS)


@pytest.fixture(params=["real_ticks", "made_ticks"])
def ticks(request: pytest.FixtureRequest) -> list[Tick]:
    """Ticks in time order."""
    found: list[Tick] = request.getfixturevalue(request.param)
    return found


def fold_chain(ticks: list[Tick]) -> dict[str, list[tuple[int, Candle]]]:
    """Return the expected candles of each materialised timeframe."""
    chain = {"M1": sorted(fold_minutes(ticks).items())}
    for finer, timeframe in pairwise(CHAIN):
        buckets = defaultdict(list)
        for time, candle in chain[finer]:
            buckets[time // SECONDS[timeframe] * SECONDS[timeframe]].append(candle)
        chain[timeframe] = [(time, fold(candles)) for time, candles in buckets.items()]
    return chain


def read_all(server: Server, what: str, **query: str) -> list[list[float]]:
    """Return all rows of `/api/v1/ticks` or `/api/v1/candles`, page by page."""
    rows: list[list[float]] = []
    query |= {"symbol": SYMBOL, "from": "0", "limit": str(PAGE)}
    while True:
        answer = orjson.loads(server.get(f"/api/v1/{what}?{urlencode(query)}").body)
        rows += answer[what]
        if not (cursor := answer["next_cursor"]):
            return rows
        query["cursor"] = cursor


def check(server: Server, database: Path, senders: Senders, ticks: list[Tick]) -> None:
    """Assert that every tick is stored once and folded into the right candles."""
    wanted = distinct(ticks)
    answers = [done.answer for done in senders.done]
    assert {answer["rejected"] for answer in answers} == {0}
    assert sum(answer["inserted"] for answer in answers) == len(wanted)
    assert [tuple(tick) for tick in read_all(server, "ticks")] == wanted
    for timeframe, candles in fold_chain(wanted).items():
        found = read_all(server, "candles", tf=timeframe)
        assert [(time, tuple(values)) for time, *values in found] == candles, timeframe
    with closing(connection.connect(database, readonly=True)) as db:
        check_derived(db)
        assert connection.read_state(db)[1] == sum(answer["change"] > 0 for answer in answers)


def groups_of_job(ticks: list[Tick]) -> int:
    """Return how many milliseconds go in a request so that there are some hundred requests."""
    return max(20, len(ticks) // 400)


def test_four_unreliable_clients_store_every_tick_once(
    server: Callable[..., Server], tmp_path: Path, ticks: list[Tick]
) -> None:
    """ORDER-FREE, EXACTLY-ONCE and DERIVED=BASE, with two workers."""
    rng = seeded("unreliable clients")
    path = tmp_path / "gfil.db"
    secret = make_key(path)
    running = server(GFIL_DB=str(path), GFIL_WORKERS="2")
    jobs = tick_jobs(rng, SYMBOL, ticks, groups_of_job(ticks))
    with Senders(lambda: running.url, secret, jobs, rng, lost=LOST) as senders:
        pass
    check(running, path, senders, ticks)
    running.stop()


def test_killed_workers_lose_and_repeat_no_tick(
    server: Callable[..., Server], tmp_path: Path, ticks: list[Tick]
) -> None:
    """ACK-DURABLE and EXACTLY-ONCE, too."""
    rng = seeded("killed workers")
    path = tmp_path / "gfil.db"
    secret = make_key(path)
    standing = Standing(server, path)
    jobs = tick_jobs(rng, SYMBOL, ticks, groups_of_job(ticks))
    with Senders(standing.url, secret, jobs, rng, lost=LOST) as senders:
        victims = rng.choices(KILLED, (1, 3), k=KILLS)
        kill_while_sending(standing, senders, rng, victims, apart=len(jobs) // (2 * KILLS))
    check(standing.running, path, senders, ticks)
    standing.running.stop()
