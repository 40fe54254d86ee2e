"""Candles to the store in batches: large ones alone, short ones beside other writers."""

import time
from collections.abc import Callable
from typing import Any

import apsw

from gfil.clocks import Clock
from gfil.ingest.report import Report
from gfil.store import candles, db, symbols
from gfil.store.candles import Rows, Written
from gfil.timeframes import Timeframe

BATCH_ROWS_MAX = 20_000
BATCH_ROWS_FIRST = 4_000  # until it is known how long a batch takes here
BATCH_ROWS_MIN = 100
SHARED_BATCH_S = 0.015  # of the 20 ms in which others may have to wait for the lock
SHARED_FOR_S = 1.0  # after somebody else's write

Key = tuple[str, Timeframe]


class _Undone(Exception):
    pass  # ends a transaction that was only a trial


class Batches:
    """Collects candles and writes them, each batch with all that is derived from it.

    While anyone else wrote in the last second, a batch is as small as it must be to hold the write
    lock for a few milliseconds, and rests as long: SQLite's lock is not fair, a writer that comes
    back at once starves the others. `whole`: everything is one batch, written by `finish`.
    `trial`: every batch is undone, only counted.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        clock: Clock,
        report: Report,
        *,
        fill: bool = False,
        whole: bool = False,
        trial: bool = False,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self._db = connection
        self._clock = clock
        self._report = report
        self._fill = fill
        self._whole = whole
        self._trial = trial
        self._rest = rest
        self._queue: dict[Key, Rows] = {}
        self._rows = 0
        self._size = BATCH_ROWS_FIRST
        self._change: int | None = None  # of the database, as we left it
        self._shared_until = 0.0

    def add(self, symbol: str, timeframe: Timeframe, rows: Rows) -> None:
        """Take rows of one symbol and timeframe; write as soon as they fill a batch."""
        queued = self._queue.setdefault((symbol, timeframe), Rows([], [], [], [], [], [], []))
        both: Any = zip(queued, rows, strict=True)
        for column, more in both:
            column.extend(more)
        self._rows += len(rows.time)
        while not self._whole and self._rows >= self._size:
            self._write_some(self._size)

    def finish(self) -> None:
        """Write what is left."""
        while self._rows:
            self._write_some(self._rows if self._whole else self._size)

    def _write_some(self, most: int) -> None:
        batch = self._take(most)
        try:
            with db.transaction(self._db):
                started = time.monotonic()
                self._look_for_others(started)
                written = [self._write(key, rows) for key, rows in batch]
                if self._trial:
                    raise _Undone
        except _Undone:
            pass
        took = time.monotonic() - started
        for (_, rows), result in zip(batch, written, strict=True):
            self._report.count(len(rows.time), result)
        if not self._trial:
            self._change = max([self._change or 0, *(result.change for result in written)])
        self._pace(took, sum(len(rows.time) for _, rows in batch))

    def _take(self, most: int) -> list[tuple[Key, Rows]]:
        batch = []
        for key, rows in list(self._queue.items()):
            if len(rows.time) <= most:
                batch.append((key, rows))
                del self._queue[key]
            else:
                batch.append((key, _cut(rows, slice(most))))
                self._queue[key] = _cut(rows, slice(most, None))
            taken = len(batch[-1][1].time)
            most -= taken
            self._rows -= taken
            if not most:
                break
        return batch

    def _write(self, key: Key, rows: Rows) -> Written:
        name, timeframe = key
        symbol = symbols.ensure(self._db, name)
        return candles.write(self._db, symbol, timeframe, rows, clock=self._clock, fill=self._fill)

    def _look_for_others(self, now: float) -> None:
        _, change = db.read_state(self._db)
        if self._change is not None and change > self._change:
            self._shared_until = now + SHARED_FOR_S
        self._change = change

    def _pace(self, took: float, rows: int) -> None:
        if time.monotonic() >= self._shared_until:
            self._size = min(2 * self._size, BATCH_ROWS_MAX)
            return
        fitting = int(rows * SHARED_BATCH_S / max(took, 1e-6))
        self._size = max(BATCH_ROWS_MIN, min(fitting, 2 * self._size, BATCH_ROWS_MAX))
        self._rest(took)


def _cut(rows: Rows, part: slice) -> Rows:
    columns: list[Any] = [column[part] for column in rows]
    return Rows(*columns)
