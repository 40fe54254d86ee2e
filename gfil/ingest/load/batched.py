"""Rows to the store in batches: large ones alone, short ones beside other writers."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import apsw

from gfil.ingest.load import writing
from gfil.ingest.load.bucketing import NumberedTicks
from gfil.ingest.load.writing import Columns, Key, WriteOptions
from gfil.ingest.report import Report
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection
from gfil.timeframes import Timeframe

BATCH_ROWS_MAX = 20_000
BATCH_ROWS_FIRST = 4_000  # until it is known how long a batch takes here
BATCH_ROWS_MIN = 100
SHARED_BATCH_S = 0.015  # of the 20 ms in which others may have to wait for the lock
SHARED_FOR_S = 1.0  # after somebody else's write


class _Undone(Exception):
    pass  # ends a transaction that was only a trial


@dataclass(slots=True)
class BatchSizer:
    """How large a batch may be, and whether others wrote lately; goes on from source to source."""

    size: int = field(default_factory=lambda: BATCH_ROWS_FIRST)
    size_min: int = BATCH_ROWS_MIN  # no batch but a last one is smaller
    change: int | None = None  # of the database, as we left it
    shared_until: float = 0.0


class BatchWriter:
    """Collects rows and writes them, each batch with all that is derived from it.

    While anyone else wrote in the last second, a batch is as small as it must be to hold the write
    lock for a few milliseconds, and rests as long: SQLite's lock is not fair, a writer that comes
    back at once starves the others. `trial`: every batch is undone, only counted. `pace` is
    that of the source before, if there was one.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        report: Report,
        manner: WriteOptions,
        *,
        trial: bool = False,
        pace: BatchSizer | None = None,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self._db = connection
        self._report = report
        self._manner = manner
        self._trial = trial
        self._pace = pace or BatchSizer()
        self._rest = rest
        self._queue: dict[Key, Columns] = {}
        self._rows = 0

    def add(self, symbol: str, timeframe: Timeframe | None, rows: Columns) -> None:
        """Take rows of one symbol and timeframe, or its ticks; write what fills a batch."""
        if not rows[0]:
            return  # a symbol whose rows are all refused is not made
        queued = self._queue.get((symbol, timeframe))
        if queued is None:
            kind = CandleColumns if timeframe else NumberedTicks
            queued = self._queue[symbol, timeframe] = kind(*([] for _ in rows))
        both: Any = zip(queued, rows, strict=True)
        for column, more in both:
            column.extend(more)
        self._rows += len(rows[0])
        while self._rows >= self._pace.size:
            self._write_some(self._pace.size)

    def finish(self) -> None:
        """Write what is left, and tell how far the database has come."""
        while self._rows:
            self._write_some(self._pace.size)
        if not self._trial:
            writing.report_last_ticks(self._db, self._report)
        self._report.change = self._pace.change or connection.read_state(self._db)[1]

    def _write_some(self, most: int) -> None:
        batch = self._take(most)
        try:
            with connection.transaction(self._db):
                started = time.monotonic()
                self._look_for_others(started)
                written = [
                    writing.write_rows(self._db, key, rows, self._manner) for key, rows in batch
                ]
                if self._trial:
                    raise _Undone
        except _Undone:
            pass
        took = time.monotonic() - started
        for (key, rows), result in zip(batch, written, strict=True):
            writing.report_candles(self._report, key, rows, result)
        if not self._trial:
            self._pace.change = max(
                [self._pace.change or 0, *(result.change for result in written)]
            )
        self._keep_pace(took, sum(len(rows[0]) for _, rows in batch))

    def _take(self, most: int) -> list[tuple[Key, Columns]]:
        batch: list[tuple[Key, Columns]] = []
        for key, rows in list(self._queue.items()):
            if len(rows[0]) <= most:
                batch.append((key, rows))
                del self._queue[key]
            else:
                batch.append((key, writing.slice_rows(rows, slice(most))))
                self._queue[key] = writing.slice_rows(rows, slice(most, None))
            taken = len(batch[-1][1][0])
            most -= taken
            self._rows -= taken
            if not most:
                break
        return batch

    def _look_for_others(self, now: float) -> None:
        _, change = connection.read_state(self._db)
        if self._pace.change is not None and change > self._pace.change:
            self._pace.shared_until = now + SHARED_FOR_S
        self._pace.change = change

    def _keep_pace(self, took: float, rows: int) -> None:
        if time.monotonic() >= self._pace.shared_until:
            self._pace.size = min(2 * self._pace.size, BATCH_ROWS_MAX)
            return
        fitting = int(rows * SHARED_BATCH_S / max(took, 1e-6))
        self._pace.size = max(
            self._pace.size_min, min(fitting, 2 * self._pace.size, BATCH_ROWS_MAX)
        )
        self._rest(took)
