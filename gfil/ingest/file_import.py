"""Import of several files, one after another, and the outcome of all."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from gfil.errors import BadRequest, Conflict, GfilError, Refused
from gfil.ingest import importer
from gfil.ingest.options import Options
from gfil.ingest.report import Report, describe_counts
from gfil.ingest.source import files
from gfil.ingest.source.files import Progress
from gfil.store.engine import connection
from gfil.wording import format_count

EXIT_FAILED = 1
EXIT_PARTLY_REFUSED = 3


@dataclass(slots=True)
class Outcome:
    """The reports of the imported files, and the errors of the refused ones."""

    db: Path
    dry_run: bool = False
    reports: list[Report] = field(default_factory=list)
    refused: list[tuple[str, GfilError]] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """Each refused file and the reason, as a line."""
        return [f"{source}: {error.line}" for source, error in self.refused]

    @property
    def exit_status(self) -> int:
        """0 if all rows are imported, 3 if some rows or files are refused.

        If all files are refused: 2 where they lack a parameter, else 1.
        """
        if self.refused and not self.reports:
            statuses = {error.exit_status for _, error in self.refused}
            return statuses.pop() if len(statuses) == 1 else EXIT_FAILED
        rejected = any(report.rejected for report in self.reports)
        return EXIT_PARTLY_REFUSED if rejected or self.refused else 0

    def describe(self) -> list[str]:
        """Return the outcome as lines of text; the last line names the database."""
        lines = [line for report in self.reports for line in report.describe()]
        counts, reasons = self._totals()
        if len(self.reports) + len(self.refused) > 1:
            refused = f", {format_count(len(self.refused), 'file')} refused" if self.refused else ""
            imported = format_count(len(self.reports), "file")
            lines.append(f"{imported}{refused}: {describe_counts(counts, reasons)}")
        end = "nothing changed"
        if any(report.has_changed for report in self.reports):
            end = f"change {max(report.change for report in self.reports)}"
        return [*lines, f"{self.db}: {'nothing stored' if self.dry_run else end}"]

    def as_json(self) -> dict[str, Any]:
        """Return the report of the only file, or all reports and their totals."""
        failed = [
            {"file": source, "error": error.detail, **error.extra} for source, error in self.refused
        ]
        entries = [report.as_json() for report in self.reports] + failed
        if len(entries) == 1:
            return {"db": self.db, **entries[0]}
        counts, reasons = self._totals()
        return {"db": self.db, "files": entries, **counts, "reasons": dict(reasons)}

    def _totals(self) -> tuple[Counter[str], Counter[str]]:
        counts, reasons = Counter(Report("", "").counts()), Counter[str]()
        for report in self.reports:
            counts.update(report.counts())
            reasons += report.reasons
        return counts, reasons


def load_all(
    path: Path,
    sources: Sequence[str],
    options: Options,
    outcome: Outcome,
    *,
    now: float,
    progress: Progress = lambda _: None,
) -> None:
    """Import files one after another into the database at `path`; a missing one is created.

    A refused file does not stop the others. A dry run needs no database.

    Raises:
        DatabaseError, Busy, DiskFull: nothing more can be stored.
    """
    if not options.dry_run:
        connection.create(path)
    db = connection.connect(path) if path.exists() else None
    for source in sources:
        try:
            outcome.reports.append(load(db, source, options, now=now, progress=progress))
        except (BadRequest, Conflict, Refused) as error:
            outcome.refused.append((source, error))
        except OSError as error:
            outcome.refused.append((source, Refused(error.strerror or str(error))))


def load(
    db: apsw.Connection | None,
    source: str,
    options: Options,
    *,
    now: float,
    progress: Progress = lambda _: None,
) -> Report:
    """Import one file, or `-` for standard input; `progress` receives the bytes read.

    Raises:
        As `importer.load`.
    """
    is_read_twice = options.abort and not options.dry_run
    with files.open_chunks(source, progress, twice=is_read_twice) as chunks:
        return importer.load(db, chunks, options, now=now, name=source)
