"""Checkpoints: one elected process of all copies the WAL into the database, beside the requests."""

import logging
import time
from pathlib import Path
from typing import NamedTuple

import apsw

from gfil.errors import DatabaseError
from gfil.store.engine import locks
from gfil.store.engine.connection import JOURNAL_SIZE_MAX_BYTES, Connection, connect, retry_until
from gfil.store.engine.pool import FileIdentity, Writer, identify_file

LOOK_S = 0.5
# Between rounds, unless the WAL is large: a commit that meets one waits for its sync.
REST_S = 3.0
RESTART_PAGES = 1000  # 4 MB: a WAL that is written over is faster than one that grows
LARGE_BYTES = 2 * JOURNAL_SIZE_MAX_BYTES
# So long may a WAL that should begin anew hold up writers while it waits for the last readers.
WAIT_S = 0.05
LARGE_WAIT_S = 0.25
LARGE_TRIES = 4
RETRY_S = 0.02
RESTART, TRUNCATE = apsw.SQLITE_CHECKPOINT_RESTART, apsw.SQLITE_CHECKPOINT_TRUNCATE

log = logging.getLogger("gfil")


class State(NamedTuple):
    """The WAL as seen from outside: its size, and when it was written last."""

    bytes: int
    time_ns: int


class Checkpointer:
    """Copies the WAL into the database every few seconds, if this process is the elected one.

    So a commit never has to, and takes as long as any other. `done` and `failed` count rounds;
    `held_up` those in which readers kept some of the WAL from being copied, which SQLite does not
    call an error.
    """

    def __init__(self, writer: Writer) -> None:
        self.path = writer.path
        self.done = self.failed = self.held_up = 0
        self._writer = writer
        self._lock: int | None = None  # the lock file's descriptor, once this process is elected
        self._db: Connection | None = None
        self._home: FileIdentity | None = None
        self._due = 0.0
        self._seen: State | None = None  # what has been copied

    def run(self) -> None:
        """Do one round.

        Raises:
            InDoubt, Damaged, GfilError, apsw.Error: the disk failed.
        """
        state = read_state(self.path)
        if state is None or not self._is_elected() or self._writer.failstop.is_in_doubt:
            return
        if state == self._seen and state.bytes <= JOURNAL_SIZE_MAX_BYTES:
            return
        now = time.monotonic()
        if now < self._due and state.bytes <= LARGE_BYTES:
            return
        self._due = now + REST_S
        try:
            is_copied = self._checkpoint(state)
        except (apsw.Error, DatabaseError) as error:
            self.failed += 1
            self.close()
            self._writer.failstop.record_failure(error, self.path)
            raise
        self.done += 1
        self.held_up += not is_copied
        self._seen = state if is_copied else None

    def close(self) -> None:
        """Let go of the database; whoever is elected stays so."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _checkpoint(self, state: State) -> bool:
        db, is_idle = self._open(), state == self._seen
        wait_s, tries = (LARGE_WAIT_S, LARGE_TRIES) if state.bytes > LARGE_BYTES else (WAIT_S, 1)
        for _ in range(tries):
            try:
                pages, copied = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                if pages < RESTART_PAGES and not is_idle:
                    return pages == copied
                # Writers begin at its start again only if they find all of it copied, which never
                # happens while they write. This holds them up while the last of it is copied.
                db.set_busy_handler(retry_until(wait_s))
                db.wal_checkpoint(mode=TRUNCATE if is_idle else RESTART)
                return True
            except apsw.BusyError:  # readers hold on; or a writer checkpoints, which waits for none
                time.sleep(RETRY_S)
        return False

    def _open(self) -> Connection:
        home = identify_file(self.path)
        if self._db is None or self._home != home:
            self.close()
            self._db, self._home = connect(self.path), home
        return self._db

    def _is_elected(self) -> bool:
        if self._lock is None:
            self._lock = locks.acquire(locks.checkpointer_path(self.path))
        return self._lock is not None


def read_state(database: Path) -> State | None:
    """Return the state of a database's WAL, by a look from outside; None where there is none."""
    try:
        file = Path(f"{database}-wal").stat()
    except OSError:
        return None
    return State(file.st_size, file.st_mtime_ns)
