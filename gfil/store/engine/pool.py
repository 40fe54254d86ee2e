"""The connections of a serving process: a pool of readers, and one writer."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import apsw

from gfil.errors import Busy, DatabaseError, DiskFull
from gfil.store.engine.connection import (
    WRITER_WAIT_MS,
    Connection,
    connect,
    transaction,
)
from gfil.store.engine.failstop import FailStop
from gfil.store.engine.sqlite_errors import translate_errors

IDLE_MAX = 8
WRITER_CACHE_KIB = 8 * 1024  # half of an import's: the connection lives as long as the process
DEDICATED_CACHE_KIB = 2048  # as fast as 16 MiB: an upload passes through time once
AUTOCHECKPOINT_PAGES = 8000  # 32 MB of WAL: writers checkpoint only if no other process does

FileIdentity = tuple[int, int, int]
"""The process of a connection, and the device and inode of its file."""


def identify_file(path: Path) -> FileIdentity | None:
    """Return the identity that a connection opened now would have; None without a file."""
    try:
        file = path.stat()  # unlike opening and closing the file, this does not drop its locks
    except OSError:
        return None
    return os.getpid(), file.st_dev, file.st_ino  # a connection must not cross a fork


class Pool:
    """Read-only connections of one process; threads acquire and release them.

    Opening a connection takes a few hundred microseconds, and an idle one uses a megabyte. Idle
    connections are dropped when another file has replaced the database.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[Connection] = []
        self._identity: FileIdentity | None = None  # of the idle connections

    def acquire(self) -> Connection:
        """Return a connection inside a fresh snapshot; `release` it afterwards."""
        identity = identify_file(self.path)
        if self._identity != identity:
            self._idle, self._identity = [], identity
        try:
            db = self._idle.pop()  # atomic, unlike a check before it
        except IndexError:
            db = connect(self.path, readonly=True)
        with translate_errors(self.path):
            db.execute("BEGIN DEFERRED")
        return db

    def release(self, db: Connection, *, is_sound: bool = True) -> None:
        """End the snapshot of a connection and make it idle; one that failed is closed."""
        is_sound = is_sound and db.in_transaction  # an I/O error ends the transaction
        if is_sound and self._identity == identify_file(self.path) and len(self._idle) < IDLE_MAX:
            db.execute("ROLLBACK")
            self._idle.append(db)
        else:
            with suppress(apsw.Error):  # a failing disk: the request has failed already
                db.close()


class Writer:
    """The one writing connection of a process, shared by its threads one transaction at a time.

    More connections would each cache megabytes of pages, which the writes of others invalidate. The
    connection is reopened after a failed write, and when another file has replaced the database.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failstop = FailStop()
        self._lock = threading.Lock()
        self._db: Connection | None = None
        self._identity: FileIdentity | None = None

    @contextmanager
    def transaction(self, wait_ms: int = WRITER_WAIT_MS) -> Iterator[Connection]:
        """Run the block as one write transaction: all is committed, or nothing.

        `wait_ms` limits the wait for other threads and other processes together.

        Raises:
            Busy: other threads or processes held the write lock longer than `wait_ms`.
            InDoubt, Damaged: the disk failed, in any process, and no check has passed since.
            DiskFull, DatabaseError: the transaction could not be stored.
        """
        deadline = time.monotonic() + wait_ms / 1000
        if not self._lock.acquire(timeout=wait_ms / 1000):
            raise Busy
        try:
            self.failstop.check(self.path)
            db = self._open()
            db.set_busy_timeout(max(1, int(1000 * (deadline - time.monotonic()))))
            with transaction(db):
                yield db
            self.failstop.check(self.path)  # another process may have failed meanwhile
        except (DatabaseError, DiskFull, apsw.Error) as error:
            try:
                # Before anything else: SQLite has already released its lock.
                self.failstop.record_failure(error, self.path)
            finally:
                self._close()
            raise
        finally:
            self._lock.release()

    @contextmanager
    def dedicated_connection(self) -> Iterator[Connection]:
        """Open a separate writing connection for the block, for many transactions in turn.

        Raises:
            InDoubt, Damaged: the disk failed, before or meanwhile, in any process.
            DiskFull, DatabaseError: a transaction could not be stored.
        """
        self.failstop.check(self.path)
        try:
            with closing(connect(self.path, cache_kib=DEDICATED_CACHE_KIB)) as db:
                yield db
        except (DatabaseError, DiskFull, apsw.Error) as error:
            self.failstop.record_failure(error, self.path)
            raise
        self.failstop.check(self.path)

    def check(self) -> None:
        """Check whether writes are allowed.

        Raises:
            InDoubt, Damaged: writes are refused, as in `transaction`.
        """
        self.failstop.check(self.path)

    def _open(self) -> Connection:
        identity = identify_file(self.path)
        if self._db is None or self._identity != identity:
            self._close()
            self._db, self._identity = connect(self.path, cache_kib=WRITER_CACHE_KIB), identity
            self._db.wal_autocheckpoint(AUTOCHECKPOINT_PAGES)
        return self._db

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(
                apsw.Error
            ):  # the last connection checkpoints on close, and the disk may fail
                db.close()
