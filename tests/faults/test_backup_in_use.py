"""Backups during ingest on a real server restore to a database that doctor accepts."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import orjson

from gfil.store.engine import connection
from tests.conftest import Server, gfil, wait_for
from tests.faults import workloads
from tests.faults.senders import make_key
from tests.faults.sizes import seeded

TICKS = "SELECT time_msc, bid FROM tick ORDER BY time_msc, seq"
FIELDS = ("time_msc", "bid", "ask", "last", "volume", "flags")
BACKUPS = 3


class Pump:
    """Posts batches of ticks and keeps the acknowledged ones."""

    def __init__(self, server: Server, secret: str) -> None:
        self.acknowledged: list[tuple[int, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(server, secret))
        self._thread.start()

    def _run(self, server: Server, secret: str) -> None:
        rng, time_msc = seeded("pump"), int(time.time() - 3600) * 1000
        while not self._stop.is_set():
            ticks = [
                (time_msc + 7 * n, round(1.1 + rng.random(), 5), 2.5, 0, 0, 6) for n in range(9)
            ]
            body = orjson.dumps(
                {
                    "ticks": [
                        {"symbol": "EURUSD", **dict(zip(FIELDS, tick, strict=True))}
                        for tick in ticks
                    ]
                }
            )
            if server.request("POST", "/api/v1/ticks", body, X_API_Key=secret).status == 200:
                self.acknowledged += [(tick[0], tick[1]) for tick in ticks]
            time_msc += 100

    def stop(self) -> None:
        """Stop posting."""
        self._stop.set()
        self._thread.join()


def test_backup_during_ingest_restores_to_a_database_that_doctor_accepts(
    server: Callable[..., Server], tmp_path: Path
) -> None:
    database, folder = tmp_path / "gfil.db", tmp_path / "backups"
    folder.mkdir()
    secret = make_key(database)
    with closing(connection.connect(database)) as db:
        workloads.send("M1", workloads.minutes(seeded("history"), workloads.DAY, 3000))(db)
    running = server(GFIL_DB=str(database))
    pump = Pump(running, secret)
    made: list[tuple[Path, int]] = []
    try:
        for number in range(BACKUPS):
            wait_for(lambda n=number: len(pump.acknowledged) > 90 * n, "some ticks")
            before = len(pump.acknowledged)
            status, said, error = gfil(database, "backup", str(folder), "--json")
            assert (status, error) == (0, "")
            made.append((Path(orjson.loads(said)["path"]), before))
    finally:
        pump.stop()
    assert len(pump.acknowledged) > made[-1][1]
    assert running.stop() == 0
    for path, before in made:
        assert gfil(database, "restore", str(path))[0] == 0
        with closing(connection.connect(database, readonly=True)) as db:
            held = set(connection.query_all(db, TICKS))
        assert held >= set(pump.acknowledged[:before])
        found = orjson.loads(gfil(database, "doctor", "--json")[1])["checks"]
        assert [check for check in found[:2] if not check["ok"]] == []
