"""Rows of the overview: last price of each symbol, change over the day, sparkline, age."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from gfil import clocks, timeframes
from gfil.store import symbols
from gfil.store.candles import inventory, read
from gfil.store.symbols import Symbol
from gfil.web.request.connections import read_db
from gfil.wording import format_change, format_number

SPARK_CANDLES = 48
SPARK_WIDTH, SPARK_HEIGHT = 120, 28


class OverviewRow(NamedTuple):
    """The row of a symbol as shown; texts are blank where the value is unknown.

    `time` is the start of the newest candle. `change` is the change since the price `before`; it is
    valid until the day ends at `day_stop`.
    """

    symbol: Symbol
    path: str
    last: str = ""
    change: str = ""
    spark: str = ""
    time: int | None = None
    before: float = 0.0
    day_stop: int | None = None


def list_rows(epoch: str) -> Sequence[OverviewRow]:
    """Return the row of every symbol, by name; `epoch` is that of the database."""
    return [_read_row(epoch, symbol) for symbol in symbols.list_symbols(read_db())]


@lru_cache(maxsize=1024)
def _read_row(epoch: str, symbol: Symbol) -> OverviewRow:
    # The arguments name everything that a row depends on.
    db, path = read_db(), "/chart/" + quote(symbol.name, safe="")
    newest = inventory.read_latest(db, symbol)
    if newest is None:
        return OverviewRow(symbol, path)
    clock = clocks.parse(symbol.clock)
    hours = read.read_candles(db, symbol, timeframes.H1, clocks.UTC, limit=SPARK_CANDLES).candles
    days = read.read_candles(db, symbol, timeframes.D1, clock, limit=2).candles
    before = (days[0][4] if len(days) == 2 else days[0][1]) if days else 0.0
    return OverviewRow(
        symbol,
        path if hours else f"{path}?tf=D1",
        format_number(newest.close, symbol.digits_shown),
        format_change(newest.close, before),
        _spark([candle[4] for candle in hours or days]),
        newest.time,
        before,
        clock.bucket(timeframes.D1, days[-1][0]).stop if days else None,
    )


def _spark(closes: Sequence[float]) -> str:
    if len(closes) < 2:
        return ""
    low, span = min(closes), (max(closes) - min(closes)) or 1.0
    step, height = SPARK_WIDTH / (len(closes) - 1), SPARK_HEIGHT - 4
    return " ".join(
        f"{index * step:.1f},{2 + height * (1 - (close - low) / span):.1f}"
        for index, close in enumerate(closes)
    )
