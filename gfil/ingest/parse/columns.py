"""Column layout: which cell of a line or of a JSON array holds which field."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from gfil.errors import BadParameter

PRICES = ("open", "high", "low", "close")
SIDES = ("bid", "ask")
SKIPPED = "_"


class Kind(NamedTuple):
    """The kind of rows: the names of their five numbers, and the names of the required ones.

    A number that is not required is 0 where it is missing or blank.
    """

    name: Literal["candles", "ticks"]
    numbers: tuple[str, str, str, str, str]
    required: tuple[str, ...]


CANDLES = Kind("candles", (*PRICES, "volume"), PRICES)
TICKS = Kind("ticks", (*SIDES, "last", "volume", "flags"), ())
FIELDS = ("time", "date", *PRICES, "volume", "symbol", "tf", *SIDES, "last", "flags")


class ColumnLayout(NamedTuple):
    """The index of each field in a row of `width` cells; `numbers` in the order of the kind.

    `date` is set where date and time of day are two cells. `skip` lines precede the first row; the
    last of them is the header; without a header it is empty. `keeps_sides`: an empty bid or ask
    repeats the previous one.
    """

    kind: Kind
    separator: str
    width: int
    skip: int
    header: str
    date: int | None
    time: int
    numbers: tuple[int | None, ...]
    symbol: int | None
    timeframe: int | None
    keeps_sides: bool = False

    @property
    def needed(self) -> int:
        """The least number of cells of a row."""
        indices = (self.date, self.time, *self.numbers, self.symbol, self.timeframe)
        return 1 + max(index for index in indices if index is not None)

    def find(self, name: str) -> int | None:
        """Return the index of a number, `time`, `symbol` or `timeframe`."""
        if name in self.kind.numbers:
            return self.numbers[self.kind.numbers.index(name)]
        index: int | None = getattr(self, name)
        return index


def kind_of(names: Sequence[str]) -> Kind:
    """Return the kind of rows with these fields: rows with bid or ask are ticks."""
    return TICKS if set(SIDES) & set(names) else CANDLES


def parse_columns(text: str) -> tuple[str, ...]:
    """Return the fields in a text such as `time,open,close,high,low,volume`; `_` skips a cell.

    Raises:
        BadParameter: a field is unknown, repeated, missing, or of the other kind.
    """
    names = tuple(name.strip().casefold() for name in text.split(","))
    for name in names:
        if name not in (*FIELDS, SKIPPED):
            raise BadParameter(f"unknown column {name[:32]!r}: use {' '.join(FIELDS)} and _")
        if name != SKIPPED and names.count(name) > 1:
            raise BadParameter(f"column {name} is given twice")
    prices, others = (SIDES, PRICES) if kind_of(names) == TICKS else (PRICES, ("last", "flags"))
    if foreign := [name for name in names if name in others]:
        raise BadParameter(f"{prices[0]} and {foreign[0]} cannot be in the same rows")
    missing = [price for price in prices if price not in names]
    if not {"time", "date"} & set(names):
        missing.insert(0, "time")
    if missing:
        raise BadParameter(f"the columns lack {' '.join(missing)}")
    return names


def place_columns(
    names: Sequence[str],
    separator: str = ",",
    width: int = 0,
    skip: int = 0,
    header: str = "",
    keeps_sides: bool = False,
) -> ColumnLayout:
    """Return the layout of rows with these fields; further cells are ignored."""
    kind = kind_of(names)
    index = {name: names.index(name) for name in names}
    date, time = index.get("date"), index.get("time")
    if time is None:
        date, time = None, index["date"]
    return ColumnLayout(
        kind=kind,
        separator=separator,
        width=max(width, len(names)),
        skip=skip,
        header=header,
        date=date,
        time=time,
        numbers=tuple(map(index.get, kind.numbers)),
        symbol=index.get("symbol"),
        timeframe=index.get("tf"),
        keeps_sides=keeps_sides,
    )
