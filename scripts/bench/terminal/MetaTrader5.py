"""Stand-in for the package MetaTrader5: a terminal with M1 of one symbol and no ticks.

BENCH_BARS names a JSON file with the columns of the M1; times are on the broker's clock.
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
    """Candles as the package returns them: slices of rows, columns by name."""

    def __init__(self, columns: list[Any]) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, key: Any) -> Any:
        """Return a column, or a slice of rows."""
        if isinstance(key, str):
            return self._columns[BAR_FIELDS.index(key)]
        return Bars([column[key] for column in self._columns])


@cache
def history() -> Bars:
    """Return the candles of the file, which is read once."""
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
    """Return code and text of the last error: never an error."""
    return 1, "Success"


def terminal_info() -> Any:
    """Return the facts of the terminal."""
    return SimpleNamespace(name="Stand-in", build=1, connected=True, maxbars=100_000_000)


def symbol_info(name: str) -> Any:
    """Return the facts of the symbol."""
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
    """Return the facts of the one symbol."""
    return (symbol_info(NAME),)


def symbol_select(name: str, _shown: bool) -> bool:
    """Show the symbol in the Market Watch."""
    return name == NAME


def copy_ticks_range(*_asked: Any) -> Any:
    """Return no ticks."""
    return ()


def copy_ticks_from(*_asked: Any) -> Any:
    """Return no ticks."""
    return ()


def copy_rates_range(_symbol: str, timeframe: int, start: int, stop: int) -> Any:
    """Return the candles between two times, both included."""
    bars = history()
    if timeframe != TIMEFRAME_M1:
        return bars[0:0]
    return bars[bisect_left(bars["time"], start) : bisect_right(bars["time"], stop)]
