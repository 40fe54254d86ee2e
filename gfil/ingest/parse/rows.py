"""Rows as typed columns, and the checks of single rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from operator import add, le
from typing import Any, NamedTuple

from gfil.ingest.refusals import Refuse

PRICE_MAX = 1e12
VOLUME_MAX = 1e15
FLAGS_MAX = 2**32 - 1


@dataclass(slots=True)
class RowTable:
    """Rows as equally long columns.

    `row` is the number of each row in its input. `time` is in seconds: wall time, or UNIX time
    where `zoned`, which is a list only if the rows differ. `msc` are the milliseconds after `time`,
    for ticks only. `values` are the numbers in the order of `columns.Kind.numbers`. `symbol` and
    `timeframe` are texts as read, None where the rows have no such column. `text` returns a row as
    it was read, by its number.
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

    def take(self, indices: Sequence[int]) -> "RowTable":
        """Return the rows at these indices, in this order."""
        pick = partial(_pick, indices=indices)
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


def _pick(column: Any, indices: Sequence[int]) -> Any:
    return [column[index] for index in indices] if isinstance(column, Sequence) else column


class NumberedTicks(NamedTuple):
    """Ticks as equally long columns: the row number in the input, then the columns of the store."""

    row: Sequence[int]
    time_msc: Sequence[int]
    bid: Sequence[float]
    ask: Sequence[float]
    last: Sequence[float]
    volume: Sequence[float]
    flags: Sequence[int]


def assemble(
    rows: Sequence[int], cells: Sequence[tuple[Any, ...]], text: Callable[[int], str]
) -> RowTable:
    """Return a table of rows given as tuples.

    A tuple holds seconds, zoned, milliseconds, five numbers, symbol and timeframe; the last two are
    blank where the row has none.
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


def check_candles(table: RowTable, refuse: Refuse) -> RowTable:
    """Return the rows that obey the candle law; refuse the others."""
    if not len(table) or _are_valid_candles(*table.values):
        return table
    return _check_each(table, _find_candle_fault, refuse)


def check_ticks(table: RowTable, refuse: Refuse) -> RowTable:
    """Return the ticks with a price and all numbers in range; refuse the others."""
    if not len(table) or _are_valid_ticks(*table.values):
        return table
    good = _check_each(table, _find_tick_fault, refuse)
    *values, flags = good.values
    good.values = (*values, list(map(int, flags)))
    return good


def _check_each(table: RowTable, find_fault: Callable[..., str | None], refuse: Refuse) -> RowTable:
    good = []
    for index, (row, *values) in enumerate(zip(table.row, *table.values, strict=True)):
        reason = find_fault(*values)
        if reason is None:
            good.append(index)
        else:
            refuse(row, reason, table.text(row))
    return table.take(good)


def _are_valid_candles(
    first: list[float], high: list[float], low: list[float], last: list[float], volume: list[float]
) -> bool:
    return (  # a NaN makes a comparison or the sum false
        all(map(le, low, first))
        and all(map(le, first, high))
        and all(map(le, low, last))
        and all(map(le, last, high))
        and max(high) < PRICE_MAX
        and min(low) > -PRICE_MAX
        and _are_valid_volumes(volume)
    )


def _are_valid_ticks(
    bid: list[float], ask: list[float], last: list[float], volume: list[float], flags: list[float]
) -> bool:
    return (
        all(isfinite(sum(prices)) for prices in (bid, ask, last))
        and max(map(max, (bid, ask, last))) < PRICE_MAX
        and min(map(min, (bid, ask, last))) > -PRICE_MAX
        and _are_valid_volumes(volume)
        and set(map(type, flags)) == {int}
        and min(flags) >= 0
        and max(flags) <= FLAGS_MAX
        and (0 not in bid or all(map(any, zip(bid, ask, last, strict=True))))
    )


def _are_valid_volumes(volume: list[float]) -> bool:
    return isfinite(sum(volume)) and min(volume) >= 0 and max(volume) < VOLUME_MAX


def _find_candle_fault(*values: float) -> str | None:
    *prices, volume = values
    first, high, low, last = prices
    if not all(map(isfinite, (*prices, volume))):
        return "not_finite"
    if max(map(abs, prices)) >= PRICE_MAX or volume >= VOLUME_MAX:
        return "too_large"
    if not low <= min(first, last) <= max(first, last) <= high:
        return "low_high"
    return "negative_volume" if volume < 0 else None


def _find_tick_fault(*values: float) -> str | None:
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
    """Return the rows of both tables, in order."""
    texts = {row: first.text(row) for row in first.row}
    return RowTable(
        [*first.row, *second.row],
        first.time + second.time,
        _list_zoned(first) + _list_zoned(second),
        _join_columns(first.msc, second.msc),
        tuple(map(add, first.values, second.values)),
        _join_columns(first.symbol, second.symbol),
        _join_columns(first.timeframe, second.timeframe),
        lambda row: texts[row] if row in texts else second.text(row),
    )


def _list_zoned(table: RowTable) -> list[bool]:
    return table.zoned if isinstance(table.zoned, list) else [table.zoned] * len(table)


def _join_columns(first: list[Any] | None, second: list[Any] | None) -> list[Any] | None:
    return None if first is None or second is None else first + second
