"""What was done last to keep the database well: pruned, backed up, checked."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import apsw
import orjson

from gfil.store.engine import connection

Name = Literal["prune", "backup", "doctor"]


class LastRun(NamedTuple):
    """When it was begun, UNIX s, and what it found or did."""

    time: int
    report: dict[str, Any]


PUT = """
INSERT INTO maintenance_run (name, time, report)
VALUES (:name, :time, :report)
ON CONFLICT (name) DO UPDATE SET time = excluded.time, report = excluded.report
"""


def record_run(db: apsw.Connection, name: Name, report: Mapping[str, Any], *, now: float) -> None:
    """Remember what was done, in place of what was done before; inside a transaction."""
    told = orjson.dumps(dict(report), default=str).decode()
    db.execute(PUT, {"name": name, "time": int(now), "report": told})


READ = "SELECT time, report FROM maintenance_run WHERE name = :name"


def read_last_run(db: apsw.Connection, name: Name) -> LastRun | None:
    """Return what was done last, None where it never was."""
    row = connection.query_one(db, READ, {"name": name})
    return LastRun(row[0], orjson.loads(row[1])) if row else None
