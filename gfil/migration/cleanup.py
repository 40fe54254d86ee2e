"""The old JSON files after the move: deleted when they are no longer needed, and not before."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from gfil.store import maintenance_runs, migrated_files, symbols
from gfil.store.engine import connection
from gfil.store.migrated_files import MigratedFile

CHUNK_BYTES = 1024 * 1024


@dataclass(slots=True)
class CleanupResult:
    """Which of the old files are gone now, and which stay although their time has come, and why."""

    deleted: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    dry_run: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it in the names of the report of `prune`."""
        kept = [{"file": path, "why": why} for path, why in self.kept.items()]
        return {"deleted": self.deleted, "kept": kept}

    def describe(self) -> list[str]:
        """Return lines for a person; none where there is nothing to say."""
        lines = []
        if self.deleted:
            done = "would be deleted" if self.dry_run else "deleted"
            lines.append(f"{len(self.deleted)} of the old files, migrated and verified, {done}")
        for why, count in Counter(self.kept.values()).items():
            lines.append(f"{count} of the old files, migrated, stay: {why}")
        return lines


def delete_migrated(db: apsw.Connection, now: float, *, dry_run: bool = False) -> CleanupResult:
    """Delete the old files whose time has come, each only if nothing speaks against it.

    It must have been verified with nothing refused, be unchanged since (size, time and content),
    its symbols must not have been deleted, and a verified backup younger than that must still be
    there. Inside no transaction.
    """
    report = CleanupResult(dry_run=dry_run)
    for file in migrated_files.list_files(db):
        if file.delete_after is None or file.delete_after > now:
            continue
        path = Path(file.path)
        try:
            why = _find_objection(db, file, path, now)
            if not why and not dry_run:
                path.unlink()
        except FileNotFoundError:
            why = GONE
        except OSError as error:
            why = error.strerror or str(error)
        if why and why != GONE:
            report.kept[file.path] = why
            continue
        if not why:
            report.deleted.append(file.path)
        if not dry_run:
            # What was in it is still remembered: should it come back, it is passed over.
            with connection.transaction(db):
                migrated_files.record_file(db, file._replace(delete_after=None))
    return report


GONE = "it is not there any more"


def _find_objection(db: apsw.Connection, file: MigratedFile, path: Path, now: float) -> str:
    if file.report["rejected"]:
        return "rows of it were refused"
    alive = {symbol.id for symbol in symbols.list_symbols(db)}
    if not alive.issuperset(file.report["ids"]):
        return "its symbol has been deleted since: `gfil migrate` brings it back"
    backup = maintenance_runs.read_last_run(db, "backup")
    if backup is None or not file.time < backup.time <= now:  # a clock ahead made it look younger
        return "no verified backup has been made since: `gfil backup` makes one"
    if not Path(backup.report["path"]).is_file():
        return f"the last backup is not at {backup.report['path']} any more"
    found = path.lstat()
    if (found.st_size, found.st_mtime_ns) != (file.report["size"], file.report["mtime_ns"]):
        return "it has changed since: `gfil migrate` takes what is new in it"
    if _digest(path) != file.digest:
        return "its content has changed since: `gfil migrate` takes what is new in it"
    return ""


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()
