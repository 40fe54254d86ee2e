"""Rows to the store in batches: large ones, and short ones while other writers are active."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import apsw

from gfil.ingest.load import writing
from gfil.ingest.load.bucketing import RowColumns
from gfil.ingest.load.writing import SeriesKey, WriteOptions
from gfil.ingest.parse.rows import NumberedTicks
from gfil.ingest.report import Report
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection, pacing
from gfil.timeframes import Timeframe

BATCH_ROWS_MAX = 20_000
BATCH_ROWS_FIRST = 4_000  # until the first batch is timed
BATCH_ROWS_MIN = 100
SHARED_FOR_S = 1.0  # after the write of another connection


class _Undone(Exception):
    pass  # rolls back the transaction of a trial


@dataclass(slots=True)
class BatchSizer:
    """Size of the next batch, and until when batches stay short; passed on from file to file."""

    size: int = field(default_factory=lambda: BATCH_ROWS_FIRST)
    size_min: int = BATCH_ROWS_MIN  # only the last batch of a file is smaller
    change: int | None = None  # of the database after the last batch
    shared_until: float = 0.0


class BatchWriter:
    """Collects rows and writes them in batches, each with everything derived from it.

    For a second after the write of another connection, batches are short enough to hold the write
    lock for a few milliseconds, followed by a pause of the same length: SQLite's lock is not fair,
    so a writer that retries immediately starves the others. `trial`: every batch is rolled back and
    only counted. `sizer` is the one of the previous file.
    """

    def __init__(
        self,
        db: apsw.Connection,
        report: Report,
        options: WriteOptions,
        *,
        trial: bool = False,
        sizer: BatchSizer | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._db = db
        self._report = report
        self._options = options
        self._trial = trial
        self._sizer = sizer or BatchSizer()
        self._sleep = sleep
        self._queue: dict[SeriesKey, RowColumns] = {}
        self._rows = 0

    def add(self, symbol: str, timeframe: Timeframe | None, rows: RowColumns) -> None:
        """Add rows of one symbol and timeframe, or ticks of one symbol; write every full batch."""
        if not rows[0]:
            return  # a symbol whose rows are all refused is not created
        queued = self._queue.get((symbol, timeframe))
        if queued is None:
            columns_type = CandleColumns if timeframe else NumberedTicks
            queued = self._queue[symbol, timeframe] = columns_type(*([] for _ in rows))
        both: Any = zip(queued, rows, strict=True)
        for column, more in both:
            column.extend(more)
        self._rows += len(rows[0])
        while self._rows >= self._sizer.size:
            self._write_batch(self._sizer.size)

    def finish(self) -> None:
        """Write the remaining rows, and report the newest ticks and the change number."""
        while self._rows:
            self._write_batch(self._sizer.size)
        if not self._trial:
            writing.report_last_ticks(self._db, self._report)
        self._report.change = self._sizer.change or connection.read_state(self._db)[1]

    def _write_batch(self, rows_max: int) -> None:
        batch = self._take(rows_max)
        try:
            with connection.transaction(self._db):
                started = time.monotonic()
                self._detect_other_writers(started)
                written = [
                    writing.write_rows(self._db, key, rows, self._options) for key, rows in batch
                ]
                if self._trial:
                    raise _Undone
        except _Undone:
            pass
        took_s = time.monotonic() - started
        for (key, rows), result in zip(batch, written, strict=True):
            writing.report_written(self._report, key, rows, result)
        if not self._trial:
            self._sizer.change = max(
                [self._sizer.change or 0, *(result.change for result in written)]
            )
        self._resize(took_s, sum(len(rows[0]) for _, rows in batch))

    def _take(self, rows_max: int) -> list[tuple[SeriesKey, RowColumns]]:
        batch: list[tuple[SeriesKey, RowColumns]] = []
        for key, rows in list(self._queue.items()):
            if len(rows[0]) <= rows_max:
                batch.append((key, rows))
                del self._queue[key]
            else:
                batch.append((key, writing.slice_rows(rows, slice(rows_max))))
                self._queue[key] = writing.slice_rows(rows, slice(rows_max, None))
            taken = len(batch[-1][1][0])
            rows_max -= taken
            self._rows -= taken
            if not rows_max:
                break
        return batch

    def _detect_other_writers(self, now: float) -> None:
        _, change = connection.read_state(self._db)
        if self._sizer.change is not None and change > self._sizer.change:
            self._sizer.shared_until = now + SHARED_FOR_S
        self._sizer.change = change

    def _resize(self, took_s: float, rows: int) -> None:
        sizer = self._sizer
        if time.monotonic() >= sizer.shared_until:
            sizer.size = min(2 * sizer.size, BATCH_ROWS_MAX)
            return
        sizer.size = pacing.fit_batch(
            rows, took_s, size=sizer.size, size_min=sizer.size_min, size_max=BATCH_ROWS_MAX
        )
        self._sleep(took_s)
