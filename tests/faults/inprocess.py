"""The application in the process of the test, on a disk that can be made to fail."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw
from flask import Flask
from werkzeug.test import TestResponse

from gfil import config, create_app
from gfil.errors import GfilError
from gfil.maintenance.checkpoint import Checkpointer
from gfil.store import symbols
from gfil.store.candles import ticks
from gfil.store.candles.ticks import Ticks
from gfil.store.engine.pool import Pool, Writer
from tests.faults import workloads
from tests.faults.senders import Job
from tests.oracle.candles import Tick
from tests.oracle.database import State, read_state


class Serving:
    """The connections of a serving process: a writer, readers, the checkpointer."""

    def __init__(self, path: Path) -> None:
        self.writer, self.pool = Writer(path), Pool(path)
        self.checkpointer = Checkpointer(self.writer)

    def send(self, batch: list[Tick]) -> None:
        """Store ticks in one transaction, as a request does."""
        with self.writer.transaction() as connection:
            symbol = symbols.ensure(connection, workloads.SYMBOL)
            ticks.write_ticks(connection, symbol, Ticks(*zip(*batch, strict=True)))

    def look(self) -> State:
        """Read everything on a connection of the readers."""
        connection = self.pool.acquire()
        try:
            return read_state(connection)
        finally:
            self.pool.release(connection)

    def checkpoint(self) -> None:
        """Run the checkpointer once and ignore its errors, as a worker does."""
        with suppress(GfilError, apsw.Error):
            self.checkpointer.run()


@contextmanager
def serve(database: Path) -> Iterator[Serving]:
    """Yield the connections of a serving process and close them."""
    it = Serving(database)
    try:
        yield it
    finally:
        close(it.pool, it.writer, it.checkpointer)


def close(pool: Pool, writer: Writer, checkpointer: Checkpointer) -> None:
    """Close all connections, the writer's last: the last one removes the WAL."""
    for connection in pool._idle:
        connection.close()
    with suppress(apsw.Error):
        checkpointer.close()
    writer._close()


@contextmanager
def serving(database: Path) -> Iterator[Flask]:
    """Yield the application and close its connections."""
    environment = {"GFIL_DB": str(database), "GFIL_READ": "public", "GFIL_MIN_FREE_MB": "0"}
    app = create_app(config.read(environment, database.parent))
    try:
        yield app
    finally:
        close(*(app.extensions[name] for name in ("pool", "writer", "checkpointer")))


def head(secret: str) -> dict[str, str]:
    """Return the header with the key."""
    return {"Authorization": f"Bearer {secret}"}


def post(app: Flask, secret: str, job: Job) -> TestResponse:
    """Send one request."""
    headers = head(secret) | {"Idempotency-Key": job.name}
    return app.test_client().post(job.path, data=job.body, headers=headers)
