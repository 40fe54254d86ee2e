"""Prune: remove rows past their retention in short transactions, and return the free space."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import apsw

from gfil.clocks import TIME_MIN
from gfil.errors import SymbolUnknown
from gfil.store import hourly_stats, idempotency, maintenance_runs, retention_clock, symbols
from gfil.store.engine import connection, pacing
from gfil.store.removal import delete_range, sweep
from gfil.store.removal import prune as removal
from gfil.store.removal.prune import PruneBatch, PruneResult, PruneTarget
from gfil.store.retention import backdated_days
from gfil.store.retention.backdated_days import BackdatedDays
from gfil.store.retention.rules import SUBJECTS, TICKS
from gfil.store.symbols import Symbol
from gfil.timeframes import DAY
from gfil.wording import format_count, format_number, format_size

TICKS_FIRST, TICKS_MIN, TICKS_MAX = 4_000, 200, 50_000
SWEEP_ROWS = 5_000
PAGES_FIRST, PAGES_MIN, PAGES_MAX = 200, 20, 5_000

Rest = Callable[[float], object]
Progress = Callable[[str], None]


@dataclass(slots=True)
class Report:
    """Counts of a prune or of a dry run.

    `rows` counts removed candles by timeframe, `ticks` removed ticks, `days` the days of both.
    `left` days stay because they received rows lately, `imported` days because they are backdated.
    `settled` candles stay although their base was removed.
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
            "rows": {name: self.rows[name] for name in SUBJECTS if self.rows[name]},
            "ticks": self.ticks,
            "days": self.days,
            "settled": self.settled,
            "left": self.left,
            "imported": [days._asdict() for days in self.imported],
            "bytes": self.bytes,
            "batches": self.batches,
            "longest_ms": round(1000 * self.longest_s, 1),
        }

    def describe(self) -> str:
        """Return the report as one line of text."""
        removed = [
            f"{format_number(count)} {name}" for name, count in self.as_json()["rows"].items()
        ]
        removed += [format_count(self.ticks, "tick")] if self.ticks else []
        parts = [f"{format_count(self.days, 'day')} pruned"]
        parts[0] += f" ({', '.join(removed)})" if removed else ""
        parts.append(f"{format_size(self.bytes)} returned to the disk")
        if self.left:
            parts.append(f"{format_count(self.left, 'day')} kept with rows of the last 48 hours")
        backdated = sum(days.days for days in self.imported)
        if backdated:
            parts.append(f"{format_count(backdated, 'backdated day')} kept")
        return "; ".join(parts)


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
    """Remove rows past their retention, expired records and unused pages; a dry run only counts.

    Each transaction is short and is followed by a pause of the same length. An interrupted prune
    has done part of the work, and the next one does the rest. While the disk `is_tight`, batches
    are smallest and the WAL is restarted after each.
    """
    report = Report()
    until = retention_clock.read_retention_time(db, now)
    run = _Run(db, report, int(now), until, imported, dry_run, rest, is_tight)
    run.restart_wal()
    for symbol in symbols.list_symbols(db):
        progress(symbol.name)
        try:
            run.prune(symbol)
        except SymbolUnknown:  # deleted meanwhile
            continue
    if not dry_run:
        run.drop_expired()
        run.release_pages()
        with connection.transaction(db):
            maintenance_runs.record_run(db, "prune", report.as_json(), now=now)
    return report


