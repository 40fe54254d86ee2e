"""Live viewers while the database is locked, rewritten or replaced, and names change hands."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from gfil.store import symbols
from gfil.store.engine import connection
from tests.conftest import Server
from tests.faults import workloads
from tests.faults.senders import candle_job, make_key
from tests.faults.sizes import seeded
from tests.faults.viewers import Viewer, Viewers
from tests.store.engine.test_connection import HOLD, python

SUBS = [
    (workloads.SYMBOL, timeframe, clock)
    for timeframe, clock in (
        *(("M1", "UTC"), ("M2", "UTC"), ("H4", workloads.NEW_YORK), ("D1", workloads.NEW_YORK)),
        *(("D1", "UTC"), ("W1", "Asia/Kathmandu")),
    )
]
OTHER = "OTHER"
MINUTES = 30


class Scene:
    """A server, some that follow it, and what may be done to it; `held` holds the write lock."""

    def __init__(self, running: Server, secret: str, viewers: Viewers, rng: random.Random) -> None:
        self.running, self.viewers, self.rng = running, viewers, rng
        self._secret = secret

    def ask(self, method: str, path: str, body: bytes | None = None) -> None:
        """Send a request that is answered well."""
        headers = {"X_API_Key": self._secret, "Content_Type": "application/json"}
        answer = self.running.request(method, path, body, **headers)
        assert answer.status == 200, (path, answer.body)

    def send(self, symbol: str = workloads.SYMBOL, start: int = workloads.DAY) -> None:
        """Send M1 and correct those that are there."""
        rows = workloads.minutes(self.rng, start, MINUTES)
        job = candle_job("", symbol, ((time, values) for (time, _), values in rows))
        self.ask("POST", job.path, job.body)

    def database(self) -> "closing[connection.Connection]":
        """A connection of another process, as good as."""
        return closing(connection.connect(self.running.db))

    def resets(self) -> int:
        """How many resets all have seen."""
        return sum(viewer.events["reset"] for viewer in self.viewers.viewers)


@pytest.fixture(scope="module")
def running(server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    path = tmp_path_factory.mktemp("scenes") / "gfil.db"
    connection.create(path)
    return server(GFIL_DB=str(path), GFIL_READ="public")


@pytest.fixture
def scene(running: Server) -> Iterator[Scene]:
    rng = seeded("scenes")
    secret = make_key(running.db, "admin")
    viewers = Viewers(lambda: running.url, [Viewer([sub]) for sub in SUBS], rng)
    scene = Scene(running, secret, viewers, rng)
    scene.send()
    with viewers:
        yield scene


def test_a_lock_held_by_another_process_is_waited_for(scene: Scene) -> None:
    holder = python(HOLD, scene.running.db)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    timer = threading.Timer(3.0, lambda: holder.communicate(""))
    timer.start()
    scene.send()
    timer.join()
    scene.viewers.check()
    assert scene.resets() == 0


def test_a_database_that_is_rewritten_changes_nothing(scene: Scene) -> None:
    for sql in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)", "REINDEX"):
        with scene.database() as db:
            db.execute(sql).fetchall()
        scene.send()
        scene.viewers.check()
    assert scene.resets() == 0


def test_another_clock_and_other_facts_of_a_symbol_leave_no_hole(scene: Scene) -> None:
    for facts in ({"clock": "nyclose"}, {"digits": 3}, {"clock": "UTC"}, {"price": "ask"}):
        scene.ask("PATCH", f"/api/v1/symbols/{workloads.SYMBOL}", orjson.dumps(facts))
        scene.send()
        scene.viewers.check()


def test_a_name_may_go_to_another_symbol_while_a_viewer_is_away(scene: Scene) -> None:
    """What it holds is the old one's, of which the new one has nothing."""
    scene.viewers.send_away(3)
    with scene.database() as db, connection.transaction(db):
        symbols.rename(db, symbols.read(db, workloads.SYMBOL), OTHER)
    scene.send(start=workloads.DAY + 86400)
    scene.viewers.let_in()
    scene.viewers.check()
    assert min(viewer.events["reset"] for viewer in scene.viewers.viewers) == 1


def test_a_symbol_may_be_deleted_and_come_again(scene: Scene) -> None:
    for number in range(2):
        scene.viewers.send_away(2)
        scene.ask("DELETE", f"/api/v1/symbols/{workloads.SYMBOL}")
        scene.send(start=workloads.DAY + 86400 * number)
        scene.viewers.let_in()
        scene.viewers.check()


def replace(path: Path, other: Path) -> None:
    """Put another file in a database's place, as `restore` would."""
    for leftover in ("-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    other.rename(path)


@pytest.mark.parametrize("is_renewed", [True, False])
def test_another_file_in_the_databases_place_is_read_anew(scene: Scene, is_renewed: bool) -> None:
    """Also one that bears the same epoch, and has more changes, but others."""
    path = scene.running.db
    other = path.with_name("other.db")
    with scene.database() as db:
        db.execute("VACUUM INTO ?", (str(other),))
    scene.send()
    scene.viewers.check()
    with closing(connection.connect(other)) as db:
        for _ in range(4):
            workloads.send("M1", workloads.minutes(scene.rng, workloads.DAY, MINUTES + 9))(db)
        if is_renewed:
            with connection.transaction(db):
                connection.renew_epoch(db)
    replace(path, other)
    scene.viewers.check()
    scene.send()
    scene.viewers.check()
    assert min(viewer.events["reset"] for viewer in scene.viewers.viewers) >= 1
