"""The move from the old system: every file stored, verified, remembered, and told of."""

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
    Found,
    LegacyFile,
    Loaded,
    Progress,
    ReadOptions,
)
from gfil.migration.report import BEFORE, FAILED, MIGRATED, REFUSED, FileResult, MigrationReport
from gfil.migration.verify import Verdict, Verifier, verifier
from gfil.store import migrated_files, symbols
from gfil.store.engine import connection
from gfil.store.migrated_files import MigratedFile
from gfil.timeframes import HOUR, M1

BATCH_ROWS_MIN = 500
SETTLED_MIN = 8  # files that are noted as done at once: each time costs a sync of the disk
PENDING_MAX = 40  # files that are stored and not verified yet: some take longer to verify


class MigrationOptions(NamedTuple):
    """What the user says: the clock of the stamps, None where a file may tell; and how long files
    stay, None for ever. `is_keep_told`: also those that were migrated before."""

    clock: Clock | None = None
    keep_hours: float | None = None
    is_keep_told: bool = False


class _Waiting(NamedTuple):
    # A file that is stored, and waits for its verdict.
    original: LegacyFile
    loaded: Loaded


def migrate(
    path: Path,
    found: Found,
    wishes: MigrationOptions,
    moved: MigrationReport,
    *,
    tell_time: Callable[[], float],
    progress: Progress = lambda _: None,
) -> None:
    """Bring the files into the database at `path`, made if it is not there; tell `moved` of each.

    A file that is refused stops no other. Stopped at any moment and begun again it ends the same.
    `progress` is told of bytes, of each file's twice as many as it has.

    Raises:
        DatabaseError, Busy, DiskFull: nothing more can be stored.
    """
    with verifier(path) as checking, _telling_to_go_on():  # it forks: no database may be open
        connection.create(path)
        db = connection.connect(path)
        try:
            carry(db, checking, found, wishes, moved, tell_time=tell_time, progress=progress)
        finally:
            with suppress(apsw.Error):  # the last one to close checkpoints, on a disk that may fail
                db.close()


@contextmanager
def _telling_to_go_on() -> Iterator[None]:
    try:
        yield
    except ForeignDatabase:
        raise
    except (DatabaseError, Busy, DiskFull) as error:
        error.append("; what was before stays: run the same again, and it goes on from there")
        raise


def carry(
    db: apsw.Connection,
    checking: Verifier,
    found: Found,
    wishes: MigrationOptions,
    moved: MigrationReport,
    *,
    tell_time: Callable[[], float],
    progress: Progress = lambda _: None,
) -> None:
    """Do what `migrate` does, with a database that is open and somebody who verifies."""
    move = _Move(db, checking, wishes, moved, tell_time, progress)
    for original in found.originals:
        move.take(original)
    move.settle(0)
    moved.files.sort(key=lambda file: found.originals.index(file.original))
    moved.change = connection.read_state(db)[1]


def find_known(
    db: apsw.Connection, files: Sequence[MigratedFile], original: LegacyFile, clock: Clock | None
) -> tuple[MigratedFile, Fingerprint] | None:
    """Return what is remembered of a file with this content and name, and its seal; None if nothing
    is, it was read on another clock, or the symbols it went to are gone."""
    alike = [
        file
        for file in files
        if file.report["size"] == original.size and Path(file.path).name == original.path.name
    ]
    if not alike:
        return None
    sealed = legacy_files.fingerprint(original)
    alive = {symbol.id for symbol in symbols.list_symbols(db)}
    for file in alike:
        is_clock = clock is None or file.report["clock"] == clock.name
        if file.digest == sealed.digest and is_clock and alive.issuperset(file.report["ids"]):
            return file, sealed
    return None


