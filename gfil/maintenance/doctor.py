"""The doctor: is all well with a database, its data, its disk, and what should be done nightly?"""

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
from gfil.store import maintenance_runs, symbols
from gfil.store.candles import expected_minutes, integrity, inventory
from gfil.store.candles.integrity import REPAIR_BATCH_ROWS, Mismatch
from gfil.store.engine import connection, file_copy
from gfil.store.removal import prune
from gfil.store.removal.prune import PruneTarget
from gfil.store.retention import backdated_days, rules
from gfil.store.retention.rules import SUBJECTS
from gfil.store.symbols import Symbol
from gfil.timeframes import DAY, WEEK

MB = 1_000_000
WAL_MAX_BYTES = 64 * 1024 * 1024
QUICK_DAYS = 3  # of each symbol, before its newest candle
QUICK_S = 10.0
PATIENCE_S = 30.0  # for the write lock, of so many repairs together
NIGHTLY_S = 2 * DAY  # older, and a night has been missed
ENDED_S = 4 * WEEK  # a symbol that has brought nothing for longer has ended
FULL_DAYS_MIN = 7.0
SIZES_MAX, SIZES_APART_S = 30, 20 * 3600
NAMED_MAX = 5

Progress = Callable[[str], None]
Finding = tuple[bool, str]


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


@dataclass
class CheckContext:
    """What a doctor looks at, and how: `db` only reads; `quick` takes seconds.

    `repair` derives wrong candles again, where the file itself is sound.
    """

    path: Path
    db: connection.Connection
    now: float
    free_mb_min: int
    quick: bool = False
    repair: bool = False
    progress: Progress = lambda what: None
    is_damaged: bool = False
    sizes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def symbols(self) -> list[Symbol]:
        """Every symbol there is by now."""
        return [*symbols.list_symbols(self.db)]


def run(
    path: Path,
    *,
    now: float,
    free_mb_min: int,
    quick: bool = False,
    repair: bool = False,
    progress: Progress = lambda what: None,
) -> list[Check]:
    """Look at everything, beside a server that runs; the database remembers what was found.

    Everything but the pages of the file is read in short pieces.

    Raises:
        NoDatabase, ForeignDatabase: there is none of this program's.
    """
    try:
        db = connection.connect(path, readonly=True)
    except (NoDatabase, ForeignDatabase):
        raise
    except DatabaseError as error:
        rest = [Check(name, False, "not looked at: the file cannot be read") for name in CHECKS]
        told = f"{error.detail}; stop the server, restore a backup"
        return [Check("file", False, told), *rest[1:]]
    with closing(db):
        visit = CheckContext(path, db, now, free_mb_min, quick, repair, progress)
        found = [_look(visit, name) for name in CHECKS]
    if not visit.is_damaged:
        _remember(visit, found)
    return found


def _look(visit: CheckContext, name: str) -> Check:
    visit.progress(name)
    try:
        return Check(name, *CHECKS[name](visit))
    except (GfilError, apsw.Error, OSError) as error:
        return Check(name, False, f"it could not be looked at: {error}")


def _remember(visit: CheckContext, found: list[Check]) -> None:
    report = {
        "ok": all(check.ok for check in found),
        "checks": [check._asdict() for check in found],
        "quick": visit.quick,
        "sizes": visit.sizes,
    }
    with (  # a full disk or a busy one is no reason to say nothing
        suppress(GfilError, apsw.Error),
        closing(connection.connect(visit.path)) as db,
        connection.transaction(db),
    ):
        maintenance_runs.record_run(db, "doctor", report, now=visit.now)


def _file(visit: CheckContext) -> Finding:
    wal = visit.path.with_name(f"{visit.path.name}-wal")
    wal_bytes = wal.stat().st_size if wal.exists() else 0
    faults = integrity.find_damage(visit.db, quick=visit.quick)
    if faults:
        visit.is_damaged = True
        return False, f"damaged: {'; '.join(faults)}. {_advise(visit)}"
    told = f"{visit.path.stat().st_size / MB:,.1f} MB, sound; the log has {wal_bytes / MB:,.1f} MB"
    if wal_bytes > WAL_MAX_BYTES:
        return False, f"{told}: unless an import runs, a reader holds it or no server copies it"
    return True, told


