"""Connections, pragmas, transactions, creation and upgrade of the database file."""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from gfil.errors import (
    Busy,
    DatabaseError,
    DiskFull,
    ForeignDatabase,
    GfilError,
    NoDatabase,
)
from gfil.store.engine import file_copy

APPLICATION_ID = 0x4746494C  # "GFIL"
SCHEMA_VERSION = 5
WRITER_WAIT_MS = 5000
READER_WAIT_MS = 2000
POLL_S = 0.0005
JOURNAL_SIZE_MAX_BYTES = 8 * 1024 * 1024
WRITER_CACHE_KIB = 16 * 1024
READER_CACHE_KIB = 1024
CHECKPOINT_PAGES = 4000  # 16 MB of WAL: fewer, larger checkpoints while a file is imported

SCHEMA_FOLDER = Path(__file__).parents[1] / "schema"
SCHEMA = (SCHEMA_FOLDER / "schema.sql").read_text(encoding="utf-8")

# Changes to the schema, oldest first: UPGRADES[n] turns version n + 1 into n + 2. Append only.
UPGRADES = [
    (SCHEMA_FOLDER / f"upgrade_{version}.sql").read_text(encoding="utf-8")
    for version in range(2, SCHEMA_VERSION + 1)
]


class Connection(apsw.Connection):
    """A connection that knows the number of the change its transaction makes."""

    change: int | None = None


class Upgrade(NamedTuple):
    """What became of an older database: `copy` is how it was, None where that had no room."""

    schema_before: int
    copy: Path | None


def create(path: Path, *, keeps_older: bool = True) -> Upgrade | None:
    """Make the database if there is none, and bring an older one up to date.

    An older one is copied first, to a name such as `gfil.schema-1.db` beside it, unless
    `keeps_older` says not to. Safe when several processes do it at once: the first one makes it,
    the others find it made.

    Raises:
        ForeignDatabase: the file belongs to something else or to a newer program.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    with translate_errors(path), exclusive_lock(path.parent):
        db = Connection(os.fspath(path), flags=flags)
        try:
            db.set_busy_timeout(WRITER_WAIT_MS)
            if _is_blank(db):
                _set(db, "auto_vacuum", "INCREMENTAL", 2)  # before the first table, or never
            else:
                check_ours(db, path, oldest=1)  # before WAL is switched on in somebody else's file
            _configure_writer(db)
            upgrade = _keep_as_it_is(db, path) if keeps_older else None
            with transaction(db):
                _upgrade(db)
        finally:
            db.close()
    return upgrade


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Let no other process make, upgrade or replace a database of the folder meanwhile."""
    # SQLite's own lock is no help: a copy cannot be written inside a transaction.
    try:
        held = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise DatabaseError(folder, str(error.strerror)) from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _keep_as_it_is(db: Connection, path: Path) -> Upgrade | None:
    version = db.pragma("user_version")
    if _is_blank(db) or version == SCHEMA_VERSION:
        return None
    copy = path.with_name(f"{path.stem}.schema-{version}{path.suffix}")
    try:
        file_copy.write_copy(db, copy)
    except DiskFull:
        return Upgrade(version, None)  # the upgrade itself needs little room, and is all or nothing
    return Upgrade(version, copy)


def connect(path: Path, *, readonly: bool = False, cache_kib: int | None = None) -> Connection:
    """Open an existing, up-to-date database; `cache_kib` is for pages, where the usual is too much.

    Raises:
        NoDatabase: there is none at the path.
        ForeignDatabase: it is not one of ours, or its schema is not this program's.
    """
    if not path.exists():
        raise NoDatabase(path)
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE
    with translate_errors(path):
        db = Connection(os.fspath(path), flags=flags)
        try:
            db.set_busy_timeout(READER_WAIT_MS if readonly else WRITER_WAIT_MS)
            check_ours(db, path, oldest=SCHEMA_VERSION)
            if readonly:
                _configure(db, READER_CACHE_KIB)
            else:
                _configure_writer(db)
            if cache_kib:
                _set(db, "cache_size", -cache_kib, -cache_kib)
        except BaseException:
            db.close()
            raise
    return db


