"""A small request, read and checked as a whole, to be stored in one transaction."""

from array import array
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter, lt
from typing import Any

import apsw

from gfil.ingest.load import writing
from gfil.ingest.load.bucketing import NumberedTicks
from gfil.ingest.load.writing import Columns, Key, WriteOptions
from gfil.ingest.report import Report
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection
from gfil.timeframes import Timeframe

PIECE_ROWS = 20_000
CANDLE_TYPES = "qiddddd"  # of arrays, a quarter of what lists of numbers take
TICK_TYPES = "Iqdddd" + "I"


class AtomicWrite:
    """The good rows of a request, and the report on the others so far."""

    def __init__(self, report: Report, manner: WriteOptions, *, abort: bool, dry_run: bool) -> None:
        self._report = report
        self._manner = manner
        self._abort = abort
        self._dry_run = dry_run
        self._queue: dict[Key, Columns] = {}

    def add(self, symbol: str, timeframe: Timeframe | None, rows: Columns) -> None:
        """Take rows of one symbol and timeframe, or ticks of one symbol."""
        if (symbol, timeframe) not in self._queue:
            kind = CandleColumns if timeframe else NumberedTicks
            types = CANDLE_TYPES if timeframe else TICK_TYPES
            arrays: Any = map(array, types)
            self._queue[symbol, timeframe] = kind(*arrays)
        both: Any = zip(self._queue[symbol, timeframe], rows, strict=True)
        for column, more in both:
            column.extend(more)

    def finish(self) -> None:
        """Take note that there are no more."""

    def store(self, db: apsw.Connection) -> Report:
        """Write all rows; inside a transaction, which a dry run is to undo. Return the report.

        Of rows in one bucket the larger volume wins, then the later. May be called again after a
        transaction that failed.

        Raises:
            Refused: some rows cannot be stored and `abort` is set.
            SymbolCase: the symbol differs from a known one only in case.
        """
        report = self._report.copy()
        _, before = connection.read_state(db)
        for key, columns in self._queue.items():
            for part in self._parts(columns, report):
                writing.report_candles(
                    report, key, part, writing.write_rows(db, key, part, self._manner)
                )
        if self._abort and report.rejected and not self._dry_run:
            raise report.refuse_all()
        if self._dry_run:
            report.change = before
        else:
            writing.report_last_ticks(db, report)
            _, report.change = connection.read_state(db)
        return report

    def _parts(self, columns: Columns, report: Report) -> Iterator[Columns]:
        if isinstance(columns, NumberedTicks) or _ascends(columns.time):
            for start in range(0, len(columns[0]), PIECE_ROWS):
                yield writing.slice_rows(columns, slice(start, start + PIECE_ROWS))
            return
        best = _best(columns)
        distinct = 0
        while places := list(islice(best, PIECE_ROWS)):
            distinct += len(places)
            picked: list[Any] = [list(map(column.__getitem__, places)) for column in columns]
            yield CandleColumns(*picked)
        report.count_duplicates(len(columns.time) - distinct)


def _ascends(times: Sequence[int]) -> bool:
    return all(map(lt, times, islice(times, 1, None)))


def _best(rows: CandleColumns) -> Iterator[int]:
    # The place of the row that wins each bucket, by time: sorted in pieces, which are then merged,
    # for a list of all rows would take more memory than the rows do.
    def keyed(places: Sequence[int]) -> Iterator[tuple[int, int, float, int]]:
        for place in places:
            yield rows.time[place], rows.extra_s[place], rows.volume[place], place

    count = len(rows.time)
    starts = range(0, count, PIECE_ROWS)
    pieces = (sorted(keyed(range(at, min(at + PIECE_ROWS, count)))) for at in starts)
    ordered = [array("I", map(itemgetter(3), piece)) for piece in pieces]
    for _, rivals in groupby(merge(*map(keyed, ordered)), key=itemgetter(0, 1)):
        *_, (_, _, _, winner) = rivals
        yield winner