def _advise(visit: CheckContext) -> str:
    backup = None
    with suppress(GfilError, apsw.Error):
        backup = maintenance_runs.read_last_run(visit.db, "backup")
    restore = f"`gfil restore {backup.report['path']}`" if backup else "restore a backup"
    return f"Nothing mends that: stop the server, {restore}, start it"


def _laws(visit: CheckContext) -> Finding:
    if visit.is_damaged:
        return False, "not looked at: the file is damaged"
    every, due = visit.symbols, time.monotonic() + QUICK_S
    looked, wrongs, named = 0, 0, list[str]()
    for symbol in every:
        if visit.quick and time.monotonic() > due:
            break
        visit.progress(f"laws {symbol.name}")
        for some in _find_wrong(visit, symbol):
            named += [wrong.describe() for wrong in some[: NAMED_MAX - len(named)]]
            wrongs += len(some)
        looked += 1
    left = wrongs
    if wrongs and visit.repair:
        left = sum(len(some) for symbol in every for some in _find_wrong(visit, symbol))
    told = f"every derived candle of {_count(looked, 'symbol')} is what its base makes it"
    if visit.quick:
        told += f", over the last {QUICK_DAYS} days"
    if looked < len(every):
        told += f"; {len(every) - looked} more were not looked at"
    if wrongs:
        which = ", ".join(named) + (" …" if wrongs > len(named) else "")
        told = f"{_count(wrongs, 'candle')} not what the base makes of them: {which}; "
        told += f"{wrongs - left} derived again" if visit.repair else "`gfil doctor --repair`"
    if orphans := integrity.find_orphans(visit.db):
        told += f"; rows of {_count(len(orphans), 'symbol')} that there are not"
    return not left and not orphans, told


def _find_wrong(visit: CheckContext, symbol: Symbol) -> Iterator[list[Mismatch]]:
    # In batches, each repaired before what is made of it is looked at.
    since = TIME_MIN
    if visit.quick:
        latest = inventory.read_latest(visit.db, symbol)
        since = latest.time - QUICK_DAYS * DAY if latest else since
    found = integrity.find_mismatches(visit.db, symbol, since)
    for _, of_one in groupby(found, key=lambda wrong: wrong.timeframe):
        while some := list(islice(of_one, REPAIR_BATCH_ROWS)):
            if visit.repair:
                with closing(connection.connect(visit.path)) as db:
                    db.set_busy_handler(connection.retry_until(PATIENCE_S))
                    integrity.repair(db, some)
            yield some


def _disk(visit: CheckContext) -> Finding:
    free, now = file_copy.read_free_bytes(visit.path.parent), int(visit.now)
    before = maintenance_runs.read_last_run(visit.db, "doctor")
    sizes = [(int(at), int(size)) for at, size in before.report.get("sizes", [])] if before else []
    if not sizes or now - sizes[-1][0] >= SIZES_APART_S:
        sizes = [*sizes, (now, visit.path.stat().st_size)][-SIZES_MAX:]
    visit.sizes = sizes
    days = days_until_full(sizes, free - visit.free_mb_min * MB)
    told = f"{free // MB:,} MB free, GFIL_MIN_FREE_MB is {visit.free_mb_min}"
    if days is not None:
        told += f", reached in {days:,.0f} days"
    if free < visit.free_mb_min * MB:
        return False, f"{told}: nothing more is taken in; make room"
    return days is None or days >= FULL_DAYS_MIN, told


def days_until_full(sizes: list[tuple[int, int]], free_bytes: int) -> float | None:
    """Return in how many days so much is filled, at the pace of sizes of the file at some times.

    None where these are less than a day apart, or the file does not grow.
    """
    if len(sizes) < 2 or sizes[-1][0] - sizes[0][0] < DAY or sizes[-1][1] <= sizes[0][1]:
        return None
    a_day = (sizes[-1][1] - sizes[0][1]) * DAY / (sizes[-1][0] - sizes[0][0])
    return max(0.0, free_bytes / a_day)


