"""The nightly prune: what is older than it is kept goes piece by piece, its room is given back."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import apsw

from gfil.clocks import TIME_MIN
from gfil.errors import SymbolUnknown
from gfil.store import hourly_stats, idempotency, maintenance_runs, symbols
from gfil.store.engine import connection
from gfil.store.removal import delete_range, sweep
from gfil.store.removal import prune as removal
from gfil.store.removal.prune import PruneBatch, PruneTarget
from gfil.store.retention import backdated_days, rules
from gfil.store.retention.backdated_days import BackdatedDays
from gfil.store.retention.rules import SUBJECTS, TICKS
from gfil.store.symbols import Symbol
from gfil.timeframes import DAY

BATCH_S = 0.015  # that a transaction is to take: others wait for the lock meanwhile
TICKS_FIRST, TICKS_MIN, TICKS_MAX = 4_000, 200, 50_000
SWEEP_ROWS = 5_000
PAGES_FIRST, PAGES_MIN, PAGES_MAX = 200, 20, 5_000

Rest = Callable[[float], object]
Progress = Callable[[str], None]


@dataclass(slots=True)
class Report:
    """What a prune did, or would do.

    `rows` are those that went, by timeframe, without the `ticks`; `days` those of a symbol and
    timeframe that went, `left` those that stay because they got rows lately, `imported` those that
    stay because they were old when they came. `settled` candles stay though their base has gone.
    """

    rows: Counter[str] = field(default_factory=Counter)
    ticks: int = 0
    days: int = 0
    settled: int = 0
    left: int = 0
    imported: list[BackdatedDays] = field(default_factory=list)
    bytes: int = 0
    batches: int = 0
    longest_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the report as one JSON object."""
        return {
            "rows": {what: self.rows[what] for what in SUBJECTS if self.rows[what]},
            "ticks": self.ticks,
            "days": self.days,
            "settled": self.settled,
            "left": self.left,
            "imported": [each._asdict() for each in self.imported],
            "bytes": self.bytes,
            "batches": self.batches,
            "longest_ms": round(1000 * self.longest_s, 1),
        }

    def describe(self) -> str:
        """Return the report as the one line for a person."""
        gone = [f"{count:,} {what}" for what, count in self.as_json()["rows"].items()]
        gone += [f"{self.ticks:,} ticks"] if self.ticks else []
        parts = [f"{_days(self.days)} pruned" + (f" ({', '.join(gone)})" if gone else "")]
        parts.append(f"{self.bytes / 1e6:.1f} MB given back")
        if self.left:
            parts.append(f"{_days(self.left)} left alone, which got rows in the last 48 hours")
        imported = sum(each.days for each in self.imported)
        if imported:
            parts.append(f"{_days(imported)} kept, for they were imported")
        return "; ".join(parts)


def _days(count: int) -> str:
    return f"{count:,} {'day' if count == 1 else 'days'}"


def prune(
    db: apsw.Connection,
    *,
    now: float,
    imported: bool = False,
    dry_run: bool = False,
    rest: Rest = time.sleep,
    is_tight: Callable[[], bool] = lambda: False,
    progress: Progress = lambda symbol: None,
) -> Report:
    """Remove what is older than it is kept, and whatever else has had its time.

    Counted back from `now`, or from the newest row where that is earlier: a wrong clock of the
    server eats nothing. Each transaction is short, and between two it rests for as long. Stopped at
    any moment it has done part of its work, and the next one does the rest. A dry run only counts.
    While the disk `is_tight` pieces are smallest, and the write-ahead log is emptied after each.
    """
    report = Report()
    newest = removal.read_newest(db)
    until = int(now) if newest is None else min(int(now), newest)
    work = _Work(db, report, int(now), until, imported, dry_run, rest, is_tight)
    work.make_room()
    for symbol in symbols.list_symbols(db):
        progress(symbol.name)
        try:
            work.prune(symbol)
        except SymbolUnknown:  # it has been deleted meanwhile
            continue
    if not dry_run:
        work.tidy_up()
        work.give_back()
        with connection.transaction(db):
            maintenance_runs.record_run(db, "prune", report.as_json(), now=now)
    return report


