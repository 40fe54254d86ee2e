"""A small request, checked as a whole and stored in one transaction."""

from array import array
from collections.abc import Iterator
from itertools import islice
from typing import Any

import apsw

from gfil.ingest.load import writing
from gfil.ingest.load.bucketing import RowColumns
from gfil.ingest.load.writing import SeriesKey, WriteOptions
from gfil.ingest.parse.rows import NumberedTicks
from gfil.ingest.report import Report
from gfil.store.candles import duplicates
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection
from gfil.timeframes import Timeframe

SLICE_ROWS = 20_000  # written in one call: lists of all rows would take four times their arrays
CANDLE_TYPES = "qiddddd"
TICK_TYPES = "IqddddI"


class AtomicWrite:
    """The good rows of a request, and the report on the refused ones so far."""

    def __init__(
        self, report: Report, options: WriteOptions, *, abort: bool, dry_run: bool
    ) -> None:
        self._report = report
        self._options = options
        self._aborts = abort and not dry_run
        self._dry_run = dry_run
        self._queue: dict[SeriesKey, RowColumns] = {}

    def add(self, symbol: str, timeframe: Timeframe | None, rows: RowColumns) -> None:
        """Add rows of one symbol and timeframe, or ticks of one symbol."""
        if (symbol, timeframe) not in self._queue:
            columns_type = CandleColumns if timeframe else NumberedTicks
            types = CANDLE_TYPES if timeframe else TICK_TYPES
            arrays: Any = map(array, types)
            self._queue[symbol, timeframe] = columns_type(*arrays)
        both: Any = zip(self._queue[symbol, timeframe], rows, strict=True)
        for column, more in both:
            column.extend(more)

    def finish(self) -> None:
        """End the input."""

    def check(self) -> None:
        """Check the rows before the transaction.

        Raises:
            Refused: a row is refused and `abort` is set.
        """
        if self._aborts:
            self._report.refuse_bad_rows()

    def store(self, db: apsw.Connection) -> Report:
        """Write all rows inside a transaction and return the report.

        The caller rolls the transaction back after a dry run. After a failed transaction the method
        may be called again.

        Raises:
            Refused: the store refused a row and `abort` is set.
            SymbolCase: the symbol differs from a known one only in case.
        """
        report = self._report.copy()
        if self._dry_run:
            _, report.change = connection.read_state(db)
        for key, columns in self._queue.items():
            for part in _split(columns, report):
                written = writing.write_rows(db, key, part, self._options)
                writing.report_written(report, key, part, written)
        if self._aborts:
            report.refuse_bad_rows()
        if not self._dry_run:
            writing.report_last_ticks(db, report)
            _, report.change = connection.read_state(db)
        return report


def _split(columns: RowColumns, report: Report) -> Iterator[RowColumns]:
    if isinstance(columns, NumberedTicks) or duplicates.is_ascending(columns.time):
        for start in range(0, len(columns[0]), SLICE_ROWS):
            yield writing.slice_rows(columns, slice(start, start + SLICE_ROWS))
        return
    winners = duplicates.find_winners(columns.time, columns.extra_s, columns.volume)
    distinct = 0
    while indices := list(islice(winners, SLICE_ROWS)):
        distinct += len(indices)
        picked: list[Any] = [list(map(column.__getitem__, indices)) for column in columns]
        yield CandleColumns(*picked)
    report.count_duplicates(len(columns.time) - distinct)
