"""Checkpoints: one elected process copies the WAL into the database while requests go on."""

import logging
import time
from pathlib import Path
from typing import NamedTuple

import apsw

from gfil.errors import DatabaseError
from gfil.store.engine import locks
from gfil.store.engine.connection import JOURNAL_SIZE_MAX_BYTES, Connection, connect, retry_until
from gfil.store.engine.pool import FileIdentity, Writer, identify_file

POLL_S = 0.5
# Between checkpoints, unless the WAL is large: a commit during one waits for its sync.
INTERVAL_S = 3.0
RESTART_PAGES = 1000  # 4 MB: overwriting the WAL is faster than growing it
LARGE_BYTES = 2 * JOURNAL_SIZE_MAX_BYTES
# Limits of the time that a restart of the WAL blocks writers while it waits for the last readers.
WAIT_S = 0.05
LARGE_WAIT_S = 0.25
LARGE_TRIES = 4
RETRY_S = 0.02
RESTART, TRUNCATE = apsw.SQLITE_CHECKPOINT_RESTART, apsw.SQLITE_CHECKPOINT_TRUNCATE

log = logging.getLogger("gfil")


class State(NamedTuple):
    """Size and modification time of a WAL file."""

    bytes: int
    time_ns: int


class Checkpointer:
    """Copies the WAL into the database every few seconds if this process is elected.

    Commits therefore never checkpoint, and all take equally long. `done` and `failed` count
    checkpoints; `held_up` counts those that could not copy the whole WAL because of readers, which
    SQLite does not report as an error.
    """

    def __init__(self, writer: Writer) -> None:
        self.path = writer.path
        self.done = self.failed = self.held_up = 0
        self._writer = writer
        self._lock: int | None = None  # descriptor of the lock file once this process is elected
        self._db: Connection | None = None
        self._identity: FileIdentity | None = None
        self._due = 0.0
        self._copied: State | None = None  # state of the WAL when it was last copied completely

    def run(self) -> None:
        """Checkpoint if this process is elected and the WAL has changed.

        Raises:
            InDoubt, Damaged, GfilError, apsw.Error: the disk failed.
        """
        state = read_state(self.path)
        if state is None or not self._is_elected() or self._writer.failstop.is_in_doubt:
            return
        if state == self._copied and state.bytes <= JOURNAL_SIZE_MAX_BYTES:
            return
        now = time.monotonic()
        if now < self._due and state.bytes <= LARGE_BYTES:
            return
        self._due = now + INTERVAL_S
        try:
            is_copied = self._checkpoint(state)
        except (apsw.Error, DatabaseError) as error:
            self.failed += 1
            self.close()
            self._writer.failstop.record_failure(error, self.path)
            raise
        self.done += 1
        self.held_up += not is_copied
        self._copied = state if is_copied else None

    def close(self) -> None:
        """Close the database and stay elected."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _checkpoint(self, state: State) -> bool:
        db, is_idle = self._open(), state == self._copied
        wait_s, tries = (LARGE_WAIT_S, LARGE_TRIES) if state.bytes > LARGE_BYTES else (WAIT_S, 1)
        for _ in range(tries):
            try:
                pages, copied = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                if pages < RESTART_PAGES and not is_idle:
                    return pages == copied
                # Writers restart the WAL only if all of it is copied, which never happens during
                # writes. This blocks writers while the rest is copied.
                db.set_busy_handler(retry_until(wait_s))
                db.wal_checkpoint(mode=TRUNCATE if is_idle else RESTART)
                return True
            except apsw.BusyError:  # of a reader, or of a checkpoint of a writer
                time.sleep(RETRY_S)
        return False

    def _open(self) -> Connection:
        identity = identify_file(self.path)
        if self._db is None or self._identity != identity:
            self.close()
            self._db, self._identity = connect(self.path), identity
        return self._db

    def _is_elected(self) -> bool:
        if self._lock is None:
            self._lock = locks.acquire(locks.checkpointer_path(self.path))
        return self._lock is not None


def read_state(database: Path) -> State | None:
    """Return the state of the WAL file of a database, or None if it does not exist."""
    try:
        file = Path(f"{database}-wal").stat()
    except OSError:
        return None
    return State(file.st_size, file.st_mtime_ns)
