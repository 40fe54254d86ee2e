"""The connections of a serving process: readers used in turn, and one writer."""

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
    translate_errors,
)
from gfil.store.engine.failstop import FailStop

IDLE_MAX = 8
CACHE_KIB = 8 * 1024  # half of an import's: it is kept for as long as the process lives
BACKSTOP_PAGES = 8000  # 32 MB of WAL: a checkpoint by whoever writes, where nobody else makes them
BESIDE_CACHE_KIB = 2048  # as fast as 16 MB: an upload goes through time once

FileIdentity = tuple[int, int, int]
"""Where an open connection belongs: its process, and the device and inode of its file."""


def identify_file(path: Path) -> FileIdentity | None:
    """Return where a connection opened now would belong; None where there is no file."""
    try:
        file = path.stat()  # to look at a file does not drop its locks, to open it would
    except OSError:
        return None
    return os.getpid(), file.st_dev, file.st_ino  # a connection must not cross a fork


class Pool:
    """Read-only connections of one process, used one at a time and kept for the next user.

    A connection costs a few hundred microseconds to open and a megabyte to keep: a few serve many
    threads. When another file has taken the database's place they are dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[Connection] = []
        self._home: FileIdentity | None = None  # of the idle ones

    def take(self) -> Connection:
        """Return a connection inside a fresh snapshot; hand it back with `give`."""
        home = identify_file(self.path)
        if self._home != home:
            self._idle, self._home = [], home
        try:
            db = self._idle.pop()  # atomic, unlike a look before it
        except IndexError:
            db = connect(self.path, readonly=True)
        with translate_errors(self.path):
            db.execute("BEGIN DEFERRED")
        return db

    def give(self, db: Connection, *, is_sound: bool = True) -> None:
        """Take a connection back and end its snapshot; one that failed is not used again."""
        is_sound = is_sound and db.in_transaction  # which an I/O error ends
        if is_sound and self._home == identify_file(self.path) and len(self._idle) < IDLE_MAX:
            db.execute("ROLLBACK")
            self._idle.append(db)
        else:
            with suppress(apsw.Error):  # of a disk that fails: nobody is left to be told
                db.close()


class Writer:
    """The one connection of a process that requests write through, one transaction at a time.

    One, because each keeps megabytes of pages, and what others wrote makes them worthless. It
    belongs to the process that opened it, and is opened anew when another file has taken the
    database's place or when a write failed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failstop = FailStop()
        self._lock = threading.Lock()
        self._db: Connection | None = None
        self._home: FileIdentity | None = None

    @contextmanager
    def transaction(self, wait_ms: int = WRITER_WAIT_MS) -> Iterator[Connection]:
        """Run the block as one write, after those of other threads: all is committed, or nothing.

        `wait_ms` is for those of this process and of others together.

        Raises:
            Busy: other threads or processes held the write lock longer than the timeout.
            InDoubt, Damaged: the disk failed, in whose hands ever, and no check has passed since.
            DiskFull, DatabaseError: it could not be stored.
        """
        due = time.monotonic() + wait_ms / 1000
        if not self._lock.acquire(timeout=wait_ms / 1000):
            raise Busy
        try:
            self.failstop.check(self.path)
            db = self._open()
            db.set_busy_timeout(max(1, int(1000 * (due - time.monotonic()))))
            with transaction(db):
                yield db
            self.failstop.check(self.path)  # another may have failed while this waited for the lock
        except (DatabaseError, DiskFull, apsw.Error) as error:
            try:
                self.failstop.note(error, self.path)  # at once: SQLite's lock is free already
            finally:
                self._close()
            raise
        finally:
            self._lock.release()

    @contextmanager
    def beside(self) -> Iterator[Connection]:
        """Lend a connection of its own, for many transactions while others go on with theirs.

        Raises:
            InDoubt, Damaged: the disk failed, before or meanwhile, in whose hands ever.
            DiskFull, DatabaseError: something could not be stored.
        """
        self.failstop.check(self.path)
        try:
            with closing(connect(self.path, cache_kib=BESIDE_CACHE_KIB)) as db:
                yield db
        except (DatabaseError, DiskFull, apsw.Error) as error:
            self.failstop.note(error, self.path)
            raise
        self.failstop.check(self.path)

    def check(self) -> None:
        """Say whether what comes next could be stored.

        Raises:
            InDoubt, Damaged: as `transaction`.
        """
        self.failstop.check(self.path)

    def _open(self) -> Connection:
        home = identify_file(self.path)
        if self._db is None or self._home != home:
            self._close()
            self._db, self._home = connect(self.path, cache_kib=CACHE_KIB), home
            self._db.wal_autocheckpoint(BACKSTOP_PAGES)
        return self._db

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(apsw.Error):  # the last one to close checkpoints, on a disk that may fail
                db.close()