class _Move:
    def __init__(
        self,
        db: apsw.Connection,
        checking: Verifier,
        wishes: MigrationOptions,
        moved: MigrationReport,
        tell_time: Callable[[], float],
        progress: Progress,
    ) -> None:
        self._db = db
        self._checking = checking
        self._wishes = wishes
        self._moved = moved
        self._tell_time = tell_time
        self._progress = progress
        self._known = migrated_files.list_files(db)
        self._pace = BatchSizer(size_min=BATCH_ROWS_MIN)
        self._waiting: deque[_Waiting] = deque()
        self._verdicts: list[Verdict] = []
        self._edges: dict[str, list[int]] = {}  # of the M1 of a symbol

    def take(self, original: LegacyFile) -> None:
        try:
            known = find_known(self._db, self._known, original, self._wishes.clock)
            if known is not None:
                self._pass_over(original, *known)
                return
            how = ReadOptions(self._wishes.clock, self._tell_time())
            edges = self._edges.get(original.symbol, [])
            loaded = legacy_files.load(self._db, original, how, edges, self._progress, self._pace)
        except (BadRequest, Conflict, Refused) as error:
            self._moved.add(FileResult(original, REFUSED, error=error.detail))
        except OSError as error:
            self._moved.add(FileResult(original, REFUSED, error=error.strerror or str(error)))
        else:
            if original.timeframe == M1:
                self._keep_edges(original, loaded.report.as_json())
            self._moved.see_hours(loaded.hours, loaded.report.clock)
            self._waiting.append(_Waiting(original, loaded))
            self._checking.begin(original, how, edges)
            self.settle(PENDING_MAX)

    def settle(self, pending_max: int) -> None:
        self._verdicts += self._checking.verdicts(pending_max)
        if not self._verdicts or (pending_max and len(self._verdicts) < SETTLED_MIN):
            return
        verdicts, self._verdicts = self._verdicts, []
        with connection.transaction(self._db):
            for verdict in verdicts:
                self._judge(*self._waiting.popleft(), verdict)

    def _keep_edges(self, original: LegacyFile, report: Mapping[str, Any]) -> None:
        ends = [report["from"], report["to"] if "truncated" in report["reasons"] else None]
        known = self._edges.setdefault(original.symbol, [])
        known += [end for end in ends if end is not None]

    def _pass_over(self, original: LegacyFile, known: MigratedFile, seal: Fingerprint) -> None:
        path = legacy_files.absolute(original.path)
        after = known.delete_after
        if self._wishes.is_keep_told:
            after = self._delete_after(original, known.time, known.report["rejected"])
        if after != known.delete_after or path != known.path:
            report = {**known.report, "size": seal.size, "mtime_ns": seal.mtime_ns}
            with connection.transaction(self._db):
                migrated_files.record_file(
                    self._db, MigratedFile(seal.digest, path, known.time, after, report)
                )
        if original.timeframe == M1:
            self._keep_edges(original, known.report)
        self._progress(2 * original.size)
        self._moved.add(FileResult(original, BEFORE, known.report))

    def _delete_after(self, original: LegacyFile, time: float, rejected: int) -> int | None:
        keep_hours = self._wishes.keep_hours
        if keep_hours is None or rejected or original.is_klines:
            return None
        return int(time + keep_hours * HOUR)

    def _judge(self, original: LegacyFile, loaded: Loaded, verdict: Verdict) -> None:
        self._progress(original.size)
        report, seal = loaded.report, loaded.seal
        counts = count(report, verdict)
        failure = find_failure(loaded, verdict)
        if failure:
            self._moved.add(FileResult(original, FAILED, counts, failure))
            return
        time = int(self._tell_time())
        ids = [symbol.id for name in report.symbols if (symbol := symbols.find(self._db, name))]
        known = {"size": seal.size, "mtime_ns": seal.mtime_ns, "ids": ids}
        after = self._delete_after(original, time, verdict.rejected)
        path = legacy_files.absolute(original.path)
        migrated_files.record_file(
            self._db, MigratedFile(seal.digest, path, time, after, counts | known)
        )
        self._moved.add(FileResult(original, MIGRATED, counts))


def count(report: Report, verdict: Verdict) -> dict[str, Any]:
    """Return the counts of a file: what was done with its rows, and where they are."""
    numbers = {
        name: number
        for name, number in asdict(verdict).items()
        if name not in ("digest", "examples", "failure")
    }
    told = report.as_json()
    done = {name: told[name] for name in ("inserted", "updated", "unchanged")}
    named = ("format", "symbol", "tf", "clock", "reasons", "errors", "warnings", "from", "to")
    return {name: told[name] for name in named} | numbers | done | {"examples": verdict.examples}


def find_failure(loaded: Loaded, verdict: Verdict) -> str:
    """Return why a file cannot be said to be in the database; empty if it is."""
    if verdict.failure:
        return f"it could not be read again: {verdict.failure}"
    if verdict.digest != loaded.seal.digest:
        return "it changed while it was read: run this again when nothing writes to it"
    if verdict.missing:
        return f"it does not add up: {verdict.missing} of {verdict.rows} rows are not there"
    if verdict.rows != loaded.report.rows:
        return f"it does not add up: {loaded.report.rows} rows at first, {verdict.rows} again"
    return ""
