"""Build database files of older schemas, empty or with the rows of a current database."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw

from gfil.config import ROOT
from gfil.store.engine import connection, upgrade

FOLDER = ROOT / "tests" / "data"
OLD_SCHEMAS = range(1, upgrade.SCHEMA_VERSION)

# Names of schemas 1 to 4, by the names of schema 5.
OLD_TABLES = {
    "superseded": "yielded",
    "provisional": "early",
    "hourly_stat": "figure",
    "backdated_day": "imported_day",
    "maintenance_run": "upkeep",
    "idempotency_record": "request",
    "retention_rule": "retention",
}
OLD_COLUMNS = {
    ("candle", "extra_s"): "stretch",
    ("superseded", "extra_s"): "stretch",
    ("tick", "seq"): "place",
    ("retention_rule", "subject"): "what",
}
TABLES = (
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
)


def _open_old(path: Path, version: int) -> apsw.Connection:
    old = apsw.Connection(str(path))
    old.pragma("auto_vacuum", "INCREMENTAL")
    old.pragma("journal_mode", "wal")
    old.execute((FOLDER / f"schema_{version}.sql").read_text()).fetchall()
    old.pragma("application_id", upgrade.APPLICATION_ID)
    old.pragma("user_version", version)
    return old


def make_old(path: Path, version: int = 1) -> None:
    """Create an empty database of an older schema, with epoch `old` and change 7."""
    with closing(_open_old(path, version)) as old:
        old.execute("INSERT INTO store (id, epoch, change) VALUES (1, 'old', 7)")


def copy_to_old(db: apsw.Connection, path: Path, version: int) -> None:
    """Create a database of an older schema with all rows of `db` that the schema can hold."""
    with closing(_open_old(path, version)) as old, old:
        found = {name for (name,) in connection.query_all(old, TABLES)}
        for table, (columns, rows) in contents(db).items():
            old_table = OLD_TABLES.get(table, table)
            if old_table in found:
                names = ", ".join(OLD_COLUMNS.get((table, name), name) for name in columns)
                marks = ", ".join("?" * len(columns))
                old.executemany(f"INSERT INTO {old_table} ({names}) VALUES ({marks})", rows)  # noqa: S608


def contents(db: apsw.Connection) -> dict[str, tuple[Sequence[str], list[Any]]]:
    """Return the columns and the sorted rows of every table of a current database."""
    found = {}
    for (table,) in connection.query_all(db, TABLES):
        columns = [row[1] for row in connection.query_all(db, f"PRAGMA table_info({table})")]
        rows = connection.query_all(db, f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608
        found[table] = (columns, sorted(rows, key=repr))
    return found
