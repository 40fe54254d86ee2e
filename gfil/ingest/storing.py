"""Rows to the store, of candles or of ticks, and what became of them to the report."""

from typing import Any, NamedTuple

import apsw

from gfil.clocks import Clock
from gfil.ingest.placing import NumberedTicks
from gfil.ingest.report import Report
from gfil.store import candles, symbols, ticks
from gfil.store.candles import Rows
from gfil.timeframes import Timeframe

Key = tuple[str, Timeframe | None]
"""Whose rows: of a symbol and timeframe; without one they are ticks."""

Columns = Rows | NumberedTicks
Written = candles.Written | ticks.Written


class Manner(NamedTuple):
    """How rows are written: their source's clock, whether stored ones stay, and the time it is."""

    clock: Clock
    fill: bool
    now: float


def write(db: apsw.Connection, key: Key, columns: Columns, manner: Manner) -> Written:
    """Write rows of one symbol with all that is derived from them; inside a transaction.

    Raises:
        BadSymbol, SymbolCase: the symbol can not be.
    """
    name, timeframe = key
    symbol = symbols.ensure(db, name)
    if isinstance(columns, NumberedTicks):
        return ticks.write(db, symbol, ticks.Ticks(*columns[1:]), now=manner.now)
    assert timeframe is not None
    return candles.write(db, symbol, timeframe, columns, **manner._asdict())


def tell(report: Report, key: Key, columns: Columns, written: Written) -> None:
    """Add what the store made of rows to the report."""
    name, timeframe = key
    report.count_imported(name, timeframe.name if timeframe else "ticks", written.imported)
    if isinstance(columns, NumberedTicks):
        assert isinstance(written, ticks.Written)
        report.count_ticks(columns, written)
    else:
        assert isinstance(written, candles.Written)
        report.count(len(columns.time), written)


def tell_last(db: apsw.Connection, report: Report) -> None:
    """Add the newest stored tick of each symbol to a report on ticks."""
    for name in report.symbols if report.is_on_ticks else ():
        symbol = symbols.find(db, name)
        newest = symbol and ticks.read_last(db, symbol)
        if newest:
            report.last_ticks[name] = newest[0]


def cut(columns: Columns, part: slice) -> Columns:
    """Return some of the rows, as lists."""
    some: list[Any] = [list(column[part]) for column in columns]
    return Rows(*some) if isinstance(columns, Rows) else NumberedTicks(*some)