def retry_until(seconds: float) -> Callable[[int], bool]:
    """Return a busy handler that asks for a lock again and again, so many seconds from now on.

    SQLite's own rests grow to 100 ms: so seldom one never meets the moment between two commits of
    somebody who writes without a pause.
    """
    end = time.monotonic() + seconds

    def wait(tries: int) -> bool:
        time.sleep(POLL_S)
        return time.monotonic() < end

    return wait


@contextmanager
def transaction(db: apsw.Connection) -> Iterator[None]:
    """Run the block as one write: all of it is committed, or none.

    BEGIN IMMEDIATE, because a read that turns into a write fails at once with BUSY_SNAPSHOT
    whatever the timeout (sqlite.org/isolation.html).

    Raises:
        Busy: another process held the write lock longer than the timeout.
        DiskFull: the disk had no room; nothing was stored.
    """
    with translate_errors(None):
        db.execute("BEGIN IMMEDIATE")
        assert isinstance(db, Connection)
        db.change = None
        try:
            yield
            db.execute("COMMIT")
        except BaseException as error:
            is_without_room = (
                isinstance(error, apsw.IOError) and db.system_errno in file_copy.NO_ROOM
            )
            if db.in_transaction:  # SQLite may have rolled back by itself, or a COMMIT got through
                db.execute("ROLLBACK")
            if is_without_room:
                raise DiskFull from error
            raise


@contextmanager
def snapshot(db: apsw.Connection) -> Iterator[None]:
    """Let every read of the block see one and the same state of the database."""
    with translate_errors(None):
        db.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")


def query_all(
    db: apsw.Connection, sql: str, bindings: Mapping[str, Any] | None = None
) -> list[Any]:
    """Return all rows of a query at once; a half-read cursor would pin the WAL."""
    return db.execute(sql, bindings).fetchall()


def query_one(db: apsw.Connection, sql: str, bindings: Mapping[str, Any] | None = None) -> Any:
    """Return the one value of a query, its one row if it is wider, or None if there is none."""
    return db.execute(sql, bindings).get


READ_STATE = "SELECT epoch, change FROM store"


def read_state(db: apsw.Connection) -> tuple[str, int]:
    """Return the epoch and the number of the newest change."""
    epoch, change = query_one(db, READ_STATE)
    return epoch, change


NEXT_CHANGE = "UPDATE store SET change = change + 1 RETURNING change"


def next_change(db: apsw.Connection) -> int:
    """Count one more change, once per transaction however often it is asked; return its number."""
    assert isinstance(db, Connection)
    if db.change is None:
        db.change = int(query_one(db, NEXT_CHANGE))
    return db.change


RENEW_EPOCH = "UPDATE store SET epoch = :epoch"


def renew_epoch(db: apsw.Connection) -> None:
    """Tell everyone who remembers change numbers to forget them."""
    db.execute(RENEW_EPOCH, {"epoch": _new_epoch()})


def _new_epoch() -> str:
    return secrets.token_hex(8)


@contextmanager
def translate_errors(path: Path | None) -> Iterator[None]:
    """Raise errors of SQLite as what they mean to a user."""
    try:
        yield
    except apsw.Error as error:
        raise translate(error, path) from error


def translate(error: apsw.Error, path: Path | None = None) -> GfilError | apsw.Error:
    """Return what an error of SQLite means to a user; one that is our own fault stays as it is."""
    if isinstance(error, (apsw.BusyError, apsw.LockedError, apsw.ProtocolError, apsw.NoMemError)):
        return Busy()
    if isinstance(error, apsw.FullError):
        return DiskFull()
    if isinstance(error, apsw.NotADBError):
        return ForeignDatabase(path, "it is not an SQLite database")
    if isinstance(error, (apsw.CantOpenError, apsw.ReadOnlyError, apsw.IOError, apsw.CorruptError)):
        return DatabaseError(path, str(error))
    return error


