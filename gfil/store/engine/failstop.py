"""Fail-stop: after an I/O error nothing is acknowledged until a fresh process has checked."""

import contextlib
import logging
import mmap
import struct
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from gfil.errors import Busy, DatabaseError, DiskFull, GfilError
from gfil.store.engine import connection

RETRY_S = 2.0
SUCCESSOR_S = 10.0  # in which one that leaves is replaced
PIECE_BYTES = 64 * 1024  # SQLite's file layer takes less than 128 KB at once (os_unix.c)
DOUBTED, DISPELLED, DAMAGED, YOUNGEST = range(4)

log = logging.getLogger("gfil")


class InDoubt(Busy):
    """The disk failed at a write: until a check has passed nothing is stored."""

    type = "in_doubt"
    title = "The disk failed"

    def __init__(self) -> None:
        super().__init__(
            "the disk failed at a write, nothing is acknowledged until the database has been "
            "checked: send it again then",
            retry_after_s=5,
        )


class Damaged(DatabaseError):
    """The file contradicts itself: it is read, as far as that goes, and never written."""

    type = "damaged"
    title = "The database is damaged"

    def __init__(self, path: Path) -> None:
        super().__init__(path, "it is damaged: nothing more is stored; restore a backup")


class FailStop:
    """What all processes of a server know of the file's soundness, without a word on the disk.

    Made before the processes fork it is one for all of them: four numbers in shared memory. The
    others stop with the one that met the error: they share its disk and its page cache, and a
    sync that failed once may succeed the next time without having written anything
    (wiki.postgresql.org/wiki/Fsync_Errors). They need not leave: what failed was undone, and what
    they remember of the file came from commits that were synced.

    `leave` ends a process that somebody will replace; its successor checks. Each that meets an
    error leaves: a successor checks only what was doubted before it was born. Where nobody
    replaces it, under another server or in a test, the next write checks first.
    """

    def __init__(self) -> None:
        # When the file was doubted, which doubt was dispelled, whether it is damaged, and when the
        # youngest process was born or some other left for one to be born.
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        self._born = 0.0
        self._tried = 0.0
        self._has_left = False
        self.leave: Callable[[], None] | None = None

    def join(self, leave: Callable[[], None]) -> None:
        """Note that this process begins now, and what to do for it to be replaced."""
        self._born, self.leave, self._has_left = time.monotonic(), leave, False
        self._write(YOUNGEST, self._born)

    def check(self, path: Path) -> None:
        """Refuse to write while the file is in doubt.

        Raises:
            InDoubt, Damaged: it is.
        """
        doubted, dispelled, damaged, _ = self._read()
        if damaged:
            raise Damaged(path)
        if doubted > dispelled and not (self.leave is None and self.recover(path)):
            raise InDoubt

    @property
    def is_in_doubt(self) -> bool:
        """Whether what is found in the file may not be on the disk."""
        doubted, dispelled, damaged, _ = self._read()
        return bool(damaged) or doubted > dispelled

    def note(self, error: BaseException | None, path: Path) -> None:
        """Look at what ended a write.

        Raises:
            InDoubt, Damaged: it throws doubt on the file.
        """
        error = _of_sqlite(error)
        if isinstance(error, apsw.CorruptError):
            log.critical("%s is damaged, nothing more is stored: %s", path, error)
            self._write(DAMAGED, 1.0)
            raise Damaged(path) from error
        if isinstance(error, apsw.IOError):
            self._write(DOUBTED, time.monotonic())
            log.critical("the disk of %s failed, nothing is stored until a check: %s", path, error)
            self._leave_once()
            raise InDoubt from error

    def recover(self, path: Path) -> bool:
        """Check a file in doubt, if that is for this process; say whether it may be written."""
        doubted, dispelled, damaged, youngest = self._read()
        now = time.monotonic()
        if damaged or doubted <= dispelled:
            return not damaged
        is_fresh = self.leave is None or self._born > doubted
        if not is_fresh and youngest <= doubted < now - SUCCESSOR_S:
            # Nobody came after the one that met the error: a restart had replaced it before.
            self._write(YOUNGEST, now)  # one successor is enough
            self._leave_once()
        if not is_fresh or now - self._tried < RETRY_S:
            return False
        self._tried = now
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
        self._write(DISPELLED, doubted)  # this one: another process may have met the next
        return True

    def _leave_once(self) -> None:
        if self.leave is not None and not self._has_left:
            self._has_left = True
            self.leave()

    def _read(self) -> tuple[float, float, float, float]:
        doubted, dispelled, damaged, youngest = struct.unpack_from("4d", self._shared)
        return doubted, dispelled, damaged, youngest

    def _write(self, place: int, value: float) -> None:
        struct.pack_into("d", self._shared, 8 * place, value)


def _of_sqlite(error: BaseException | None) -> BaseException | None:
    if isinstance(error, DiskFull):
        return None  # of whatever kind: room is all it takes
    return error.__cause__ if isinstance(error, GfilError) else error


def _probe(path: Path) -> None:
    with contextlib.closing(connection.connect(path)) as db:
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # nothing is copied until it is safe
        if (found := db.pragma("quick_check", 1)) != "ok":
            raise apsw.CorruptError(str(found))
        with connection.transaction(db):
            # A commit whose sync failed may be found again in the WAL, though only the page cache
            # has it: whoever sends it again would be told that it is there. A checkpoint alone does
            # not make that true: a cut of the power would leave new pages below an old WAL.
            _write_again(Path(f"{path}-wal"))
            db.pragma("user_version", connection.SCHEMA_VERSION)  # the same again, yet a write
        pages, copied = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        if pages != copied:
            raise Busy("readers hold on to the WAL")


def _write_again(wal: Path) -> None:
    # Through SQLite's own file layer: to open and close it past that would drop SQLite's locks.
    flags = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE
    file = apsw.VFSFile("", str(wal), [flags, 0])
    try:
        size = file.xFileSize()
        for at in range(0, size, PIECE_BYTES):
            file.xWrite(file.xRead(min(PIECE_BYTES, size - at), at), at)
        file.xSync(apsw.SQLITE_SYNC_FULL)
    finally:
        file.xClose()
