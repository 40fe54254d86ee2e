"""Write one batch of candles or ticks to the store and count the result in the report."""

from typing import Any, NamedTuple

import apsw

from gfil.clocks import Clock
from gfil.ingest.load.bucketing import RowColumns
from gfil.ingest.parse.rows import NumberedTicks
from gfil.ingest.report import Report
from gfil.store import symbols
from gfil.store.candles import ticks, write
from gfil.store.candles.write import CandleColumns
from gfil.timeframes import Timeframe

SeriesKey = tuple[str, Timeframe | None]
"""Symbol and timeframe of rows; None for ticks."""

Written = write.WriteResult | ticks.TickWriteResult


class WriteOptions(NamedTuple):
    """How rows are written: the clock of the input, whether stored candles stay, current time."""

    clock: Clock
    fill: bool
    now: float


def write_rows(
    db: apsw.Connection, key: SeriesKey, columns: RowColumns, options: WriteOptions
) -> Written:
    """Write rows of one symbol with everything derived from them; inside a transaction.

    Raises:
        BadSymbol, SymbolCase: the symbol cannot be created.
    """
    name, timeframe = key
    symbol = symbols.ensure(db, name)
    if isinstance(columns, NumberedTicks):
        return ticks.write_ticks(db, symbol, ticks.Ticks(*columns[1:]), now=options.now)
    assert timeframe is not None
    return write.write_candles(db, symbol, timeframe, columns, **options._asdict())


def report_written(report: Report, key: SeriesKey, columns: RowColumns, written: Written) -> None:
    """Count the result of a write in the report."""
    name, timeframe = key
    report.add_backdated(name, timeframe.name if timeframe else "ticks", written.backdated)
    if isinstance(columns, NumberedTicks):
        assert isinstance(written, ticks.TickWriteResult)
        report.count_ticks(columns, written)
    else:
        assert isinstance(written, write.WriteResult)
        report.count_candles(len(columns.time), written)


def report_last_ticks(db: apsw.Connection, report: Report) -> None:
    """Add the time of the newest stored tick of each symbol to a report on ticks."""
    for name in report.symbols if report.is_on_ticks else ():
        symbol = symbols.find(db, name)
        newest = symbol and ticks.read_last(db, symbol)
        if newest:
            report.last_ticks[name] = newest[0]


def slice_rows(columns: RowColumns, part: slice) -> RowColumns:
    """Return a slice of the rows, as lists."""
    cut: list[Any] = [list(column[part]) for column in columns]
    return CandleColumns(*cut) if isinstance(columns, CandleColumns) else NumberedTicks(*cut)
