"""The files of the old system whose candles are here: what was in each, and when it may go."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import apsw
import orjson

from gfil.store import db as store


class Migrated(NamedTuple):
    """One file, verified. `report` holds its counts; `delete_after` is None where it stays."""

    digest: bytes
    path: str
    time: int
    delete_after: int | None
    report: Mapping[str, Any]


LIST = """
SELECT digest, path, time, delete_after, report
FROM migrated_file
ORDER BY time, path
"""


def list(db: apsw.Connection) -> Sequence[Migrated]:  # noqa: A001 (as in `migrated.list`)
    """Return every migrated file, the earliest first."""
    rows = store.query(db, LIST)
    return [
        Migrated(digest, path, time, delete_after, orjson.loads(report))
        for digest, path, time, delete_after, report in rows
    ]


PUT = """
INSERT INTO migrated_file (digest, path, time, delete_after, report)
VALUES (:digest, :path, :time, :delete_after, :report)
ON CONFLICT (digest, path) DO UPDATE
SET time = excluded.time, delete_after = excluded.delete_after, report = excluded.report
"""


def write(db: apsw.Connection, file: Migrated) -> None:
    """Remember a file, or what is known of it by now; inside a transaction."""
    report = orjson.dumps(file.report, default=str).decode()
    db.execute(PUT, file._asdict() | {"report": report})
