"""Migration: store, verify and record every file of the old system."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from gfil.clocks import Clock
from gfil.errors import (
    BadRequest,
    Busy,
    Conflict,
    DatabaseError,
    DiskFull,
    ForeignDatabase,
    Refused,
)
from gfil.ingest.load.batched import BatchSizer
from gfil.ingest.report import Report
from gfil.migration import legacy_files
from gfil.migration.legacy_files import (
    Fingerprint,
    FoundFiles,
    LegacyFile,
    Loaded,
    Progress,
    ReadOptions,
)
from gfil.migration.report import BEFORE, FAILED, MIGRATED, REFUSED, FileResult, MigrationReport
from gfil.migration.verify import Verifier, VerifyResult, verifier
from gfil.store import migrated_files, symbols
from gfil.store.engine import connection
from gfil.store.migrated_files import MigratedFile
from gfil.timeframes import HOUR, M1
from gfil.wording import format_count, format_number

BATCH_ROWS_MIN = 500
RECORDED_MIN = 8  # files recorded in one transaction: each costs a sync of the disk
PENDING_MAX = 40  # stored files that wait for verification


class MigrationOptions(NamedTuple):
    """Options of the user: the clock of the times, and how long to keep the files (None: forever).

    `clock` is None to take it from each file. `changes_keep` applies `keep_hours` to files that
    were migrated before, too.
    """

    clock: Clock | None = None
    keep_hours: float | None = None
    changes_keep: bool = False


class _Waiting(NamedTuple):
    # A stored file that waits for its verification.
    file: LegacyFile
    loaded: Loaded


def migrate(
    path: Path,
    found: FoundFiles,
    options: MigrationOptions,
    report: MigrationReport,
    *,
    read_time: Callable[[], float],
    progress: Progress = lambda _: None,
) -> None:
    """Migrate the files into the database at `path`, creating it if needed; add each to `report`.

    A refused file does not stop the others. An interrupted migration resumes and ends with the same
    result. `progress` receives bytes, twice the size of each file in total.

    Raises:
        DatabaseError, Busy, DiskFull: the database accepts no more rows.
    """
    with verifier(path) as verifying, _advising_to_resume():  # it forks: no database may be open
        connection.create(path)
        db = connection.connect(path)
        try:
            migrate_into(
                db, verifying, found, options, report, read_time=read_time, progress=progress
            )
        finally:
            with suppress(apsw.Error):  # closing checkpoints, which fails on a full disk
                db.close()


@contextmanager
def _advising_to_resume() -> Iterator[None]:
    try:
        yield
    except ForeignDatabase:
        raise
    except (DatabaseError, Busy, DiskFull) as error:
        error.append("; files before it are migrated: run the same command again to resume")
        raise


def migrate_into(
    db: apsw.Connection,
    verifying: Verifier,
    found: FoundFiles,
    options: MigrationOptions,
    report: MigrationReport,
    *,
    read_time: Callable[[], float],
    progress: Progress = lambda _: None,
) -> None:
    """Migrate as `migrate` does, into an open database and with the given verifier."""
    migration = _Migration(db, verifying, options, report, read_time, progress)
    for file in found.files:
        migration.migrate_file(file)
    migration.record_results(0)
    report.files.sort(key=lambda result: found.files.index(result.file))
    report.change = connection.read_state(db)[1]


def find_known(
    db: apsw.Connection, migrated: Sequence[MigratedFile], file: LegacyFile, clock: Clock | None
) -> tuple[MigratedFile, Fingerprint] | None:
    """Return the record of a migrated file with the same name and content, and its fingerprint.

    None if there is no such record, if the file was read on another clock, or if one of its symbols
    was deleted.
    """
    candidates = [
        record
        for record in migrated
        if record.report["size"] == file.size and Path(record.path).name == file.path.name
    ]
    if not candidates:
        return None
    fingerprint = legacy_files.read_fingerprint(file)
    symbol_ids = {symbol.id for symbol in symbols.list_symbols(db)}
    for record in candidates:
        is_clock = clock is None or record.report["clock"] == clock.name
        has_symbols = symbol_ids.issuperset(record.report["ids"])
        if record.digest == fingerprint.digest and is_clock and has_symbols:
            return record, fingerprint
    return None


class _Migration:
    def __init__(
        self,
        db: apsw.Connection,
        verifying: Verifier,
        options: MigrationOptions,
        report: MigrationReport,
        read_time: Callable[[], float],
        progress: Progress,
    ) -> None:
        self._db = db
        self._verifying = verifying
        self._options = options
        self._report = report
        self._read_time = read_time
        self._progress = progress
        self._migrated = migrated_files.list_files(db)
        self._sizer = BatchSizer(size_min=BATCH_ROWS_MIN)
        self._waiting: deque[_Waiting] = deque()
        self._results: list[VerifyResult] = []
        self._edges: dict[str, list[int]] = {}  # of the M1, by symbol

    def migrate_file(self, file: LegacyFile) -> None:
        try:
            known = find_known(self._db, self._migrated, file, self._options.clock)
            if known is not None:
                self._skip(file, *known)
                return
            options = ReadOptions(self._options.clock, self._read_time())
            edges = self._edges.get(file.symbol, [])
            loaded = legacy_files.load(self._db, file, options, edges, self._progress, self._sizer)
        except (BadRequest, Conflict, Refused) as error:
            self._report.add(FileResult(file, REFUSED, error=error.detail))
        except OSError as error:
            self._report.add(FileResult(file, REFUSED, error=error.strerror or str(error)))
        else:
            if file.timeframe == M1:
                self._add_edges(file, loaded.report.as_json())
            self._report.add_hours(loaded.hours, loaded.report.clock)
            self._waiting.append(_Waiting(file, loaded))
            self._verifying.start(file, options, edges)
            self.record_results(PENDING_MAX)

    def record_results(self, pending_max: int) -> None:
        self._results += self._verifying.results(pending_max)
        if not self._results or (pending_max and len(self._results) < RECORDED_MIN):
            return
        results, self._results = self._results, []
        with connection.transaction(self._db):
            for result in results:
                self._record(*self._waiting.popleft(), result)

    def _add_edges(self, file: LegacyFile, report: Mapping[str, Any]) -> None:
        ends = [report["from"], report["to"] if "truncated" in report["reasons"] else None]
        edges = self._edges.setdefault(file.symbol, [])
        edges += [end for end in ends if end is not None]

    def _skip(self, file: LegacyFile, record: MigratedFile, fingerprint: Fingerprint) -> None:
        path = legacy_files.absolute_path(file.path)
        delete_after = record.delete_after
        if self._options.changes_keep:
            delete_after = self._delete_after(file, record.time, record.report["rejected"])
        if delete_after != record.delete_after or path != record.path:
            stat = {"size": fingerprint.size, "mtime_ns": fingerprint.mtime_ns}
            changed = record._replace(
                path=path, delete_after=delete_after, report={**record.report, **stat}
            )
            with connection.transaction(self._db):
                migrated_files.record_file(self._db, changed)
        if file.timeframe == M1:
            self._add_edges(file, record.report)
        self._progress(2 * file.size)
        self._report.add(FileResult(file, BEFORE, record.report))

    def _delete_after(self, file: LegacyFile, time: float, rejected: int) -> int | None:
        keep_hours = self._options.keep_hours
        if keep_hours is None or rejected or file.is_kline_db:
            return None
        return int(time + keep_hours * HOUR)

    def _record(self, file: LegacyFile, loaded: Loaded, result: VerifyResult) -> None:
        self._progress(file.size)
        counts = count(loaded.report, result)
        if failure := find_failure(loaded, result):
            self._report.add(FileResult(file, FAILED, counts, failure))
            return
        time, fingerprint = int(self._read_time()), loaded.fingerprint
        found = [symbols.find(self._db, name) for name in loaded.report.symbols]
        record = MigratedFile(
            fingerprint.digest,
            legacy_files.absolute_path(file.path),
            time,
            self._delete_after(file, time, result.rejected),
            {
                **counts,
                "size": fingerprint.size,
                "mtime_ns": fingerprint.mtime_ns,
                "ids": [symbol.id for symbol in found if symbol],
            },
        )
        migrated_files.record_file(self._db, record)
        self._report.add(FileResult(file, MIGRATED, counts))


def count(report: Report, result: VerifyResult) -> dict[str, Any]:
    """Return the counts of a file: how its rows were stored, and where verification found them."""
    numbers = {
        name: number
        for name, number in asdict(result).items()
        if name not in ("digest", "examples", "failure")
    }
    fields = report.as_json()
    written = {name: fields[name] for name in ("inserted", "updated", "unchanged")}
    names = ("format", "symbol", "tf", "clock", "reasons", "errors", "warnings", "from", "to")
    return (
        {name: fields[name] for name in names} | numbers | written | {"examples": result.examples}
    )


def find_failure(loaded: Loaded, result: VerifyResult) -> str:
    """Return why the verification of a file failed, or an empty text."""
    if result.failure:
        return f"the file could not be read again: {result.failure}"
    if result.digest != loaded.fingerprint.digest:
        return "the file changed while it was read: run the command again when it is unused"
    if result.missing:
        total = format_count(result.rows, "row")
        return f"the counts differ: {format_number(result.missing)} of {total} are not stored"
    if result.rows != loaded.report.rows:
        first, second = format_count(loaded.report.rows, "row"), format_number(result.rows)
        return f"the counts differ: {first} at first, {second} in the verification"
    return ""
