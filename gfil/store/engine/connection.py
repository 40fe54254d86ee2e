"""Open, create and configure the database file; run transactions, snapshots and queries."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from gfil.errors import DatabaseError, DiskFull, ForeignDatabase, NoDatabase
from gfil.store.engine import file_copy, upgrade
from gfil.store.engine.sqlite_errors import translate_errors
from gfil.store.engine.upgrade import APPLICATION_ID, SCHEMA_VERSION

WRITER_WAIT_MS = 5000
READER_WAIT_MS = 2000
POLL_S = 0.0005
JOURNAL_SIZE_MAX_BYTES = 8 * 1024 * 1024
WRITER_CACHE_KIB = 16 * 1024
READER_CACHE_KIB = 1024
CHECKPOINT_PAGES = 4000  # 16 MB of WAL: fewer, larger checkpoints while a file is imported


class Connection(apsw.Connection):
    """A connection that remembers the change number of its transaction."""

    change: int | None = None


class Upgrade(NamedTuple):
    """A done upgrade: the schema before it, and the copy (None if the disk had no room)."""

    schema_before: int
    copy: Path | None


def create(path: Path, *, keep_copy: bool = True) -> Upgrade | None:
    """Create the database if it does not exist; upgrade an older one.

    With `keep_copy` an older file is first copied to a name such as `gfil.schema-1.db` in the same
    folder. Several processes may call this concurrently: the first one creates the file.

    Raises:
        ForeignDatabase: the file belongs to something else or to a newer program.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    with translate_errors(path), exclusive_lock(path.parent):
        db = Connection(os.fspath(path), flags=flags)
        try:
            db.set_busy_timeout(WRITER_WAIT_MS)
            if upgrade.is_blank(db):
                _set(db, "auto_vacuum", "INCREMENTAL", 2)  # before the first table, or never
            else:
                check_ours(db, path, oldest=1)  # before WAL is set in a foreign file
            _configure_writer(db)
            done = _copy_older(db, path) if keep_copy else None
            with transaction(db):
                upgrade.create_or_upgrade(db)
        finally:
            db.close()
    return done


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Keep other processes from creating, upgrading or replacing a database in the folder."""
    # SQLite's own lock does not help: a copy cannot be written inside a transaction.
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise DatabaseError(folder, str(error.strerror)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _copy_older(db: Connection, path: Path) -> Upgrade | None:
    version = db.pragma("user_version")
    if upgrade.is_blank(db) or version == SCHEMA_VERSION:
        return None
    copy = path.with_name(f"{path.stem}.schema-{version}{path.suffix}")
    try:
        file_copy.write_copy(db, copy)
    except DiskFull:
        return Upgrade(version, None)  # the upgrade itself needs little room and is atomic
    return Upgrade(version, copy)


def connect(path: Path, *, readonly: bool = False, cache_kib: int | None = None) -> Connection:
    """Open an existing database with the current schema; `cache_kib` replaces the usual cache size.

    Raises:
        NoDatabase: the file does not exist.
        ForeignDatabase: it is not a GFIL database, or its schema is older or newer.
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
    """Return a busy handler that retries for a lock every 0.5 ms, for some seconds from now on.

    SQLite's own handler sleeps up to 100 ms, too long to hit the moment between two commits of a
    process that writes without a pause.
    """
    end = time.monotonic() + seconds

    def wait(tries: int) -> bool:
        time.sleep(POLL_S)
        return time.monotonic() < end

    return wait


@contextmanager
def transaction(db: apsw.Connection) -> Iterator[None]:
    """Run the block as one write transaction: all of it is committed, or nothing.

    BEGIN IMMEDIATE, because a read that turns into a write fails immediately with BUSY_SNAPSHOT,
    regardless of the timeout (sqlite.org/isolation.html).

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
            if db.in_transaction:  # else SQLite has already rolled back or committed
                db.execute("ROLLBACK")
            if is_without_room:
                raise DiskFull from error
            raise


@contextmanager
def snapshot(db: apsw.Connection) -> Iterator[None]:
    """Run the block as one read transaction: all its reads see the same state."""
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
    """Return all rows of a query in one list; a half-read cursor would pin the WAL."""
    return db.execute(sql, bindings).fetchall()


def query_one(db: apsw.Connection, sql: str, bindings: Mapping[str, Any] | None = None) -> Any:
    """Return the first row of a query, or its value if it has one column; None without rows."""
    return db.execute(sql, bindings).get


READ_STATE = "SELECT epoch, change FROM store"


def read_state(db: apsw.Connection) -> tuple[str, int]:
    """Return the epoch and the newest change number."""
    epoch, change = query_one(db, READ_STATE)
    return epoch, change


NEXT_CHANGE = "UPDATE store SET change = change + 1 RETURNING change"


def next_change(db: apsw.Connection) -> int:
    """Return the change number of this transaction; the first call increments the counter."""
    assert isinstance(db, Connection)
    if db.change is None:
        db.change = int(query_one(db, NEXT_CHANGE))
    return db.change


RENEW_EPOCH = "UPDATE store SET epoch = :epoch"


def renew_epoch(db: apsw.Connection) -> None:
    """Replace the epoch, which invalidates all change numbers that caches and clients hold."""
    db.execute(RENEW_EPOCH, {"epoch": upgrade.new_epoch()})


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


# The tiles of one roll-up (see rollup.py). A temporary table works on read-only connections too.
CREATE_TILE = """
CREATE TEMP TABLE tile (
    start   INTEGER PRIMARY KEY,  -- UNIX s
    stop    INTEGER NOT NULL,     -- UNIX s
    bucket  INTEGER NOT NULL,     -- start of its bucket, UNIX s
    length  INTEGER NOT NULL,     -- length of its bucket, s
    base_s  INTEGER NOT NULL      -- length of the base candles
) STRICT
"""


def _configure(db: apsw.Connection, cache_kib: int) -> None:
    _set(db, "cache_size", -cache_kib, -cache_kib)
    _set(db, "mmap_size", 0, 0)  # an I/O error in mapped memory kills the process
    _set(db, "temp_store", 2, 2)  # sorters of a few thousand rows belong in memory
    _set(db, "trusted_schema", 0, 0)
    for setting in (apsw.SQLITE_DBCONFIG_DQS_DML, apsw.SQLITE_DBCONFIG_DQS_DDL):
        db.config(setting, 0)  # "x" is a column, never a string
    # Without this guarantee a build with STAT4, such as APSW's, recompiles a statement whenever a
    # bound value changes: 170 µs for a roll-up that runs in 20 (sqlite.org/queryplanner-ng.html).
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    db.execute(CREATE_TILE)


def check_ours(db: apsw.Connection, path: Path, oldest: int) -> None:
    """Refuse a foreign file, a newer schema, or a schema older than `oldest`.

    Raises:
        ForeignDatabase: the file is one of these.
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
