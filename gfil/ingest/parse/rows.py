"""Rows of input as typed columns, and the law each must obey by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from operator import add, le
from typing import Any

PRICE_MAX = 1e12
VOLUME_MAX = 1e15
FLAGS_MAX = 2**32 - 1
TEXT_MAX = 200  # characters of a refused row that are shown

Refuse = Callable[[int, str, str], None]
"""Takes a refused row: its number, the reason, its text."""


class BadRow(Exception):
    """Why a row, or a cell of it, is refused: `reason` is one of the words of the contract."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class RowTable:
    """Rows as equally long columns.

    `row` is the number each goes by in its source. `time` is in seconds: of the wall, or since
    1970 UTC where `zoned`, which is a list only if the rows differ in that; `msc` are milliseconds
    beside them, which only ticks need. `values` are the numbers in the order of their kind (see
    `layout.Kind`). `symbol` and `timeframe` are texts as read, None where the rows do not name
    them. `text` gives a row back as it was read, by its number.
    """

    row: Sequence[int]
    time: list[int]
    zoned: bool | list[bool]
    msc: list[int] | None
    values: tuple[list[float], ...]
    symbol: list[str] | None
    timeframe: list[str] | None
    text: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, places: Sequence[int]) -> "RowTable":
        """Return the rows at these places, in this order."""

        def pick(column: Any) -> Any:
            return [column[place] for place in places] if isinstance(column, Sequence) else column

        return RowTable(
            pick(self.row),
            pick(self.time),
            pick(self.zoned),
            pick(self.msc),
            tuple(map(pick, self.values)),
            pick(self.symbol),
            pick(self.timeframe),
            self.text,
        )


def assemble(
    rows: Sequence[int], cells: Sequence[tuple[Any, ...]], text: Callable[[int], str]
) -> RowTable:
    """Return a table of rows given one by one.

    Each is a tuple of seconds, zoned, milliseconds, five numbers, symbol and timeframe; the last
    two are blank where the row does not name them.
    """
    columns = [list(column) for column in zip(*cells, strict=True)] or [[] for _ in range(10)]
    time, zoned, msc, *values, symbol, timeframe = columns
    return RowTable(
        rows,
        time,
        zoned if len(set(zoned)) > 1 else bool(zoned and zoned[0]),
        msc,
        tuple(values),
        symbol if any(symbol) else None,
        timeframe if any(timeframe) else None,
        text,
    )


def check(table: RowTable, refuse: Refuse) -> RowTable:
    """Return the rows that obey the candle law; tell the others and why."""
    if not len(table) or _is_lawful(*table.values):
        return table
    return _check_each(table, _fault, refuse)


def check_ticks(table: RowTable, refuse: Refuse) -> RowTable:
    """Return the ticks that have a price and no number out of range; tell the others and why."""
    if not len(table) or _are_ticks(*table.values):
        return table
    good = _check_each(table, _fault_of_tick, refuse)
    *values, flags = good.values
    good.values = (*values, list(map(int, flags)))
    return good


def _check_each(table: RowTable, fault: Callable[..., str | None], refuse: Refuse) -> RowTable:
    good = []
    for place, (row, *values) in enumerate(zip(table.row, *table.values, strict=True)):
        reason = fault(*values)
        if reason is None:
            good.append(place)
        else:
            refuse(row, reason, table.text(row))
    return table.take(good)


def _is_lawful(
    first: list[float], high: list[float], low: list[float], last: list[float], volume: list[float]
) -> bool:
    return (  # a NaN makes a comparison or the sum false
        all(map(le, low, first))
        and all(map(le, first, high))
        and all(map(le, low, last))
        and all(map(le, last, high))
        and max(high) < PRICE_MAX
        and min(low) > -PRICE_MAX
        and _is_volume(volume)
    )


def _are_ticks(
    bid: list[float], ask: list[float], last: list[float], volume: list[float], flags: list[float]
) -> bool:
    return (
        all(isfinite(sum(prices)) for prices in (bid, ask, last))
        and max(map(max, (bid, ask, last))) < PRICE_MAX
        and min(map(min, (bid, ask, last))) > -PRICE_MAX
        and _is_volume(volume)
        and set(map(type, flags)) == {int}
        and min(flags) >= 0
        and max(flags) <= FLAGS_MAX
        and (0 not in bid or all(map(any, zip(bid, ask, last, strict=True))))
    )


def _is_volume(volume: list[float]) -> bool:
    return isfinite(sum(volume)) and min(volume) >= 0 and max(volume) < VOLUME_MAX


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


def _fault_of_tick(*values: float) -> str | None:
    *prices, volume, flags = values
    if not all(map(isfinite, values)):
        return "not_finite"
    if max(map(abs, prices)) >= PRICE_MAX or volume >= VOLUME_MAX or flags > FLAGS_MAX:
        return "too_large"
    if flags < 0 or flags != int(flags):
        return "not_a_number"
    if not any(prices):
        return "missing_field"
    return "negative_volume" if volume < 0 else None


def join(first: RowTable, second: RowTable) -> RowTable:
    """Return the rows of both, in order."""
    firsts = {row: first.text(row) for row in first.row}

    def flags(table: RowTable) -> list[bool]:
        return table.zoned if isinstance(table.zoned, list) else [table.zoned] * len(table)

    def both(a: list[Any] | None, b: list[Any] | None) -> list[Any] | None:
        return None if a is None or b is None else a + b

    return RowTable(
        [*first.row, *second.row],
        first.time + second.time,
        flags(first) + flags(second),
        both(first.msc, second.msc),
        tuple(map(add, first.values, second.values)),
        both(first.symbol, second.symbol),
        both(first.timeframe, second.timeframe),
        lambda row: firsts[row] if row in firsts else second.text(row),
    )
