"""The files of the old system whose candles are here: what was in each, and when it may go."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import apsw
import orjson

from gfil.store.engine import connection


class MigratedFile(NamedTuple):
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


def list_files(db: apsw.Connection) -> Sequence[MigratedFile]:
    """Return every migrated file, the earliest first."""
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
    """Remember a file, or what is known of it by now; inside a transaction."""
    report = orjson.dumps(file.report, default=str).decode()
    db.execute(PUT, file._asdict() | {"report": report})
