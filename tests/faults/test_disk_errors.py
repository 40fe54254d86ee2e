"""Each single write and sync fails once, or forty times in a row: disk full, or broken.

ATOMIC-REQUEST, the right error, reads that go on, and RECOVER without a person.
"""

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import apsw
import pytest

from gfil.errors import DiskFull, GfilError
from gfil.store.engine import connection, failstop
from gfil.store.engine.failstop import InDoubt
from tests.faults import workloads
from tests.faults.disk import Fault, broken, full, mounted
from tests.faults.images import lay
from tests.faults.inprocess import Serving, head, post, serve, serving
from tests.faults.senders import make_key, tick_job
from tests.faults.sizes import LONG, seeded
from tests.oracle.candles import Tick
from tests.oracle.database import State, check_derived

ATTEMPTS_MAX = 100
REQUESTS = 12 if LONG else 3


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry a failed disk without a pause."""
    monkeypatch.setattr(failstop, "RETRY_S", 0)


@pytest.fixture
def before(db_path: Path) -> bytes:
    """A database file with some rows."""
    with closing(connection.connect(db_path)) as db:
        for step in workloads.pumped_ticks(seeded("before"))[:10]:
            step(db)
    return db_path.read_bytes()


@pytest.fixture
def standing(folder: Path, before: bytes) -> Callable[[], AbstractContextManager[Serving]]:
    """`with standing() as it:` serves a copy of the database from before."""

    def start() -> AbstractContextManager[Serving]:
        lay({"gfil.db": before}, folder)
        return serve(folder / "gfil.db")

    return start


def batches() -> list[list[Tick]]:
    """Batches of ticks, one for each request."""
    rng = seeded("disk errors")
    start = workloads.DAY * 1000 + 3_600_000
    return [workloads.ticks_of(rng, start + number * 100_000, 10) for number in range(REQUESTS)]


def wanted_states(it: Serving) -> list[State]:
    """Return the state before and after each request, without faults."""
    states = [it.look()]
    for batch in batches():
        it.send(batch)
        it.checkpoint()
        states.append(it.look())
    return states


def send_until_stored(it: Serving, batch: list[Tick], allowed: list[State]) -> set[type]:
    """Send one request until it is acknowledged; return its errors."""
    errors = set()
    for _ in range(ATTEMPTS_MAX):
        try:
            it.send(batch)
        except GfilError as error:
            errors.add(type(error))
            assert it.look() in allowed, "ATOMIC-REQUEST, and reads go on"
        else:
            assert it.look() == allowed[1], "ACK-DURABLE and EXACTLY-ONCE"
            return errors
        finally:
            it.checkpoint()
    pytest.fail(f"not stored in {ATTEMPTS_MAX} attempts: {errors}")


@pytest.mark.parametrize("times", [1, 40])
@pytest.mark.parametrize(
    ("kind", "error", "answer"),
    [
        ("write", full, DiskFull),
        ("write", broken, InDoubt),
        ("sync", broken, InDoubt),
        ("truncate", broken, InDoubt),
    ],
)
def test_any_failing_operation_leaves_whole_requests_and_the_next_one_works(
    standing: Callable[[], AbstractContextManager[Serving]],
    kind: str,
    error: Callable[[], apsw.Error],
    answer: type,
    times: int,
) -> None:
    with standing() as it:
        states = wanted_states(it)
    met: set[type] = set()
    for first in itertools.count(1):
        with mounted() as disk, standing() as it:
            disk.fault = fault = Fault(kind, first, times, error)
            for number, batch in enumerate(batches()):
                met |= send_until_stored(it, batch, states[number : number + 2])
            disk.fault = None
            with it.writer.transaction() as connection:
                check_derived(connection)
            assert it.look() == states[-1]
        if not fault.has_fired:
            break
    assert first > (1 if kind == "truncate" else REQUESTS)
    assert met <= {answer}
    assert met or kind == "truncate"  # only checkpoints truncate, outside of any request


@pytest.mark.parametrize("times", [1, 40])
@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [("write", full, 507), ("write", broken, 503), ("sync", broken, 503)],
)
def test_client_gets_the_right_status_and_charts_still_answer(
    folder: Path,
    before: bytes,
    kind: str,
    error: Callable[[], apsw.Error],
    status: int,
    times: int,
) -> None:
    """READS-LIVE and RECOVER; each request is stored once in the end."""
    path = folder / "gfil.db"
    path.write_bytes(before)
    secret = make_key(path)
    with serving(path) as app:
        app.test_client().get("/api/v1/symbols", headers=head(secret))  # marks the key as used
    ready = path.read_bytes()
    job = tick_job("one", workloads.SYMBOL, batches()[0])
    for first in itertools.count(1, 1 if LONG or times == 1 else 8):
        lay({"gfil.db": ready}, folder)
        with mounted() as disk, serving(path) as app:
            disk.fault = fault = Fault(kind, first, times, error)
            for _ in range(ATTEMPTS_MAX):
                answer = post(app, secret, job)
                chart = app.test_client().get(f"/api/v1/candles?symbol={workloads.SYMBOL}&tf=M1")
                assert chart.status_code == 200
                if answer.status_code == 200:
                    break
                assert answer.status_code == status, answer.text
                assert answer.json["status"] == status
                assert ("Retry-After" in answer.headers) == (status == 503)
            assert answer.json["inserted"] == len(set(batches()[0]))
        if not fault.has_fired:
            break
    assert first > 1
