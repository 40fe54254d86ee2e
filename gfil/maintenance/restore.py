"""Restore: replace a database that is not in use with a verified backup, and keep the old file."""

import os
import re
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from stat import S_IMODE
from typing import NamedTuple

import apsw

from gfil import clocks
from gfil.errors import BadParameter, Conflict, NotFound
from gfil.store import api_keys
from gfil.store.candles import integrity
from gfil.store.candles.integrity import Unsound
from gfil.store.engine import connection, file_copy, file_swap, locks, sqlite_errors
from gfil.store.engine.file_swap import InUse

KEPT = ".before-restore-"  # in the name of the replaced database


class Restored(NamedTuple):
    """Result of a restore; `kept` is the path of the replaced database, None without one.

    `revoked` counts the keys that are valid in the backup and were revoked later.
    """

    kept: Path | None
    change: int
    revoked: int


def run(source: Path, database: Path, *, now: float) -> Restored:
    """Replace a database with a copy of a backup; the backup stays unchanged.

    The copy is verified first, upgraded to the schema of this program, and gets a new epoch. Keys
    revoked since the backup stay revoked. A restore that is killed leaves either the old or the new
    database under the name, complete.

    Raises:
        InUse: a server or another process has the database open.
        ForeignDatabase: one of the two is not a database of GFIL, or of a newer version.
        Unsound: the backup is damaged or breaks a law of the data.
        DiskFull: the copy does not fit next to the database.
    """
    _check_source(source, database)
    database.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack, sqlite_errors.translate_errors(database):
        if not stack.enter_context(locks.hold(locks.checkpointer_path(database))):
            raise InUse(database)
        database = database.resolve()  # a symbolic link stays a link
        _remove_second_names(database)
        successor = database.with_name(f"{database.name}.restoring")
        had_one = database.exists()
        old = stack.enter_context(file_swap.exclusive_access(database)) if had_one else None
        stack.callback(successor.unlink, missing_ok=True)
        change, revoked = _write_successor(source, successor, _read_revoked(old), now=int(now))
        _copy_owner(successor, database if had_one else database.parent)
        stack.enter_context(connection.exclusive_lock(database.parent))
        if database.exists() != had_one:  # another process created one meanwhile
            raise InUse(database)
        kept = file_swap.swap(database, successor, _name_kept(database, now))
    return Restored(kept, change, revoked)


def _check_source(source: Path, database: Path) -> None:
    if not source.is_file():
        raise NotFound(f"the file {source} does not exist")
    if database.exists() and source.samefile(database):
        raise BadParameter(f"{source} is the database itself: use a backup of it")


def _list_kept(database: Path) -> list[Path]:
    pattern = f"{re.escape(database.stem)}{KEPT}.*{re.escape(database.suffix)}"
    return [path for path in database.parent.iterdir() if re.fullmatch(pattern, path.name)]


def _remove_second_names(database: Path) -> None:
    # A restore that was killed just before the swap leaves a second link to the database.
    for path in _list_kept(database):
        if database.exists() and path.samefile(database):
            path.unlink()


def _name_kept(database: Path, now: float) -> Path:
    stamp = re.sub("[-:]", "", clocks.format_instant(int(now)))
    for ending in ("", *(f"-{number}" for number in range(2, 1000))):
        kept = database.with_name(f"{database.stem}{KEPT}{stamp}{ending}{database.suffix}")
        if not kept.exists():
            return kept
    raise Conflict(f"too many files named like {kept}")


def _read_revoked(old: apsw.Connection | None) -> list[str]:
    if old is None:
        return []
    try:
        return [key.id for key in api_keys.list_keys(old) if key.revoked is not None]
    except apsw.Error:  # an old schema without keys, or damaged
        return []


def _write_successor(
    source: Path, successor: Path, revoked: Sequence[str], *, now: int
) -> tuple[int, int]:
    done = (0, 0)

    def prepare(part: Path) -> None:
        nonlocal done
        connection.create(part, keep_copy=False)
        with closing(connection.connect(part)) as db:
            integrity.check(db)
            done = _renew(db, revoked, now)
            # Closing also checkpoints, but hides errors such as a full disk: the file would take
            # the name without its last changes.
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    try:
        with sqlite_errors.translate_errors(source), closing(_open(source)) as db:
            if faults := integrity.find_damage(db):
                raise Unsound(f"damaged: {faults[0]}")
            file_copy.write_copy(db, successor, prepare)
    except Unsound as error:
        raise Unsound(f"{source} cannot be restored: {error.detail}") from error
    return done


def _open(source: Path) -> connection.Connection:
    db = connection.Connection(os.fspath(source), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.check_ours(db, source, oldest=1)
    except BaseException:
        db.close()
        raise
    return db


def _renew(db: apsw.Connection, revoked: Sequence[str], now: int) -> tuple[int, int]:
    with connection.transaction(db):
        connection.renew_epoch(db)
        valid = {key.id for key in api_keys.list_keys(db) if key.revoked is None}
        for key_id in valid.intersection(revoked):
            api_keys.revoke(db, key_id, now=now)
    _, change = connection.read_state(db)
    return change, len(valid.intersection(revoked))


def _copy_owner(successor: Path, like: Path) -> None:
    # From the database, or from its folder: root may restore, and the service must open the file.
    owner = like.stat()
    if like.is_file():
        successor.chmod(S_IMODE(owner.st_mode))
    with suppress(PermissionError):
        os.chown(successor, owner.st_uid, owner.st_gid)
