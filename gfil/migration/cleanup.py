"""Cleanup: delete the old JSON files once they are verified, backed up and past their delay."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from gfil.store import maintenance_runs, migrated_files, symbols
from gfil.store.engine import connection
from gfil.store.migrated_files import MigratedFile
from gfil.wording import format_count

CHUNK_BYTES = 1024 * 1024
MISSING = "the file no longer exists"


@dataclass(slots=True)
class CleanupResult:
    """Deleted files, and due files that were kept with the reason."""

    deleted: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    dry_run: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the result as one JSON object."""
        kept = [{"file": path, "why": reason} for path, reason in self.kept.items()]
        return {"deleted": self.deleted, "kept": kept}

    def describe(self) -> list[str]:
        """Return lines of text; an empty list if no file was due."""
        lines = []
        if self.deleted:
            verb = "would be deleted" if self.dry_run else "deleted"
            lines.append(f"{format_count(len(self.deleted), 'migrated file')} {verb}")
        for reason, count in Counter(self.kept.values()).items():
            lines.append(f"{format_count(count, 'migrated file')} kept: {reason}")
        return lines


def delete_migrated(db: apsw.Connection, now: float, *, dry_run: bool = False) -> CleanupResult:
    """Delete the old files that are past their delay and safe to delete; in no transaction.

    A file is safe to delete if no row was refused, its size, time and content are unchanged, its
    symbols still exist, and a verified backup newer than its migration still exists.
    """
    result = CleanupResult(dry_run=dry_run)
    for file in migrated_files.list_files(db):
        if file.delete_after is None or file.delete_after > now:
            continue
        path = Path(file.path)
        try:
            reason = _find_reason_to_keep(db, file, path, now)
            if not reason and not dry_run:
                path.unlink()
        except FileNotFoundError:
            reason = MISSING
        except OSError as error:
            reason = error.strerror or str(error)
        if reason and reason != MISSING:
            result.kept[file.path] = reason
            continue
        if not reason:
            result.deleted.append(file.path)
        if not dry_run:
            # The record of its content stays: a file that comes back is not migrated twice.
            with connection.transaction(db):
                migrated_files.record_file(db, file._replace(delete_after=None))
    return result


def _find_reason_to_keep(db: apsw.Connection, file: MigratedFile, path: Path, now: float) -> str:
    if file.report["rejected"]:
        return "some of its rows were refused"
    symbol_ids = {symbol.id for symbol in symbols.list_symbols(db)}
    if not symbol_ids.issuperset(file.report["ids"]):
        return "its symbol was deleted since: `gfil migrate` imports it again"
    backup = maintenance_runs.read_last_run(db, "backup")
    if backup is None or not file.time < backup.time <= now:  # or a clock that was ahead
        return "no verified backup was made since: run `gfil backup`"
    if not Path(backup.report["path"]).is_file():
        return f"the last backup {backup.report['path']} no longer exists"
    found = path.lstat()
    if (found.st_size, found.st_mtime_ns) != (file.report["size"], file.report["mtime_ns"]):
        return "it was changed since: `gfil migrate` imports the new rows"
    if _digest(path) != file.digest:
        return "its content was changed since: `gfil migrate` imports the new rows"
    return ""


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()