def _set(db: apsw.Connection, pragma: str, value: str | int, expected: str | int) -> None:
    db.pragma(pragma, value)
    if (found := db.pragma(pragma)) != expected:
        raise DatabaseError(Path(db.filename), f"{pragma} stays {found} instead of {expected}")


def _configure_writer(db: apsw.Connection) -> None:
    _set(db, "journal_mode", "WAL", "wal")
    _set(db, "synchronous", "FULL", 2)  # NORMAL loses acknowledged commits at a power cut
    _set(db, "journal_size_limit", JOURNAL_SIZE_MAX_BYTES, JOURNAL_SIZE_MAX_BYTES)
    _set(db, "wal_autocheckpoint", CHECKPOINT_PAGES, CHECKPOINT_PAGES)
    _set(db, "foreign_keys", 1, 1)
    _configure(db, WRITER_CACHE_KIB)


# What a roll-up is to fold, laid out anew for each (see rollup.py); a temporary table, for every
# connection may have one, also a read-only one.
TILE = """
CREATE TEMP TABLE tile (
    start   INTEGER PRIMARY KEY,  -- UNIX s, as all of these
    stop    INTEGER NOT NULL,
    bucket  INTEGER NOT NULL,     -- start of the bucket it is of
    length  INTEGER NOT NULL,     -- of that bucket
    base_s  INTEGER NOT NULL      -- length of the candles to fold
) STRICT
"""


def _configure(db: apsw.Connection, cache_kib: int) -> None:
    _set(db, "cache_size", -cache_kib, -cache_kib)
    _set(db, "mmap_size", 0, 0)  # an I/O error in mapped memory kills the process
    _set(db, "temp_store", 2, 2)  # sorters of a few thousand rows belong in memory
    _set(db, "trusted_schema", 0, 0)
    for setting in (apsw.SQLITE_DBCONFIG_DQS_DML, apsw.SQLITE_DBCONFIG_DQS_DDL):
        db.config(setting, 0)  # "x" is a column, never a string
    # Without this guarantee a build with STAT4, such as APSW's, compiles a statement anew whenever
    # a bound value changes: 170 µs for a roll-up that runs in 20 (sqlite.org/queryplanner-ng.html).
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    db.execute(TILE)


TABLES = "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table'"


def _is_blank(db: apsw.Connection) -> bool:
    return bool(query_one(db, TABLES) == 0)


def check_ours(db: apsw.Connection, path: Path, oldest: int) -> None:
    """Refuse a file that is not this program's, or of a schema newer than it or below `oldest`.

    Raises:
        ForeignDatabase: it is so.
    """
    version = db.pragma("user_version")
    if db.pragma("application_id") != APPLICATION_ID:
        raise ForeignDatabase(path, "it is not one of GFIL's")
    if version > SCHEMA_VERSION:
        raise ForeignDatabase(
            path, f"it has schema {version}, newer than this program's {SCHEMA_VERSION}"
        )
    if version < oldest:
        raise ForeignDatabase(path, f"it has the old schema {version}: run `scripts/gfil init`")


FIRST_STATE = "INSERT INTO store (id, epoch, change) VALUES (1, :epoch, 0)"


def _upgrade(db: apsw.Connection) -> None:
    if _is_blank(db):
        db.execute(SCHEMA).fetchall()  # lazy: without reading on it stops at the first row
        db.execute(FIRST_STATE, {"epoch": _new_epoch()})
        db.pragma("application_id", APPLICATION_ID)
    else:
        for step in UPGRADES[db.pragma("user_version") - 1 :]:
            db.execute(step).fetchall()
    if db.pragma("user_version") != SCHEMA_VERSION:  # setting the same again would be a write
        db.pragma("user_version", SCHEMA_VERSION)
