"""The first bytes of an input, and the format recognised from them."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from gfil.ingest.parse import numbers, timestamps
from gfil.ingest.parse.columns import CANDLES, SIDES, SKIPPED, ColumnLayout, Kind, place_columns
from gfil.ingest.parse.delimited import read, split_line
from gfil.ingest.parse.rows import RowTable
from gfil.ingest.refusals import BadRow, Refuse
from gfil.ingest.source.byte_stream import PIECE_BYTES, ByteStream

LINES_MAX = 20  # examined to find the first row
SEPARATORS = ("\t", ";", ",")

Reader = Callable[[ByteStream, Refuse], Iterator[RowTable]]


class Format(NamedTuple):
    """A recognised format and its reader.

    `columns` are the fields in the order of the cells, for reports. `symbol`, `timeframe` and
    `clock` are set where the head of the input names them for all rows.
    """

    name: str
    columns: Sequence[str]
    read: Reader
    symbol: str | None = None
    timeframe: str | None = None
    clock: str | None = None
    kind: Kind = CANDLES


class Sniff:
    """The beginning of an input: `data` as bytes, `lines` as the first lines that are not blank.

    `columns` are the fields of the cells and `kind` is the name of the kind of rows, where the user
    states them.
    """

    def __init__(
        self, data: bytes, columns: Sequence[str] | None = None, kind: str | None = None
    ) -> None:
        self.data = data
        self.columns = columns
        self.kind = kind
        self._lines = data.decode("utf-8", "replace").split("\n", 10 * LINES_MAX)

    @property
    def is_all(self) -> bool:
        """Whether the input has no more bytes."""
        return len(self.data) < PIECE_BYTES

    @cached_property
    def lines(self) -> list[str]:
        """The first lines that are not blank, trimmed."""
        trimmed = (line.strip() for line in self._lines[: 10 * LINES_MAX])
        return [line for line in trimmed if line][:LINES_MAX]

    @property
    def blank_lines(self) -> int:
        """The number of blank lines before the first line that is not blank."""
        return next((at for at, line in enumerate(self._lines) if line.strip()), 0)

    @cached_property
    def is_json(self) -> bool:
        """Whether the first character is an opening bracket of JSON."""
        return self.data.lstrip()[:1] in (b"[", b"{")

    def cells(self, line: int, separator: str) -> list[str]:
        """Return the trimmed cells of one of `lines`."""
        return [cell.strip() for cell in split_line(self.lines[line], separator)]


def of_rows(name: str, head: Sniff, names: Sequence[str], separator: str, width: int) -> Format:
    """Return the format of lines without a header."""
    layout = place_columns(names, separator, width, skip=head.blank_lines)
    return _delimited(name, names, layout)


def of_header(
    name: str, head: Sniff, names: Sequence[str], separator: str, keeps_sides: bool = False
) -> Format:
    """Return the format of lines below a header; `names` are the fields of the cells."""
    skip, header = head.blank_lines + 1, head.lines[0]
    layout = place_columns(names, separator, skip=skip, header=header, keeps_sides=keeps_sides)
    return _delimited(name, names, layout)


def is_row(cells: Sequence[str], names: Sequence[str]) -> bool:
    """Whether cells match their names: a timestamp, and four prices or two sides."""
    layout = place_columns(names)
    if len(cells) < layout.needed:
        return False
    stamp = cells[layout.time]
    if layout.date is not None:
        stamp = f"{cells[layout.date]} {stamp}"
    try:
        timestamps.parse(stamp)
        for price in layout.kind.required or SIDES:
            at = layout.find(price)
            numbers.parse("" if at is None else cells[at])
    except BadRow:
        return False
    return True


def is_unknown_header(cells: Sequence[str]) -> bool:
    """Whether cells look like the words of a header, not like a broken row."""
    return sum(cell[:1].isalpha() or cell[:1] == "<" for cell in cells) >= 4


def _delimited(name: str, names: Sequence[str], layout: ColumnLayout) -> Format:
    columns = [*names, *[SKIPPED] * (layout.width - len(names))]
    return Format(
        name, columns, lambda pieces, refuse: read(pieces, layout, refuse), kind=layout.kind
    )