@dataclass(slots=True)
class _Run:
    db: apsw.Connection
    report: Report
    now: int
    until: int  # the time that retention counts back from
    imported: bool
    dry_run: bool
    rest: Rest
    is_tight: Callable[[], bool]
    days: int = 1  # of a batch of candles
    ticks: int = field(default_factory=lambda: TICKS_FIRST)  # of a batch of ticks
    pages: int = field(default_factory=lambda: PAGES_FIRST)
    last_s: float = 0.0  # duration of the last transaction
    last_day: tuple[int, str, int] | None = None  # of the last batch: a day may need several

    def prune(self, symbol: Symbol) -> None:
        for name in SUBJECTS:  # the finest first: coarser candles lose their base and are settled
            start: int | None = TIME_MIN - DAY
            while start is not None:
                start = (self._count if self.dry_run else self._remove)(symbol, name, start)
            self.report.left += len(removal.list_recent_days(self.db, self._target(symbol, name)))
        if not self.dry_run:
            self._drop_records(symbol)
        if not (self.dry_run and self.imported):
            self.report.imported += backdated_days.list_backdated(self.db, symbol, self.until)

    def _target(self, symbol: Symbol, name: str) -> PruneTarget:
        # Read for every batch: the rules may have changed meanwhile.
        return removal.read_target(
            self.db,
            symbol,
            name,
            until=self.until,
            now=self.now,
            removes_backdated=self.imported,
        )

    def _find(self, target: PruneTarget, start: int) -> PruneBatch | None:
        return removal.find_batch(self.db, target, start, days=self.days, rows=self.ticks)

    def _count(self, symbol: Symbol, name: str, start: int) -> int | None:
        target = self._target(symbol, name)
        batch = self._find(target, start)
        if batch is None:
            return None
        self._add(target, batch, removal.count_batch(self.db, target, batch))
        return batch.stop

    def _remove(self, symbol: Symbol, name: str, start: int) -> int | None:
        if self._find(self._target(symbol, name), start) is None:
            return None
        with self._transaction():
            target = self._target(symbol, name)
            batch = self._find(target, start)  # again: the days may have received rows
            result = removal.remove_batch(self.db, target, batch) if batch else PruneResult()
        if batch is None:
            return None
        self._add(target, batch, result)
        if name == TICKS:
            self.ticks = self._resize(self.ticks, TICKS_MIN, TICKS_MAX)
        else:
            self.days = self._resize(self.days, 1, removal.DAYS_MAX)
        return batch.stop

    def _add(self, target: PruneTarget, batch: PruneBatch, result: PruneResult) -> None:
        if not result.rows:
            return
        report = self.report
        if target.subject == TICKS:
            report.ticks += result.rows
        else:
            report.rows[target.subject] += result.rows
        first_day = (target.symbol.id, target.subject, batch.start // DAY)
        report.days += result.days - (first_day == self.last_day)
        report.settled += result.settled
        self.last_day = (target.symbol.id, target.subject, (batch.stop - 1) // DAY)

    def _drop_records(self, symbol: Symbol) -> None:
        if delete_range.list_idle_clocks(self.db, symbol):
            with self._transaction():
                delete_range.release_clocks(self.db, symbols.reload(self.db, symbol))
        if backdated_days.list_empty_days(self.db, symbol):
            with self._transaction():
                backdated_days.drop_empty_days(self.db, symbol)
        with self._transaction():  # per symbol: an import of many years records very many days
            removal.forget_received(self.db, symbol, self.now)

    def drop_expired(self) -> None:
        sweep.sweep_all(self.db, SWEEP_ROWS, rest=self.rest)
        for key_id in idempotency.list_key_ids(self.db):
            with self._transaction():
                idempotency.trim(self.db, key_id, now=self.now)
        with self._transaction():
            hourly_stats.drop_old(self.db, self.now)

    def release_pages(self) -> None:
        while removal.count_free_pages(self.db):
            with self._transaction():
                released_bytes = removal.release_pages(self.db, self.pages)
            if not released_bytes:
                return
            self.report.bytes += released_bytes
            self.pages = self._resize(self.pages, PAGES_MIN, PAGES_MAX)

    def _resize(self, size: int, size_min: int, size_max: int) -> int:
        if self.is_tight():
            return size_min
        return pacing.fit_batch(size, self.last_s, size=size, size_min=size_min, size_max=size_max)

    def restart_wal(self) -> None:
        if self.dry_run or not self.is_tight():
            return
        self.ticks, self.pages = TICKS_MIN, PAGES_MIN
        # Readers may block the restart; the next batch may fit nevertheless.
        with suppress(apsw.BusyError):
            self.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with connection.transaction(self.db):
            started = time.monotonic()
            yield
        self.last_s = time.monotonic() - started
        self.report.batches += 1
        self.report.longest_s = max(self.report.longest_s, self.last_s)
        self.restart_wal()
        self.rest(self.last_s)
