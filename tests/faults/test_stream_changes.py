"""Streams while the database is locked, rewritten or replaced, and symbols change names."""

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
    """A server, its viewers, and the operations on it; `held` holds the write lock."""

    def __init__(self, running: Server, secret: str, viewers: Viewers, rng: random.Random) -> None:
        self.running, self.viewers, self.rng = running, viewers, rng
        self._secret = secret

    def ask(self, method: str, path: str, body: bytes | None = None) -> None:
        """Send a request that must answer 200."""
        headers = {"X_API_Key": self._secret, "Content_Type": "application/json"}
        answer = self.running.request(method, path, body, **headers)
        assert answer.status == 200, (path, answer.body)

    def send(self, symbol: str = workloads.SYMBOL, start: int = workloads.DAY) -> None:
        """Send new M1 and corrections of earlier ones."""
        rows = workloads.minutes(self.rng, start, MINUTES)
        job = candle_job("", symbol, ((time, values) for (time, _), values in rows))
        self.ask("POST", job.path, job.body)

    def database(self) -> "closing[connection.Connection]":
        """Return a connection outside of the server."""
        return closing(connection.connect(self.running.db))

    def resets(self) -> int:
        """Return the number of resets that all viewers received."""
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


def test_streams_wait_for_a_lock_of_another_process(scene: Scene) -> None:
    holder = python(HOLD, scene.running.db)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    timer = threading.Timer(3.0, lambda: holder.communicate(""))
    timer.start()
    scene.send()
    timer.join()
    scene.viewers.check()
    assert scene.resets() == 0


def test_rewritten_database_changes_no_stream(scene: Scene) -> None:
    for sql in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)", "REINDEX"):
        with scene.database() as db:
            db.execute(sql).fetchall()
        scene.send()
        scene.viewers.check()
    assert scene.resets() == 0


def test_new_clock_and_settings_of_a_symbol_leave_no_gap_in_streams(scene: Scene) -> None:
    for facts in ({"clock": "nyclose"}, {"digits": 3}, {"clock": "UTC"}, {"price": "ask"}):
        scene.ask("PATCH", f"/api/v1/symbols/{workloads.SYMBOL}", orjson.dumps(facts))
        scene.send()
        scene.viewers.check()


def test_viewer_that_was_away_resets_when_a_name_moved_to_another_symbol(scene: Scene) -> None:
    """The viewer holds the old symbol's candles, which the new one lacks."""
    scene.viewers.send_away(3)
    with scene.database() as db, connection.transaction(db):
        symbols.rename(db, symbols.read(db, workloads.SYMBOL), OTHER)
    scene.send(start=workloads.DAY + 86400)
    scene.viewers.let_in()
    scene.viewers.check()
    assert min(viewer.events["reset"] for viewer in scene.viewers.viewers) == 1


def test_symbol_deleted_and_created_again_is_followed(scene: Scene) -> None:
    for number in range(2):
        scene.viewers.send_away(2)
        scene.ask("DELETE", f"/api/v1/symbols/{workloads.SYMBOL}")
        scene.send(start=workloads.DAY + 86400 * number)
        scene.viewers.let_in()
        scene.viewers.check()


def replace(path: Path, other: Path) -> None:
    """Replace the database file, as `restore` does."""
    for leftover in ("-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    other.rename(path)


@pytest.mark.parametrize("is_renewed", [True, False])
def test_replaced_database_file_resets_every_stream(scene: Scene, is_renewed: bool) -> None:
    """Also a file with the same epoch and more, but different changes."""
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
