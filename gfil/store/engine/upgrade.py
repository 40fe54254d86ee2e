"""Create the schema in a new file, or upgrade the schema of an older one."""

import secrets
from pathlib import Path

import apsw

APPLICATION_ID = 0x4746494C  # "GFIL"
SCHEMA_VERSION = 5

_FOLDER = Path(__file__).parents[1] / "schema"
SCHEMA = (_FOLDER / "schema.sql").read_text(encoding="utf-8")

# Oldest first: UPGRADES[n] turns schema n + 1 into n + 2. Append only.
UPGRADES = [
    (_FOLDER / f"upgrade_{version}.sql").read_text(encoding="utf-8")
    for version in range(2, SCHEMA_VERSION + 1)
]


COUNT_TABLES = "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table'"


def is_blank(db: apsw.Connection) -> bool:
    """Return whether the file has no tables yet."""
    return bool(db.execute(COUNT_TABLES).get == 0)


INSERT_STATE = "INSERT INTO store (id, epoch, change) VALUES (1, :epoch, 0)"


def create_or_upgrade(db: apsw.Connection) -> None:
    """Create the schema, or apply the upgrades that the file lacks; inside a transaction."""
    if is_blank(db):
        db.execute(SCHEMA).fetchall()  # APSW is lazy: a later statement runs only when fetched
        db.execute(INSERT_STATE, {"epoch": new_epoch()})
        db.pragma("application_id", APPLICATION_ID)
    else:
        for upgrade in UPGRADES[db.pragma("user_version") - 1 :]:
            db.execute(upgrade).fetchall()
    if db.pragma("user_version") != SCHEMA_VERSION:  # setting the same value would be a write
        db.pragma("user_version", SCHEMA_VERSION)


def new_epoch() -> str:
    """Return a random epoch."""
    return secrets.token_hex(8)
