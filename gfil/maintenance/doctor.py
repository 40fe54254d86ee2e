"""The doctor: checks the file, the laws of the data, the disk and the nightly jobs."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import apsw

from gfil import trading_week
from gfil.clocks import TIME_MIN, UTC, format_instant
from gfil.errors import DatabaseError, ForeignDatabase, GfilError, NoDatabase
from gfil.maintenance import host_checks
from gfil.store import maintenance_runs, retention_clock, symbols
from gfil.store.candles import expected_minutes, integrity, inventory
from gfil.store.candles.integrity import REPAIR_BATCH_ROWS, Mismatch
from gfil.store.engine import connection, file_copy
from gfil.store.removal import prune
from gfil.store.retention import backdated_days
from gfil.store.retention.rules import SUBJECTS
from gfil.store.symbols import Symbol
from gfil.timeframes import DAY, WEEK
from gfil.wording import MB, format_age, format_count, format_duration, format_list, format_size

WAL_MAX_BYTES = 64 * 1024 * 1024
QUICK_DAYS = 3  # of each symbol, before its newest candle
QUICK_S = 10.0
REPAIR_RETRY_S = 30.0  # for the write lock
NIGHTLY_S = 2 * DAY  # an older run means that a night was missed
ENDED_S = 4 * WEEK  # a symbol without data for longer has ended
FULL_DAYS_MIN = 7.0
SIZES_MAX, SIZE_INTERVAL_S = 30, 20 * 3600
NAMED_MAX = 5

Progress = Callable[[str], None]
Finding = tuple[bool, str]


class Check(NamedTuple):
    """Result of one check."""

    name: str
    ok: bool
    detail: str


@dataclass
class CheckContext:
    """Inputs and shared state of the checks; `db` is read-only.

    `quick` limits the checks to seconds. `repair` derives wrong candles again unless the file is
    damaged.
    """

    path: Path
    db: connection.Connection
    now: float
    free_mb_min: int
    quick: bool = False
    repair: bool = False
    progress: Progress = lambda step: None
    is_damaged: bool = False
    sizes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def symbols(self) -> list[Symbol]:
        """Every symbol, as stored now."""
        return [*symbols.list_symbols(self.db)]


def run(
    path: Path,
    *,
    now: float,
    free_mb_min: int,
    quick: bool = False,
    repair: bool = False,
    progress: Progress = lambda step: None,
) -> list[Check]:
    """Run every check, also while a server runs, and record the results in the database.

    All reads are short, except the check of the pages of the file.

    Raises:
        NoDatabase, ForeignDatabase: `path` is not a database of GFIL.
    """
    try:
        db = connection.connect(path, readonly=True)
    except (NoDatabase, ForeignDatabase):
        raise
    except DatabaseError as error:
        skipped = [Check(name, False, "skipped: the file cannot be read") for name in CHECKS]
        detail = f"{error.detail}; stop the server and restore a backup"
        return [Check("file", False, detail), *skipped[1:]]
    with closing(db):
        context = CheckContext(path, db, now, free_mb_min, quick, repair, progress)
        checks = [_run_check(context, name) for name in CHECKS]
    if not context.is_damaged:
        _record(context, checks)
    return checks


def _run_check(context: CheckContext, name: str) -> Check:
    context.progress(name)
    try:
        return Check(name, *CHECKS[name](context))
    except (GfilError, apsw.Error, OSError) as error:
        return Check(name, False, f"the check failed: {error}")


def _record(context: CheckContext, checks: list[Check]) -> None:
    report = {
        "ok": all(check.ok for check in checks),
        "checks": [check._asdict() for check in checks],
        "quick": context.quick,
        "sizes": context.sizes,
    }
    with (  # a full disk or a busy database must not hide the results
        suppress(GfilError, apsw.Error),
        closing(connection.connect(context.path)) as db,
        connection.transaction(db),
    ):
        maintenance_runs.record_run(db, "doctor", report, now=context.now)


def _check_file(context: CheckContext) -> Finding:
    wal = context.path.with_name(f"{context.path.name}-wal")
    wal_bytes = wal.stat().st_size if wal.exists() else 0
    faults = integrity.find_damage(context.db, quick=context.quick)
    if faults:
        context.is_damaged = True
        return False, f"damaged: {'; '.join(faults)}. {_advise_restore(context)}"
    size = format_size(context.path.stat().st_size)
    detail = f"{size}, undamaged; the WAL has {format_size(wal_bytes)}"
    if wal_bytes > WAL_MAX_BYTES:
        return False, f"{detail}: a reader blocks it, no server copies it, or an import is running"
    return True, detail


def _advise_restore(context: CheckContext) -> str:
    backup = None
    with suppress(GfilError, apsw.Error):
        backup = maintenance_runs.read_last_run(context.db, "backup")
    restore = f"run `gfil restore {backup.report['path']}`" if backup else "restore a backup"
    return f"It cannot be repaired: stop the server, {restore}, start the server"


def _check_laws(context: CheckContext) -> Finding:
    if context.is_damaged:
        return False, "skipped: the file is damaged"
    every, deadline = context.symbols, time.monotonic() + QUICK_S
    checked, wrong, named = 0, 0, list[str]()
    for symbol in every:
        if context.quick and time.monotonic() > deadline:
            break
        context.progress(f"laws {symbol.name}")
        for mismatches in _find_mismatches(context, symbol):
            named += [mismatch.describe() for mismatch in mismatches[: NAMED_MAX - len(named)]]
            wrong += len(mismatches)
        checked += 1
    left = wrong
    if wrong and context.repair:
        left = sum(len(some) for symbol in every for some in _find_mismatches(context, symbol))
    if wrong:
        detail = _describe_mismatches(context, wrong, left, named)
    else:
        detail = f"all derived candles of {format_count(checked, 'symbol')} match their base"
        detail += f", over the last {QUICK_DAYS} days" if context.quick else ""
    if checked < len(every):
        detail += f"; {format_count(len(every) - checked, 'symbol')} not checked"
    if orphans := integrity.find_orphans(context.db):
        detail += f"; rows of {format_count(len(orphans), 'unknown symbol')}"
    return not left and not orphans, detail


def _describe_mismatches(context: CheckContext, wrong: int, left: int, named: list[str]) -> str:
    names = ", ".join(named) + (" …" if wrong > len(named) else "")
    does = "does" if wrong == 1 else "do"
    detail = f"{format_count(wrong, 'derived candle')} {does} not match the base: {names}; "
    if context.repair:
        return f"{detail}{format_count(wrong - left, 'candle')} derived again"
    return f"{detail}run `gfil doctor --repair`"


def _find_mismatches(context: CheckContext, symbol: Symbol) -> Iterator[list[Mismatch]]:
    # In batches: each batch is repaired before the candles derived from it are checked.
    since = TIME_MIN
    if context.quick:
        latest = inventory.read_latest(context.db, symbol)
        since = latest.time - QUICK_DAYS * DAY if latest else since
    found = integrity.find_mismatches(context.db, symbol, since)
    for _, of_timeframe in groupby(found, key=lambda mismatch: mismatch.timeframe):
        while batch := list(islice(of_timeframe, REPAIR_BATCH_ROWS)):
            if context.repair:
                with closing(connection.connect(context.path)) as db:
                    db.set_busy_handler(connection.retry_until(REPAIR_RETRY_S))
                    integrity.repair(db, batch)
            yield batch


def _check_disk(context: CheckContext) -> Finding:
    free_bytes, now = file_copy.read_free_bytes(context.path.parent), int(context.now)
    last = maintenance_runs.read_last_run(context.db, "doctor")
    sizes = [(int(at), int(size)) for at, size in last.report.get("sizes", [])] if last else []
    if not sizes or now - sizes[-1][0] >= SIZE_INTERVAL_S:
        sizes = [*sizes, (now, context.path.stat().st_size)][-SIZES_MAX:]
    context.sizes = sizes
    days = days_until_full(sizes, free_bytes - context.free_mb_min * MB)
    detail = f"{format_size(free_bytes)} free, GFIL_MIN_FREE_MB is {context.free_mb_min}"
    if days is not None:
        detail += f", reached in {format_duration(days * DAY)}"
    if free_bytes < context.free_mb_min * MB:
        return False, f"{detail}: ingest is refused until space is freed"
    return days is None or days >= FULL_DAYS_MIN, detail


def days_until_full(sizes: list[tuple[int, int]], free_bytes: int) -> float | None:
    """Return in how many days the free space is used up, from `(time, bytes)` of the file.

    None if the sizes span less than a day or the file does not grow.
    """
    if len(sizes) < 2 or sizes[-1][0] - sizes[0][0] < DAY or sizes[-1][1] <= sizes[0][1]:
        return None
    bytes_per_day = (sizes[-1][1] - sizes[0][1]) * DAY / (sizes[-1][0] - sizes[0][0])
    return max(0.0, free_bytes / bytes_per_day)


def _check_sync(context: CheckContext) -> Finding:
    folder = context.path.parent
    return host_checks.check_sync(
        host_checks.measure_sync_us(folder), host_checks.find_file_system(folder)
    )


def _check_versions(context: CheckContext) -> Finding:
    problem = host_checks.find_version_problem(apsw.sqlite_lib_version(), sys.version_info[:2])
    versions = host_checks.describe_versions()
    return problem is None, versions if problem is None else f"{versions}: {problem}"


def _check_backup(context: CheckContext) -> Finding:
    last = maintenance_runs.read_last_run(context.db, "backup")
    if last is None:
        return False, "no backup was made: run `gfil backup FOLDER`"
    detail = f"{last.report['path']}, {format_age(context.now - last.time)}"
    if not Path(last.report["path"]).exists():
        detail += ", the file no longer exists"
    return context.now - last.time <= NIGHTLY_S, detail


def _check_prune(context: CheckContext) -> Finding:
    last = maintenance_runs.read_last_run(context.db, "prune")
    if last is not None:
        age_s = context.now - last.time
        return age_s <= NIGHTLY_S, f"last run {format_age(age_s)}"
    due = [symbol.name for symbol in context.symbols if _is_due(context, symbol)]
    if due:
        return False, f"never run, and rows past their retention: {format_list(due, NAMED_MAX)}"
    return True, "never run, and no row is past its retention"


def _is_due(context: CheckContext, symbol: Symbol) -> bool:
    now, until = int(context.now), retention_clock.read_retention_time(context.db, context.now)
    targets = (
        prune.read_target(context.db, symbol, subject, until=until, now=now) for subject in SUBJECTS
    )
    return any(
        prune.find_batch(context.db, target, TIME_MIN - DAY, days=1, rows=1) for target in targets
    )


def _check_stale(context: CheckContext) -> Finding:
    stale, ended = [], []
    for symbol in context.symbols:
        latest = inventory.read_latest(context.db, symbol)
        if latest is not None and latest.time < context.now - ENDED_S:
            ended.append(symbol.name)
        elif inventory.is_stale(context.db, symbol, int(context.now)):
            since = f" since {format_instant(latest.time)}" if latest else ""
            stale.append(f"{symbol.name}{since}")
    detail = "no symbol is stale"
    if stale:
        detail = f"no data in expected trading hours: {format_list(stale, NAMED_MAX)}"
    return not stale, detail + (f"; ended: {format_list(ended, NAMED_MAX)}" if ended else "")


def _check_week(context: CheckContext) -> Finding:
    wrong = []
    for symbol in context.symbols:
        hours = expected_minutes.count_hours(context.db, symbol)
        fit = trading_week.fit_clocks(hours, UTC)
        if not fit.fits:
            clocks = f", fits {' or '.join(fit.better)}" if fit.better else ""
            wrong.append(f"{symbol.name} ({trading_week.describe(hours)}{clocks})")
    if not wrong:
        return True, "no candles where markets are closed"
    return False, (
        "candles where markets are closed, in UTC; probably a wrong clock at the import: "
        f"{format_list(wrong, NAMED_MAX)}"
    )


def _check_backdated(context: CheckContext) -> Finding:
    until = retention_clock.read_retention_time(context.db, context.now)
    found = [
        f"{format_count(days.days, 'day')} {days.tf} of {days.symbol}"
        for symbol in context.symbols
        for days in backdated_days.list_backdated(context.db, symbol, until)
    ]
    if not found:
        return True, "no day is past its retention"
    names = format_list(found, NAMED_MAX)
    return True, f"kept past their retention: {names}; `gfil prune --imported` removes them"


CHECKS: dict[str, Callable[[CheckContext], Finding]] = {
    "file": _check_file,
    "laws": _check_laws,
    "disk": _check_disk,
    "sync": _check_sync,
    "versions": _check_versions,
    "backup": _check_backup,
    "prune": _check_prune,
    "stale": _check_stale,
    "week": _check_week,
    "imported": _check_backdated,
}
"""Every check by its name, in the order in which they run."""
