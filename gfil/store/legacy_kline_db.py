"""Read the legacy system's SQLite file: its table `kline_1m`. Nothing is written to it."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import quote

import apsw

from gfil.errors import BadParameter
from gfil.store.engine import connection, sqlite_errors, upgrade

WAIT_MS = 5000
PAGE_ROWS = 4000
MAGIC = b"SQLite format 3\0"

Row = tuple[object, object, object, object, object, object, object]
"""Symbol, ts, open, high, low, close, volume; the legacy table does not enforce their types."""


def is_kline_db(path: Path) -> bool:
    """Return whether a file is an SQLite database."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


HAS_TABLE = "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'kline_1m'"


def connect(path: Path) -> apsw.Connection:
    """Open a legacy database read-only.

    In a folder without write permission SQLite cannot create the shared memory that a WAL needs, so
    the file is opened as immutable.

    Raises:
        BadParameter: the file is a GFIL database, has no table kline_1m, or has an unreadable WAL.
    """
    uri = f"file:{quote(os.fspath(path.absolute()))}?mode=ro"
    if not os.access(path.parent, os.W_OK):
        for log in (path.with_name(path.name + end) for end in ("-wal", "-journal")):
            if log.exists() and log.stat().st_size:
                raise BadParameter(
                    f"{path}: {log.name} belongs to it, which cannot be read in a folder "
                    "without write permission: copy both to another folder"
                )
        uri += "&immutable=1"
    with sqlite_errors.translate_errors(path):
        db = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        db.set_busy_timeout(WAIT_MS)
        if db.pragma("application_id") == upgrade.APPLICATION_ID:
            db.close()
            raise BadParameter(f"{path}: the file is a database of GFIL: nothing to migrate")
        if not connection.query_one(db, HAS_TABLE):
            db.close()
            raise BadParameter(f"{path}: it has no table kline_1m")
    return db


READ = """
SELECT symbol, ts, open, high, low, close, volume
FROM kline_1m
ORDER BY symbol, ts
"""


def read_pages(db: apsw.Connection) -> Iterator[list[Row]]:
    """Yield pages of all rows, ordered by symbol and time, from one snapshot.

    The query stays open between pages: no writer of this file has to wait for it.
    """
    with sqlite_errors.translate_errors(Path(db.filename)):
        rows = db.execute(READ)
        while page := [*islice(rows, PAGE_ROWS)]:
            yield page
