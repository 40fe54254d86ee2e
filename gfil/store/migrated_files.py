"""Migrated files of the legacy system: their counts, and when they may be deleted."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import apsw
import orjson

from gfil.store.engine import connection


class MigratedFile(NamedTuple):
    """A verified file. `report` has its counts; `delete_after` is None if it is never deleted."""

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


def list_files(db: apsw.Connection) -> Sequence[MigratedFile]:
    """Return all migrated files, in order of verification."""
    rows = connection.query_all(db, LIST)
    return [
        MigratedFile(digest, path, time, delete_after, orjson.loads(report))
        for digest, path, time, delete_after, report in rows
    ]


PUT = """
INSERT INTO migrated_file (digest, path, time, delete_after, report)
VALUES (:digest, :path, :time, :delete_after, :report)
ON CONFLICT (digest, path) DO UPDATE
SET time = excluded.time, delete_after = excluded.delete_after, report = excluded.report
"""


def record_file(db: apsw.Connection, file: MigratedFile) -> None:
    """Insert or update a file; inside a transaction."""
    report = orjson.dumps(file.report, default=str).decode()
    db.execute(PUT, file._asdict() | {"report": report})
