"""Rows of input as typed columns, and the candle law each must obey by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from operator import le
from typing import Any

PRICE_MAX = 1e12
VOLUME_MAX = 1e15
TEXT_MAX = 200  # characters of a refused row that are shown

Refuse = Callable[[int, str, str], None]
"""Takes a refused row: its number, the reason, its text."""


class BadRow(Exception):
    """Why a row, or a cell of it, is refused: `reason` is one of the words of the contract."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Table:
    """Rows as equally long columns.

    `row` is the number each goes by in its source. `time` is in seconds: of the wall, or since
    1970 UTC where `zoned`, which is a list only if the rows differ in that. `symbol` and
    `timeframe` are texts as read, None where the rows do not name them. `text` gives a row back
    as it was read, by its number.
    """

    row: Sequence[int]
    time: list[int]
    zoned: bool | list[bool]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]
    symbol: list[str] | None
    timeframe: list[str] | None
    text: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, places: Sequence[int]) -> "Table":
        """Return the rows at these places, in this order."""

        def pick(column: Any) -> Any:
            return [column[place] for place in places] if isinstance(column, Sequence) else column

        return Table(
            pick(self.row),
            pick(self.time),
            pick(self.zoned),
            pick(self.open),
            pick(self.high),
            pick(self.low),
            pick(self.close),
            pick(self.volume),
            pick(self.symbol),
            pick(self.timeframe),
            self.text,
        )


def assemble(
    rows: Sequence[int], cells: Sequence[tuple[Any, ...]], text: Callable[[int], str]
) -> Table:
    """Return a table of rows given one by one.

    Each is a tuple of seconds, zoned, open, high, low, close, volume, symbol and timeframe; the
    last two are blank where the row does not name them.
    """
    columns = [list(column) for column in zip(*cells, strict=True)] or [[] for _ in range(9)]
    time, zoned, first, high, low, last, volume, symbol, timeframe = columns
    return Table(
        rows,
        time,
        zoned if len(set(zoned)) > 1 else bool(zoned and zoned[0]),
        first,
        high,
        low,
        last,
        volume,
        symbol if any(symbol) else None,
        timeframe if any(timeframe) else None,
        text,
    )


def check(table: Table, refuse: Refuse) -> Table:
    """Return the rows that obey the candle law; tell the others and why."""
    if not len(table) or _is_lawful(table):
        return table
    values = zip(table.open, table.high, table.low, table.close, table.volume, strict=True)
    good = []
    for place, (row, value) in enumerate(zip(table.row, values, strict=True)):
        reason = _fault(*value)
        if reason is None:
            good.append(place)
        else:
            refuse(row, reason, table.text(row))
    return table.take(good)


def _is_lawful(table: Table) -> bool:
    return (  # a NaN makes a comparison or the sum false
        all(map(le, table.low, table.open))
        and all(map(le, table.open, table.high))
        and all(map(le, table.low, table.close))
        and all(map(le, table.close, table.high))
        and max(table.high) < PRICE_MAX
        and min(table.low) > -PRICE_MAX
        and isfinite(sum(table.volume))
        and min(table.volume) >= 0
        and max(table.volume) < VOLUME_MAX
    )


def _fault(*values: float) -> str | None:
    *prices, volume = values
    first, high, low, last = prices
    if not all(map(isfinite, (*prices, volume))):
        return "not_finite"
    if max(map(abs, prices)) >= PRICE_MAX or volume >= VOLUME_MAX:
        return "too_large"
    if not low <= min(first, last) <= max(first, last) <= high:
        return "low_high"
    return "negative_volume" if volume < 0 else None


def join(first: Table, second: Table) -> Table:
    """Return the rows of both, in order."""
    firsts = {row: first.text(row) for row in first.row}

    def flags(table: Table) -> list[bool]:
        return table.zoned if isinstance(table.zoned, list) else [table.zoned] * len(table)

    def both(a: list[str] | None, b: list[str] | None) -> list[str] | None:
        return None if a is None or b is None else a + b

    return Table(
        [*first.row, *second.row],
        first.time + second.time,
        flags(first) + flags(second),
        first.open + second.open,
        first.high + second.high,
        first.low + second.low,
        first.close + second.close,
        first.volume + second.volume,
        both(first.symbol, second.symbol),
        both(first.timeframe, second.timeframe),
        lambda row: firsts[row] if row in firsts else second.text(row),
    )
