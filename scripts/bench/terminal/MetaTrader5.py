"""Simulated module of a MetaTrader 5 terminal with a history of M1 and no ticks.

BENCH_BARS names a JSON file with the M1 of its single symbol, on the broker's clock.
"""

import json
import os
from array import array
from bisect import bisect_left, bisect_right
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

COPY_TICKS_ALL = -1
TIMEFRAME_M1, TIMEFRAME_H1, TIMEFRAME_D1 = 1, 16385, 16408
NAME = "PUMPED"
BAR_FIELDS = ("time", "open", "high", "low", "close", "tick_volume")


class Bars:
    """Candles in the form of the module: sliced as rows, read as columns."""

    def __init__(self, columns: list[Any]) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, key: Any) -> Any:
        """Return a column by its name, or some of the rows."""
        if isinstance(key, str):
            return self._columns[BAR_FIELDS.index(key)]
        return Bars([column[key] for column in self._columns])


@cache
def history() -> Bars:
    """Read the file, before anything is timed by what it holds."""
    columns = json.loads(Path(os.environ["BENCH_BARS"]).read_text())
    return Bars(
        [
            array("d" if name in BAR_FIELDS[1:5] else "q", column)
            for name, column in zip(BAR_FIELDS, columns, strict=True)
        ]
    )


def initialize(_path: str = "") -> bool:
    """Connect."""
    return True


def shutdown() -> None:
    """Disconnect."""


def last_error() -> tuple[int, str]:
    """There is none."""
    return 1, "Success"


def terminal_info() -> Any:
    """What the terminal is."""
    return SimpleNamespace(name="Stand-in", build=1, connected=True, maxbars=100_000_000)


def symbol_info(name: str) -> Any:
    """The facts of the symbol."""
    return SimpleNamespace(
        name=name,
        description="",
        digits=5,
        currency_base="",
        currency_profit="",
        visible=True,
        time=0,
    )


def symbols_get() -> Any:
    """The one symbol."""
    return (symbol_info(NAME),)


def symbol_select(name: str, _shown: bool) -> bool:
    """Show the symbol."""
    return name == NAME


def copy_ticks_range(*_asked: Any) -> Any:
    """No ticks."""
    return ()


def copy_ticks_from(*_asked: Any) -> Any:
    """No ticks."""
    return ()


def copy_rates_range(_symbol: str, timeframe: int, start: int, stop: int) -> Any:
    """Candles of a range, both ends included."""
    bars = history()
    if timeframe != TIMEFRAME_M1:
        return bars[0:0]
    return bars[bisect_left(bars["time"], start) : bisect_right(bars["time"], stop)]
