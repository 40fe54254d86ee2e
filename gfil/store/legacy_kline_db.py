"""The old system's SQLite file: its table `kline_1m`, which is read and never written."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import quote

import apsw

from gfil.errors import BadParameter
from gfil.store.engine import connection

WAIT_MS = 5000
PAGE_ROWS = 4000
MAGIC = b"SQLite format 3\0"

Row = tuple[object, object, object, object, object, object, object]
"""Symbol, ts, open, high, low, close, volume: whatever the old table lets them be."""


def is_kline_db(path: Path) -> bool:
    """Whether a file is an SQLite database."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


HAS_TABLE = "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'kline_1m'"


def connect(path: Path) -> apsw.Connection:
    """Open the old database so that nothing of it is written.

    Where its folder is not writable SQLite could not make the shared memory that a WAL needs: then
    the file is taken for one that nobody changes.

    Raises:
        BadParameter: it is this program's own, has no such table, or has a WAL that cannot be read.
    """
    uri = f"file:{quote(os.fspath(path.absolute()))}?mode=ro"
    if not os.access(path.parent, os.W_OK):
        for beside in (path.with_name(path.name + end) for end in ("-wal", "-journal")):
            if beside.exists() and beside.stat().st_size:
                raise BadParameter(
                    f"{path}: {beside.name} belongs to it, which cannot be read in a folder "
                    "without write permission: copy both to another folder"
                )
        uri += "&immutable=1"
    with connection.translate_errors(path):
        db = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        db.set_busy_timeout(WAIT_MS)
        if db.pragma("application_id") == connection.APPLICATION_ID:
            db.close()
            raise BadParameter(f"{path}: it is a database of GFIL: there is nothing to migrate")
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
    """Yield all rows by symbol and time, some thousands at once, as they were at one moment.

    One query, half read meanwhile: this is nobody's database that others wait for.
    """
    with connection.translate_errors(Path(db.filename)):
        rows = db.execute(READ)
        while some := [*islice(rows, PAGE_ROWS)]:
            yield some