@dataclass(slots=True)
class _Work:
    db: apsw.Connection
    report: Report
    now: int
    until: int  # from where time is counted back
    imported: bool
    dry_run: bool
    rest: Rest
    is_tight: Callable[[], bool]
    days: int = 1  # of a piece of candles
    ticks: int = field(default_factory=lambda: TICKS_FIRST)  # of one of ticks
    pages: int = field(default_factory=lambda: PAGES_FIRST)
    took_s: float = 0.0  # the last transaction
    seen: tuple[int, str, int] | None = None  # of the last piece: a day that goes in several

    def prune(self, symbol: Symbol) -> None:
        for what in SUBJECTS:  # the finest first: what is derived from them is settled
            start: int | None = TIME_MIN - DAY
            while start is not None:
                start = (self._count if self.dry_run else self._remove)(symbol, what, start)
            self.report.left += len(removal.list_recent_days(self.db, self._aim(symbol, what)))
        if not self.dry_run:
            self._tidy_up_of(symbol)
        if not (self.dry_run and self.imported):
            self.report.imported += backdated_days.list_backdated(self.db, symbol, self.until)

    def _aim(self, symbol: Symbol, what: str) -> PruneTarget:
        # Read anew for every piece: somebody may have changed how long it is kept.
        symbol = symbols.reload(self.db, symbol)
        cutoff = rules.cutoffs(rules.read_rules(self.db, symbol), self.until)[what]
        return PruneTarget(symbol, what, cutoff, self.now, self.imported)

    def _find(self, aim: PruneTarget, start: int) -> PruneBatch | None:
        return removal.find_batch(self.db, aim, start, days=self.days, rows=self.ticks)

    def _count(self, symbol: Symbol, what: str, start: int) -> int | None:
        aim = self._aim(symbol, what)
        piece = self._find(aim, start)
        if piece is None:
            return None
        self._tell(aim, piece, removal.count_batch(self.db, aim, piece))
        return piece.stop

    def _remove(self, symbol: Symbol, what: str, start: int) -> int | None:
        if self._find(self._aim(symbol, what), start) is None:
            return None
        with self._transaction():
            aim = self._aim(symbol, what)
            piece = self._find(aim, start)  # rows may have come for its days
            gone = removal.remove_batch(self.db, aim, piece) if piece else removal.PruneResult()
        if piece is None:
            return None
        self._tell(aim, piece, gone)
        if what == TICKS:
            self.ticks = self._fit(self.ticks, TICKS_MIN, TICKS_MAX)
        else:
            self.days = self._fit(self.days, 1, removal.DAYS_MAX)
        return piece.stop

    def _tell(self, aim: PruneTarget, piece: PruneBatch, gone: removal.PruneResult) -> None:
        if not gone.rows:
            return
        report = self.report
        if aim.subject == TICKS:
            report.ticks += gone.rows
        else:
            report.rows[aim.subject] += gone.rows
        seen = (aim.symbol.id, aim.subject, piece.start // DAY)
        report.days += gone.days - (seen == self.seen)
        report.settled += gone.settled
        self.seen = (aim.symbol.id, aim.subject, (piece.stop - 1) // DAY)

    def _tidy_up_of(self, symbol: Symbol) -> None:
        if delete_range.list_idle_clocks(self.db, symbol):
            with self._transaction():
                delete_range.release_clocks(self.db, symbols.reload(self.db, symbol))
        if backdated_days.list_empty_days(self.db, symbol):
            with self._transaction():
                backdated_days.drop_empty_days(self.db, symbol)
        with self._transaction():  # of each symbol: an import of many years marks very many days
            removal.forget_received(self.db, symbol, self.now)

    def tidy_up(self) -> None:
        sweep.sweep_all(self.db, SWEEP_ROWS, rest=self.rest)
        for key_id in idempotency.list_key_ids(self.db):
            with self._transaction():
                idempotency.trim(self.db, key_id, now=self.now)
        with self._transaction():
            hourly_stats.drop_old(self.db, self.now)

    def give_back(self) -> None:
        while removal.count_free_pages(self.db):
            with self._transaction():
                given = removal.release_pages(self.db, self.pages)
            if not given:
                return
            self.report.bytes += given
            self.pages = self._fit(self.pages, PAGES_MIN, PAGES_MAX)

    def _fit(self, size: int, least: int, most: int) -> int:
        # So that the next transaction takes as long as one is to take.
        if self.is_tight():
            return least
        fitting = int(size * BATCH_S / max(self.took_s, 1e-6))
        return max(least, min(fitting, 2 * size, most))

    def make_room(self) -> None:
        if self.dry_run or not self.is_tight():
            return
        self.ticks, self.pages = TICKS_MIN, PAGES_MIN
        # Readers may hold on to it: what comes next may fit all the same.
        with suppress(apsw.BusyError):
            self.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with connection.transaction(self.db):
            began = time.monotonic()
            yield
        self.took_s = time.monotonic() - began
        self.report.batches += 1
        self.report.longest_s = max(self.report.longest_s, self.took_s)
        self.make_room()
        self.rest(self.took_s)
