"""Fail-stop: after an I/O error no write is acknowledged until a fresh process has checked."""

import contextlib
import logging
import mmap
import struct
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from gfil.errors import Busy, DatabaseError, DiskFull, GfilError
from gfil.store.engine import connection, upgrade

RETRY_S = 2.0
SUCCESSOR_S = 10.0  # an ended process is replaced within this time
CHUNK_BYTES = 64 * 1024  # SQLite's file layer accepts less than 128 KiB in one call (os_unix.c)
FAILED_AT, CLEARED, DAMAGED, NEWEST_START = range(4)

log = logging.getLogger("gfil")


class InDoubt(Busy):
    """The disk failed at a write: no write is allowed until a check has passed."""

    type = "in_doubt"
    title = "The disk failed"

    def __init__(self) -> None:
        super().__init__(
            "the disk failed at a write, nothing is acknowledged until the database has been "
            "checked: send the request again then",
            retry_after_s=5,
        )


class Damaged(DatabaseError):
    """The file is damaged: reads are tried, writes are refused."""

    type = "damaged"
    title = "The database is damaged"

    def __init__(self, path: Path) -> None:
        super().__init__(path, "it is damaged: nothing more is stored; restore a backup")


class FailStop:
    """Shared state of the file's soundness for all processes of a server, in memory only.

    Created before the processes fork: four numbers in shared memory. After an I/O error in one
    process all of them stop writing: they share its disk and page cache, and a sync that failed
    once may succeed the next time without writing anything (wiki.postgresql.org/wiki/Fsync_Errors).
    The others need not exit: the failed write was undone, and their caches come from synced
    commits.

    `leave` ends a process that the server replaces; the successor checks the file. Every process
    that meets an error leaves, because a successor checks only failures before its own start.
    Without `leave`, under another server or in a test, the next write checks first.
    """

    def __init__(self) -> None:
        # Time of the last failure, time of the failure that a check cleared, whether the file is
        # damaged, and when the newest process started (or one left to be replaced).
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        self._started = 0.0
        self._last_check = 0.0
        self._has_left = False
        self.leave: Callable[[], None] | None = None

    def join(self, leave: Callable[[], None]) -> None:
        """Register a process at its start; `leave` ends it so that the server replaces it."""
        self._started, self.leave, self._has_left = time.monotonic(), leave, False
        self._write(NEWEST_START, self._started)

    def check(self, path: Path) -> None:
        """Refuse writes while the file is in doubt.

        Raises:
            InDoubt, Damaged: writes are refused.
        """
        failed_at, cleared, damaged, _ = self._read()
        if damaged:
            raise Damaged(path)
        if failed_at > cleared and not (self.leave is None and self.recover(path)):
            raise InDoubt

    @property
    def is_in_doubt(self) -> bool:
        """Whether the content of the file may not be on the disk."""
        failed_at, cleared, damaged, _ = self._read()
        return bool(damaged) or failed_at > cleared

    def record_failure(self, error: BaseException | None, path: Path) -> None:
        """Record the error that ended a write, if it affects the soundness of the file.

        Raises:
            InDoubt, Damaged: the error affects the file.
        """
        error = _of_sqlite(error)
        if isinstance(error, apsw.CorruptError):
            log.critical("%s is damaged, nothing more is stored: %s", path, error)
            self._write(DAMAGED, 1.0)
            raise Damaged(path) from error
        if isinstance(error, apsw.IOError):
            self._write(FAILED_AT, time.monotonic())
            log.critical("the disk of %s failed, nothing is stored until a check: %s", path, error)
            self._leave_once()
            raise InDoubt from error

    def recover(self, path: Path) -> bool:
        """Check a file in doubt, if this process may; return whether writes are allowed."""
        failed_at, cleared, damaged, newest_start = self._read()
        now = time.monotonic()
        if damaged or failed_at <= cleared:
            return not damaged
        is_fresh = self.leave is None or self._started > failed_at
        if not is_fresh and newest_start <= failed_at < now - SUCCESSOR_S:
            # No process started after the failure: the server had replaced the failed one before.
            self._write(NEWEST_START, now)  # one successor is enough
            self._leave_once()
        if not is_fresh or now - self._last_check < RETRY_S:
            return False
        self._last_check = now
        try:
            _probe(path)
        except (apsw.Error, GfilError) as error:
            if isinstance(_of_sqlite(error), apsw.CorruptError):
                log.critical("%s has not passed its check, nothing more is stored: %s", path, error)
                self._write(DAMAGED, 1.0)
            else:
                log.error("%s cannot be checked yet: %s", path, error)
            return False
        log.warning("%s has passed its check and is written again", path)
        self._write(CLEARED, failed_at)  # this failure only: another process may have met the next
        return True

    def _leave_once(self) -> None:
        if self.leave is not None and not self._has_left:
            self._has_left = True
            self.leave()

    def _read(self) -> tuple[float, float, float, float]:
        failed_at, cleared, damaged, newest_start = struct.unpack_from("4d", self._shared)
        return failed_at, cleared, damaged, newest_start

    def _write(self, index: int, value: float) -> None:
        struct.pack_into("d", self._shared, 8 * index, value)


def _of_sqlite(error: BaseException | None) -> BaseException | None:
    if isinstance(error, DiskFull):
        return None  # also reported as an I/O error: free space solves the problem
    return error.__cause__ if isinstance(error, GfilError) else error


def _probe(path: Path) -> None:
    with contextlib.closing(connection.connect(path)) as db:
        # No checkpoint on close: nothing is copied until the file is safe.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        if (found := db.pragma("quick_check", 1)) != "ok":
            raise apsw.CorruptError(str(found))
        with connection.transaction(db):
            # A commit with a failed sync may still be in the WAL, but only in the page cache. The
            # repeated request would report duplicates although its rows are not on the disk.
            # A checkpoint alone is not enough: a power cut would leave new pages below an old WAL.
            _rewrite(Path(f"{path}-wal"))
            db.pragma("user_version", upgrade.SCHEMA_VERSION)  # unchanged, but a write
        pages, copied = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        if pages != copied:
            raise Busy("readers still use the WAL")


def _rewrite(wal: Path) -> None:
    # Through SQLite's file layer: opening and closing the file directly drops SQLite's locks.
    flags = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE
    file = apsw.VFSFile("", str(wal), [flags, 0])
    try:
        size = file.xFileSize()
        for at in range(0, size, CHUNK_BYTES):
            file.xWrite(file.xRead(min(CHUNK_BYTES, size - at), at), at)
        file.xSync(apsw.SQLITE_SYNC_FULL)
    finally:
        file.xClose()
