"""Database connections of a request: one read snapshot, one write transaction."""

from collections.abc import Iterator
from contextlib import contextmanager

import apsw
from flask import Flask, current_app, g

from gfil.store.engine.pool import Pool, Writer


def init_app(app: Flask, pool: Pool, writer: Writer) -> None:
    """Attach the pool of readers and the writer to the application."""
    app.extensions["pool"] = pool
    app.extensions["writer"] = writer
    app.teardown_request(_release)


def read_db() -> apsw.Connection:
    """Return this request's read-only connection; all its reads see one state of the database."""
    if "db" not in g:
        g.db = current_app.extensions["pool"].acquire()
    db: apsw.Connection = g.db
    return db


def release_read_db() -> None:
    """Release this request's read-only connection: the next `read_db` opens a new snapshot."""
    _release(None)


@contextmanager
def write_transaction() -> Iterator[apsw.Connection]:
    """Run the block as one write: all of it is committed, or nothing.

    Raises:
        As `Writer.transaction`.
    """
    with current_app.extensions["writer"].transaction() as db:
        yield db


def _release(error: BaseException | None) -> None:
    if "db" in g:
        is_sound = error is None and "has_failed" not in g
        current_app.extensions["pool"].release(g.pop("db"), is_sound=is_sound)
