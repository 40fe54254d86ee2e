"""Rows to the store, of candles or of ticks, and what became of them to the report."""

from typing import Any, NamedTuple

import apsw

from gfil.clocks import Clock
from gfil.ingest.load.bucketing import NumberedTicks
from gfil.ingest.report import Report
from gfil.store import symbols
from gfil.store.candles import ticks, write
from gfil.store.candles.write import CandleColumns
from gfil.timeframes import Timeframe

Key = tuple[str, Timeframe | None]
"""Whose rows: of a symbol and timeframe; without one they are ticks."""

Columns = CandleColumns | NumberedTicks
Written = write.WriteResult | ticks.TickWriteResult


class WriteOptions(NamedTuple):
    """How rows are written: their source's clock, whether stored ones stay, and the time it is."""

    clock: Clock
    fill: bool
    now: float


def write_rows(db: apsw.Connection, key: Key, columns: Columns, manner: WriteOptions) -> Written:
    """Write rows of one symbol with all that is derived from them; inside a transaction.

    Raises:
        BadSymbol, SymbolCase: the symbol can not be.
    """
    name, timeframe = key
    symbol = symbols.ensure(db, name)
    if isinstance(columns, NumberedTicks):
        return ticks.write_ticks(db, symbol, ticks.Ticks(*columns[1:]), now=manner.now)
    assert timeframe is not None
    return write.write_candles(db, symbol, timeframe, columns, **manner._asdict())


def report_candles(report: Report, key: Key, columns: Columns, written: Written) -> None:
    """Add what the store made of rows to the report."""
    name, timeframe = key
    report.count_imported(name, timeframe.name if timeframe else "ticks", written.backdated)
    if isinstance(columns, NumberedTicks):
        assert isinstance(written, ticks.TickWriteResult)
        report.count_ticks(columns, written)
    else:
        assert isinstance(written, write.WriteResult)
        report.count(len(columns.time), written)


def report_last_ticks(db: apsw.Connection, report: Report) -> None:
    """Add the newest stored tick of each symbol to a report on ticks."""
    for name in report.symbols if report.is_on_ticks else ():
        symbol = symbols.find(db, name)
        newest = symbol and ticks.read_last(db, symbol)
        if newest:
            report.last_ticks[name] = newest[0]


def slice_rows(columns: Columns, part: slice) -> Columns:
    """Return some of the rows, as lists."""
    some: list[Any] = [list(column[part]) for column in columns]
    return CandleColumns(*some) if isinstance(columns, CandleColumns) else NumberedTicks(*some)