def _sync(visit: CheckContext) -> Finding:
    folder = visit.path.parent
    return host_checks.judge_sync(
        host_checks.measure_sync_us(folder), host_checks.find_file_system(folder)
    )


def _versions(visit: CheckContext) -> Finding:
    wrong = host_checks.judge_versions(apsw.sqlite_lib_version(), sys.version_info[:2])
    told = host_checks.describe_versions()
    return wrong is None, told if wrong is None else f"{told}: {wrong}"


def _backup(visit: CheckContext) -> Finding:
    done = maintenance_runs.read_last_run(visit.db, "backup")
    if done is None:
        return False, "there is none: `gfil backup FOLDER`"
    told = f"{done.report['path']}, {_ago(visit, done.time)}"
    if not Path(done.report["path"]).exists():
        told += ", no longer there"
    return visit.now - done.time <= NIGHTLY_S, told


def _prune(visit: CheckContext) -> Finding:
    done = maintenance_runs.read_last_run(visit.db, "prune")
    if done is not None:
        return visit.now - done.time <= NIGHTLY_S, f"done {_ago(visit, done.time)}"
    due = [symbol.name for symbol in visit.symbols if _is_due(visit, symbol)]
    if due:
        return False, f"never done, and older than it is kept is some of {_list(due)}"
    return True, "never done, and nothing is older than it is kept"


def _is_due(visit: CheckContext, symbol: Symbol) -> bool:
    now = int(visit.now)
    limits = rules.cutoffs(rules.read_rules(visit.db, symbol), _until(visit))
    aims = (
        PruneTarget(symbol, what, limits[what], now, removes_backdated=False) for what in SUBJECTS
    )
    return any(prune.find_batch(visit.db, aim, TIME_MIN - DAY, days=1, rows=1) for aim in aims)


def _until(visit: CheckContext) -> int:
    newest = prune.read_newest(visit.db)  # retention is counted back from there
    return int(visit.now) if newest is None else min(int(visit.now), newest)


def _stale(visit: CheckContext) -> Finding:
    stale, ended = [], []
    for symbol in visit.symbols:
        latest = inventory.read_latest(visit.db, symbol)
        if latest is not None and latest.time < visit.now - ENDED_S:
            ended.append(symbol.name)
        elif inventory.is_stale(visit.db, symbol, int(visit.now)):
            stale.append(f"{symbol.name} since {format_instant(latest.time) if latest else 'ever'}")
    told = f"nothing comes though it usually does: {_list(stale)}" if stale else "none"
    return not stale, told + (f"; ended, by their age: {_list(ended)}" if ended else "")


def _week(visit: CheckContext) -> Finding:
    wrong = []
    for symbol in visit.symbols:
        hours = expected_minutes.count_hours(visit.db, symbol)
        judgement = trading_week.fit_clocks(hours, UTC)
        if not judgement.fits:
            better = (
                f", as if stamped on {' or '.join(judgement.better)}" if judgement.better else ""
            )
            wrong.append(f"{symbol.name} ({trading_week.describe(hours)}{better})")
    if wrong:
        return (
            False,
            f"candles where markets rest, UTC; a wrong clock at the import? {_list(wrong)}",
        )
    return True, "no candles where markets rest"


def _imported(visit: CheckContext) -> Finding:
    found = [
        f"{_count(each.days, 'day')} {each.tf} of {each.symbol}"
        for symbol in visit.symbols
        for each in backdated_days.list_backdated(visit.db, symbol, _until(visit))
    ]
    told = f"kept on purpose past their retention: {_list(found)}; `gfil prune --imported`"
    return True, told if found else "no day is past its retention"


def _ago(visit: CheckContext, instant: int) -> str:
    days = (visit.now - instant) / DAY
    return f"{days:,.0f} days ago" if days >= 2 else f"{max(0.0, days * 24):,.0f} hours ago"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _list(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more


CHECKS: dict[str, Callable[[CheckContext], Finding]] = {
    "file": _file,
    "laws": _laws,
    "disk": _disk,
    "sync": _sync,
    "versions": _versions,
    "backup": _backup,
    "prune": _prune,
    "stale": _stale,
    "week": _week,
    "imported": _imported,
}
"""Everything that is looked at, in this order, by its name."""
