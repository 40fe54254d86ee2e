"""CSV lines to typed columns: a whole block in one call, else line by line."""

import csv
from collections.abc import Callable, Iterator, Sequence
from operator import methodcaller
from typing import Any

from gfil.ingest.parse import numbers, tick_timestamps, timestamps
from gfil.ingest.parse.columns import SIDES, TICKS, ColumnLayout
from gfil.ingest.parse.numbers import Sides
from gfil.ingest.parse.rows import RowTable, assemble
from gfil.ingest.refusals import BadRow, Refuse
from gfil.ingest.source.byte_stream import ByteStream
from gfil.ingest.source.lines import Block, read_blocks

Column = Callable[[int], Sequence[str]]


def read(pieces: ByteStream, layout: ColumnLayout, refuse: Refuse) -> Iterator[RowTable]:
    """Yield the rows of a text of separated cells, block by block."""
    sides = Sides()
    for block in read_blocks(pieces, refuse):
        if block.row <= layout.skip:
            lines = block.text.split("\n")
            skipped = layout.skip - block.row + 1
            if skipped >= len(lines):
                continue
            block = Block(block.row + skipped, "\n".join(lines[skipped:]))
        before = dict(sides.known)
        try:
            yield read_block(block, layout, sides)
        except (ValueError, OverflowError, csv.Error):
            sides.known = before
            yield read_one_by_one(block, layout, refuse, sides)


def read_block(block: Block, layout: ColumnLayout, sides: Sides) -> RowTable:
    """Return the rows of a block in which every line is regular.

    Raises:
        ValueError, OverflowError, csv.Error: a line is irregular or must be read alone.
    """
    text, rows = block.text, block.text.count("\n") + 1
    if '"' in text:
        column = _unquote(text, layout, rows)
    elif layout.date is None and layout.separator != " " and text.count(" ") == rows:
        # The only blanks are inside the timestamps: as separators they split date from time.
        separated = text.replace(" ", layout.separator)
        layout = _with_date_apart(layout)
        column = _cut(separated, layout, rows)
    else:
        column = _cut(text, layout, rows)
    time, zoned, msc = _read_times(column, layout)
    return RowTable(
        range(block.row, block.row + rows),
        time,
        zoned,
        msc,
        tuple(_read_numbers(name, column, layout, rows, sides) for name in layout.kind.numbers),
        None if layout.symbol is None else list(column(layout.symbol)),
        None if layout.timeframe is None else list(column(layout.timeframe)),
        _text_of(block),
    )


def _read_times(column: Column, layout: ColumnLayout) -> tuple[list[int], bool, list[int] | None]:
    cells = column(layout.time)
    dates = None if layout.date is None else column(layout.date)
    if layout.kind == TICKS:
        if dates is None:
            return tick_timestamps.read_texts(cells)
        return tick_timestamps.read_split(dates, cells)
    if dates is None:
        return *timestamps.read_texts(cells), None
    return *timestamps.read_split(dates, cells), None


def _read_numbers(
    name: str, column: Column, layout: ColumnLayout, rows: int, sides: Sides
) -> list[float]:
    at = layout.find(name)
    if at is None:
        return [0] * rows
    if name in layout.kind.required:
        return numbers.read_column(column(at))
    if not layout.keeps_sides or name not in SIDES:
        return numbers.read_optional(column(at))
    if layout.symbol is not None:
        raise ValueError("each symbol repeats its own sides")
    return sides.read_column(name, column(at))


def _cut(text: str, layout: ColumnLayout, rows: int) -> Column:
    separator, width = layout.separator, layout.width
    cells = text.replace("\n", f"{separator}\n").split(separator)
    first = "".join(cells[::width]).split("\n")
    # The first cell of every line but the first begins with a newline, and no other cell can. If
    # both counts agree, each line has `width` cells.
    if len(cells) != rows * width or len(first) != rows:
        raise ValueError("lines of different lengths")
    return lambda at: cells[at::width] if at else first


def _unquote(text: str, layout: ColumnLayout, rows: int) -> Column:
    lines = list(csv.reader(text.split("\n"), delimiter=layout.separator))
    if len(lines) != rows or set(map(len, lines)) != {layout.width}:
        raise ValueError("lines of different lengths")
    columns = list(zip(*lines, strict=True))
    return lambda at: columns[at]


def _with_date_apart(layout: ColumnLayout) -> ColumnLayout:
    return layout._replace(
        width=layout.width + 1,
        date=layout.time,
        time=layout.time + 1,
        numbers=tuple(_shift(index, layout.time) for index in layout.numbers),
        symbol=_shift(layout.symbol, layout.time),
        timeframe=_shift(layout.timeframe, layout.time),
    )


def _shift(index: int | None, start: int) -> int | None:
    return index if index is None or index < start else index + 1


def read_one_by_one(block: Block, layout: ColumnLayout, refuse: Refuse, sides: Sides) -> RowTable:
    """Return the good rows of a block and refuse the others; blank lines are skipped."""
    rows: list[int] = []
    values: list[tuple[Any, ...]] = []
    for row, line in enumerate(block.text.split("\n"), start=block.row):
        if not line.strip() or (layout.header and line.strip() == layout.header):
            continue
        try:
            values.append(_read_line(line, layout, sides))
            rows.append(row)
        except BadRow as error:
            refuse(row, error.reason, line)
    return assemble(rows, values, _text_of(block))


def _read_line(line: str, layout: ColumnLayout, sides: Sides) -> tuple[Any, ...]:
    cells = list(map(methodcaller("strip"), split_line(line, layout.separator)))
    while len(cells) > layout.width and not cells[-1]:
        cells.pop()
    if not layout.needed <= len(cells) <= layout.width:
        raise BadRow("missing_field")
    stamp = cells[layout.time]
    if layout.date is not None:
        stamp = f"{cells[layout.date]} {stamp}"
    symbol = "" if layout.symbol is None else cells[layout.symbol]
    if layout.keeps_sides:  # also the sides of a refused row, which the next row may repeat
        for name, index in zip(layout.kind.numbers, layout.numbers, strict=True):
            if name in SIDES and index is not None:
                sides.record(symbol, name, cells[index])
    return (
        *timestamps.parse(stamp),
        *(_parse_number(cells, name, layout, sides, symbol) for name in layout.kind.numbers),
        symbol,
        "" if layout.timeframe is None else cells[layout.timeframe],
    )


def _parse_number(
    cells: Sequence[str], name: str, layout: ColumnLayout, sides: Sides, symbol: str
) -> float:
    index = layout.find(name)
    cell = "" if index is None else cells[index]
    if layout.keeps_sides and name in SIDES:
        return sides.parse(symbol, name, cell)
    return numbers.parse(cell) if cell or name in layout.kind.required else 0


def split_line(line: str, separator: str) -> list[str]:
    """Return the cells of one line, without the quotes around them."""
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator), [line])
    except csv.Error:
        return [line]


def _text_of(block: Block) -> Callable[[int], str]:
    lines: list[str] = []

    def text(row: int) -> str:
        if not lines:
            lines.extend(block.text.split("\n"))
        return lines[row - block.row]

    return text
