"""Backup: write a verified copy of the database under its final name, or no file."""

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

RECORD_RETRY_S = 30.0  # for the write lock, to record the backup: no request waits for it
STAMP = r"[0-9]{8}T[0-9]{6}Z"
MAGIC, HEADER_BYTES = b"SQLite format 3\0", 72  # up to the application id
NEVER_OPENED = b"\1\1"  # bytes 18 and 19 of the header: not in WAL mode, which first use sets


class Backup(NamedTuple):
    """Result of a backup; `removed` are the older backups that `keep` deleted."""

    path: Path
    bytes: int
    removed: list[Path]

    def as_json(self) -> dict[str, Any]:
        """Return the result as one JSON object."""
        removed = [os.fspath(path) for path in self.removed]
        return {"path": os.fspath(self.path), "bytes": self.bytes, "removed": removed}


def write(database: Path, dest: Path, *, keep: int | None = None, now: float) -> Backup:
    """Write a backup to a file, or into a folder as `gfil-20250102T030405Z.db`.

    The backup contains every commit before `now`, and possibly later ones. Its pages and its
    derived candles are verified before it gets its name. Afterwards `keep` deletes all but the
    newest backups in the folder, and the database records the run.

    Raises:
        Busy: another backup of this database is being written.
        DiskFull: the backup does not fit.
        Unsound: the database breaks a law of the data.
        BadParameter: the destination is not possible.
    """
    is_folder = dest.is_dir()
    if keep is not None and not is_folder:
        raise BadParameter(f"--keep needs a folder of backups, and {dest} is not a folder")
    target = dest / _dated_name(database, now) if is_folder else dest
    target = target.parent.resolve() / target.name
    _check_target(database, target)
    with (
        closing(connection.connect(database, readonly=True)) as db,
        sqlite_errors.translate_errors(database),
        locks.hold(locks.backup_path(database)) as is_ours,
    ):
        if not is_ours:
            raise Busy(f"another backup of {database} is being written")
        if is_folder:
            _remove_unfinished(database, target.parent)
        file_copy.write_copy(db, target, lambda part: _verify(part, database))
    removed = _remove_older(database, target, keep) if keep else []
    backup = Backup(target, target.stat().st_size, removed)
    _record(database, backup, now)
    return backup


def _dated_name(database: Path, now: float) -> str:
    stamp = re.sub("[-:]", "", clocks.format_instant(int(now)))
    return f"{database.stem}-{stamp}{database.suffix}"


def _check_target(database: Path, target: Path) -> None:
    if not target.parent.is_dir():
        raise BadParameter(f"the folder {target.parent} does not exist")
    real = database.resolve()
    own = {real.with_name(real.name + end) for end in ("", "-wal", "-shm", "-journal")}
    if target in own:
        raise BadParameter(f"{target} is the database itself: use another file or a folder")
    if target.exists() or target.is_symlink():
        _check_is_backup(target)


def _check_is_backup(target: Path) -> None:
    # A mistyped path must not overwrite another file.
    header = b""
    with suppress(OSError), target.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if header[:16] != MAGIC or int.from_bytes(header[68:], "big") != upgrade.APPLICATION_ID:
        raise Conflict(f"{target} exists and is not a backup of GFIL: use another file or a folder")
    if header[18:20] != NEVER_OPENED:
        raise Conflict(f"{target} is a database in use: use another file or a folder")


def _verify(part: Path, database: Path) -> None:
    part.chmod(S_IMODE(database.stat().st_mode))
    with closing(connection.connect(part, readonly=True)) as copy:
        integrity.check(copy)


def _list(database: Path, folder: Path, ending: str = "") -> list[Path]:
    # Backups with a dated name, newest first.
    pattern = f"{re.escape(database.stem)}-{STAMP}{re.escape(database.suffix)}{ending}"
    return sorted(
        (path for path in folder.iterdir() if re.fullmatch(pattern, path.name)), reverse=True
    )


def _remove_unfinished(database: Path, folder: Path) -> None:
    # Files of killed backups, which no other code removes.
    for path in _list(database, folder, rf"{re.escape(PART)}(-\w+)?"):
        path.unlink(missing_ok=True)


def _remove_older(database: Path, newest: Path, keep: int) -> list[Path]:
    older = [path for path in _list(database, newest.parent) if path != newest][keep - 1 :]
    for path in older:
        path.unlink(missing_ok=True)
    return older


def _record(database: Path, backup: Backup, now: float) -> None:
    # With the start time: later commits may be missing from the backup.
    try:
        with closing(connection.connect(database)) as db:
            db.set_busy_handler(connection.retry_until(RECORD_RETRY_S))
            with connection.transaction(db):
                maintenance_runs.record_run(db, "backup", backup.as_json(), now=now)
    except GfilError as error:
        detail = f"{backup.path} is verified, but the run could not be recorded: {error.detail}"
        raise GfilError(detail) from error
