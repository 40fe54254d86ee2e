"""Backups: a whole and checked copy of the database under its final name, or none."""

import os
import re
from contextlib import closing, suppress
from pathlib import Path
from stat import S_IMODE
from typing import Any, NamedTuple

from gfil import clocks
from gfil.errors import BadParameter, Busy, Conflict, GfilError
from gfil.store import maintenance_runs
from gfil.store.candles import integrity
from gfil.store.engine import connection, file_copy, locks, sqlite_errors, upgrade
from gfil.store.engine.file_copy import PART

PATIENCE_S = 30.0  # for the write lock, at the end: nobody waits for a backup
STAMP = r"[0-9]{8}T[0-9]{6}Z"
MAGIC, HEAD_BYTES = b"SQLite format 3\0", 72  # in which also stands whose file it is
NEVER_OPENED = b"\1\1"  # in its place in the head: no WAL, which a database gets at first use


class Backup(NamedTuple):
    """A backup that was made; `removed` are older ones that went for it."""

    path: Path
    bytes: int
    removed: list[Path]

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        removed = [os.fspath(path) for path in self.removed]
        return {"path": os.fspath(self.path), "bytes": self.bytes, "removed": removed}


def write(database: Path, wanted: Path, *, keep: int | None = None, now: float) -> Backup:
    """Back a database up to a file, or into a folder, there as `gfil-20250102T030405Z.db`.

    It holds what was committed by `now`, and perhaps more. It is checked before it has its name:
    page by page, and each derived candle against its base. `keep` leaves so many backups in the
    folder, this one among them, once it is safe. The database remembers that it was made.

    Raises:
        Busy: another backup of it is being made.
        DiskFull: it does not fit.
        Unsound: it breaks a law of the data, as the database does.
        BadParameter: it cannot be written there.
    """
    is_folder = wanted.is_dir()
    if keep is not None and not is_folder:
        raise BadParameter(f"--keep is for a folder of backups, and {wanted} is none")
    target = wanted / _dated_name(database, now) if is_folder else wanted
    target = target.parent.resolve() / target.name
    _check_target(database, target)
    with (
        closing(connection.connect(database, readonly=True)) as db,
        sqlite_errors.translate_errors(database),
        locks.hold(locks.backup_path(database)) as is_ours,
    ):
        if not is_ours:
            raise Busy(f"another backup of {database} is being made")
        if is_folder:
            _remove_unfinished(database, target.parent)
        file_copy.write_copy(db, target, lambda part: _check(part, database))
    removed = _remove_older(database, target, keep) if keep else []
    backup = Backup(target, target.stat().st_size, removed)
    _remember(database, backup, now)
    return backup


def _dated_name(database: Path, now: float) -> str:
    stamp = re.sub("[-:]", "", clocks.format_instant(int(now)))
    return f"{database.stem}-{stamp}{database.suffix}"


def _check_target(database: Path, target: Path) -> None:
    if not target.parent.is_dir():
        raise BadParameter(f"no folder {target.parent}")
    real = database.resolve()
    own = {real.with_name(real.name + end) for end in ("", "-wal", "-shm", "-journal")}
    if target in own:
        raise BadParameter(f"{target} is the database itself: name another file, or a folder")
    if target.exists() or target.is_symlink():
        _check_is_backup(target)


def _check_is_backup(target: Path) -> None:
    # A slip of the fingers must not cost somebody a file.
    head = b""
    with suppress(OSError), target.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head[:16] != MAGIC or int.from_bytes(head[68:], "big") != upgrade.APPLICATION_ID:
        raise Conflict(f"{target} is there and no backup of GFIL: name another file, or a folder")
    if head[18:20] != NEVER_OPENED:
        raise Conflict(f"{target} is a database that is used: name another file, or a folder")


def _check(part: Path, database: Path) -> None:
    part.chmod(S_IMODE(database.stat().st_mode))
    with closing(connection.connect(part, readonly=True)) as copy:
        integrity.check(copy)


def _list(database: Path, folder: Path, ending: str = "") -> list[Path]:
    # Backups of this naming, the newest first.
    form = f"{re.escape(database.stem)}-{STAMP}{re.escape(database.suffix)}{ending}"
    return sorted(
        (path for path in folder.iterdir() if re.fullmatch(form, path.name)), reverse=True
    )


def _remove_unfinished(database: Path, folder: Path) -> None:
    # Of backups that were killed: nothing else would ever remove them.
    for path in _list(database, folder, rf"{re.escape(PART)}(-\w+)?"):
        path.unlink(missing_ok=True)


def _remove_older(database: Path, made: Path, keep: int) -> list[Path]:
    older = [path for path in _list(database, made.parent) if path != made][keep - 1 :]
    for path in older:
        path.unlink(missing_ok=True)
    return older


def _remember(database: Path, backup: Backup, now: float) -> None:
    # As of the moment from which on it may lack something, not of that when it was ready.
    try:
        with closing(connection.connect(database)) as db:
            db.set_busy_handler(connection.retry_until(PATIENCE_S))
            with connection.transaction(db):
                maintenance_runs.record_run(db, "backup", backup.as_json(), now=now)
    except GfilError as error:
        detail = f"{backup.path} is whole and checked, but this could not be noted: {error.detail}"
        raise GfilError(detail) from error
