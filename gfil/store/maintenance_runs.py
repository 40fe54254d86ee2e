"""The last run of each maintenance task: prune, backup, doctor."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import apsw
import orjson

from gfil.store.engine import connection

Name = Literal["prune", "backup", "doctor"]


class LastRun(NamedTuple):
    """Start of the run, UNIX s, and its report."""

    time: int
    report: dict[str, Any]


PUT = """
INSERT INTO maintenance_run (name, time, report)
VALUES (:name, :time, :report)
ON CONFLICT (name) DO UPDATE
SET time = excluded.time, report = excluded.report
"""


def record_run(db: apsw.Connection, name: Name, report: Mapping[str, Any], *, now: float) -> None:
    """Store a run in place of the one before; inside a transaction."""
    text = orjson.dumps(dict(report), default=str).decode()
    db.execute(PUT, {"name": name, "time": int(now), "report": text})


READ = "SELECT time, report FROM maintenance_run WHERE name = :name"


def read_last_run(db: apsw.Connection, name: Name) -> LastRun | None:
    """Return the last run of a task, or None."""
    row = connection.query_one(db, READ, {"name": name})
    return LastRun(row[0], orjson.loads(row[1])) if row else None
