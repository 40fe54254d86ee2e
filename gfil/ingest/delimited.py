"""Blocks of separated cells to typed columns: the whole block at once, else line by line."""

import csv
from collections.abc import Callable, Iterator, Sequence
from operator import methodcaller
from typing import Any

from gfil.ingest import moments, numbers
from gfil.ingest.layout import Layout
from gfil.ingest.lines import Block, read_blocks
from gfil.ingest.pieces import Pieces
from gfil.ingest.table import BadRow, Refuse, Table, assemble

Column = Callable[[int], Sequence[str]]


def read(pieces: Pieces, layout: Layout, refuse: Refuse) -> Iterator[Table]:
    """Yield the rows of a text of separated cells, block by block."""
    for block in read_blocks(pieces, refuse):
        if block.row <= layout.skip:
            lines = block.text.split("\n")
            over = layout.skip - block.row + 1
            if over >= len(lines):
                continue
            block = Block(block.row + over, "\n".join(lines[over:]))
        try:
            yield read_at_once(block, layout)
        except (ValueError, OverflowError, csv.Error):
            yield read_one_by_one(block, layout, refuse)


def read_at_once(block: Block, layout: Layout) -> Table:
    """Return the rows of a block of which every line is regular.

    Raises:
        ValueError, OverflowError, csv.Error: some line is not, or it takes a closer look to tell.
    """
    text, rows = block.text, block.text.count("\n") + 1
    if '"' in text:
        column = _unquote(text, layout, rows)
    elif layout.date is None and layout.separator != " " and text.count(" ") == rows:
        # The only blanks are those within the stamps: as separators they split date from time.
        separated = text.replace(" ", layout.separator)
        layout = _with_date_apart(layout)
        column = _cut(separated, layout, rows)
    else:
        column = _cut(text, layout, rows)
    if layout.date is None:
        time, zoned = moments.read_texts(column(layout.time))
    else:
        time, zoned = moments.read_split(column(layout.date), column(layout.time))
    first, high, low, last = (numbers.read_column(column(at)) for at in layout.prices)
    return Table(
        range(block.row, block.row + rows),
        time,
        zoned,
        first,
        high,
        low,
        last,
        [0.0] * rows if layout.volume is None else numbers.read_column(column(layout.volume)),
        None if layout.symbol is None else list(column(layout.symbol)),
        None if layout.timeframe is None else list(column(layout.timeframe)),
        _text_of(block),
    )


def _cut(text: str, layout: Layout, rows: int) -> Column:
    separator, width = layout.separator, layout.width
    cells = text.replace("\n", f"{separator}\n").split(separator)
    first = "".join(cells[::width]).split("\n")
    # The first cell of every line but the first begins with the line's end, and no other cell can:
    # that these two agree proves that each line has `width` cells.
    if len(cells) != rows * width or len(first) != rows:
        raise ValueError("lines of different lengths")
    return lambda at: cells[at::width] if at else first


def _unquote(text: str, layout: Layout, rows: int) -> Column:
    lines = list(csv.reader(text.split("\n"), delimiter=layout.separator))
    if len(lines) != rows or set(map(len, lines)) != {layout.width}:
        raise ValueError("lines of different lengths")
    columns = list(zip(*lines, strict=True))
    return lambda at: columns[at]


def _with_date_apart(layout: Layout) -> Layout:
    def later(at: int | None) -> Any:
        return at if at is None or at < layout.time else at + 1

    return layout._replace(
        width=layout.width + 1,
        date=layout.time,
        time=layout.time + 1,
        open=later(layout.open),
        high=later(layout.high),
        low=later(layout.low),
        close=later(layout.close),
        volume=later(layout.volume),
        symbol=later(layout.symbol),
        timeframe=later(layout.timeframe),
    )


def read_one_by_one(block: Block, layout: Layout, refuse: Refuse) -> Table:
    """Return the good rows of a block; tell the others and why. Blank lines are no rows."""
    rows: list[int] = []
    values: list[tuple[Any, ...]] = []
    for row, line in enumerate(block.text.split("\n"), start=block.row):
        if not line.strip() or (layout.header and line.strip() == layout.header):
            continue
        try:
            values.append(_read_line(line, layout))
            rows.append(row)
        except BadRow as error:
            refuse(row, error.reason, line)
    return assemble(rows, values, _text_of(block))


def _read_line(line: str, layout: Layout) -> tuple[Any, ...]:
    cells = list(map(methodcaller("strip"), split_line(line, layout.separator)))
    while len(cells) > layout.width and not cells[-1]:
        cells.pop()
    if not layout.needed <= len(cells) <= layout.width:
        raise BadRow("missing_field")
    stamp = cells[layout.time]
    if layout.date is not None:
        stamp = f"{cells[layout.date]} {stamp}"
    volume = "" if layout.volume is None else cells[layout.volume]
    return (
        *moments.parse(stamp),
        *(numbers.parse(cells[at]) for at in layout.prices),
        numbers.parse(volume) if volume else 0.0,
        "" if layout.symbol is None else cells[layout.symbol],
        "" if layout.timeframe is None else cells[layout.timeframe],
    )


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
