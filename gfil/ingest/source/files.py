"""Files, folders and standard input as sources of an import."""

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import apsw

from gfil.errors import BadParameter, BadRequest, Conflict, GfilError, Refused
from gfil.ingest import importer
from gfil.ingest.detect import file_name
from gfil.ingest.importer import Options
from gfil.ingest.report import Report, describe_counts
from gfil.ingest.source.byte_stream import PIECE_BYTES
from gfil.store.engine import connection

STANDARD_INPUT = "-"
SPOOL_BYTES = 8 * 1024 * 1024  # of standard input kept in memory before it goes to a file

EXIT_USAGE = 2
EXIT_REFUSED = 3

Progress = Callable[[int], object]


def find(sources: Sequence[str]) -> list[str]:
    """Return the files that the sources name: a folder stands for all that it holds itself.

    Raises:
        BadParameter: a source is not there, or a folder holds nothing that can be imported.
    """
    found: list[str] = []
    for source in sources:
        path = Path(source)
        if source == STANDARD_INPUT or path.is_file():
            found.append(source)
        elif path.is_dir():
            found += _in_folder(path)
        elif path.exists():
            found.append(source)  # a pipe or a device
        else:
            raise BadParameter(f"{source}: no such file")
    return found


def _in_folder(folder: Path) -> Iterable[str]:
    files = [
        str(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and file_name.is_importable(path.name) and not path.name.startswith(".")
    ]
    if not files:
        endings = " ".join(file_name.SUFFIXES)
        raise BadParameter(f"{folder}: no file in it ends in {endings} (or those and .gz)")
    return files


def size(source: str) -> int:
    """Return how many bytes a source has; 0 where only reading tells."""
    path = Path(source)
    return path.stat().st_size if path.is_file() else 0


@dataclass(slots=True)
class Outcome:
    """What became of several files: a report of each, or why it was refused."""

    db: Path
    dry_run: bool = False
    reports: list[Report] = field(default_factory=list)
    refused: list[tuple[str, GfilError]] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """Each refused file and why, as a line."""
        return [f"{source}: {error.line}" for source, error in self.refused]

    @property
    def exit_status(self) -> int:
        """0; 3 if rows or files were refused; 2 if the only file lacks a parameter."""
        if len(self.refused) == 1 and not self.reports:
            error = self.refused[0][1]
            return EXIT_USAGE if isinstance(error, BadParameter) else EXIT_REFUSED
        rejected = any(report.rejected for report in self.reports)
        return EXIT_REFUSED if rejected or self.refused else 0

    def describe(self) -> list[str]:
        """Return lines for a person; the last one names the database."""
        lines = [line for report in self.reports for line in report.describe()]
        counts, reasons = self._totals()
        if len(self.reports) + len(self.refused) > 1:
            refused = f", {len(self.refused)} files refused" if self.refused else ""
            lines.append(f"{len(self.reports)} files{refused}: {describe_counts(counts, reasons)}")
        end = "nothing changed"
        if any(report.has_changed for report in self.reports):
            end = f"change {max(report.change for report in self.reports)}"
        return [*lines, f"{self.db}: {'nothing stored' if self.dry_run else end}"]

    def as_json(self) -> dict[str, Any]:
        """Return the report of the only file, or all of them and their totals."""
        failed = [
            {"file": source, "error": error.detail, **error.extra} for source, error in self.refused
        ]
        files = [report.as_json() for report in self.reports] + failed
        if len(files) == 1:
            return {"db": self.db, **files[0]}
        counts, reasons = self._totals()
        return {"db": self.db, "files": files, **counts, "reasons": dict(reasons)}

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
    """Import files one after another into the database at `path`, made if it is not there.

    A file that is refused stops no other. A dry run needs no database.

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
    """Import one file, or `-` for standard input; `progress` is told of bytes as they are read.

    With `abort` the whole of it is checked before anything is stored.

    Raises:
        As `importer.load`.
    """
    with _open(source) as stream:
        if not options.abort or options.dry_run:
            return importer.load(db, _read(stream, progress), options, now=now, name=source)
        with _rewindable(stream) as twice:
            importer.dry_run(db, _read(twice, progress), options, now=now, name=source)
            twice.seek(0)
            options = options._replace(abort=False)
            return importer.load(db, _read(twice, progress), options, now=now, name=source)


@contextmanager
def _open(source: str) -> Iterator[IO[bytes]]:
    if source == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    with Path(source).open("rb") as stream:
        yield stream


@contextmanager
def _rewindable(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    if stream.seekable():
        yield stream
        return
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        for chunk in _read(stream, lambda _: None):
            spool.write(chunk)
        spool.seek(0)
        yield spool


def _read(stream: IO[bytes], progress: Progress) -> Iterator[bytes]:
    while chunk := stream.read(PIECE_BYTES):
        progress(len(chunk))
        yield chunk
