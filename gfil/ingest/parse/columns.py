"""Which cell of a line, or of a JSON array, holds what."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from gfil.errors import BadParameter

PRICES = ("open", "high", "low", "close")
SIDES = ("bid", "ask")
SKIPPED = "_"


class Kind(NamedTuple):
    """What rows are of: the names of their five numbers, and which of them each row must have.

    The others may be missing or blank, and are 0 then.
    """

    name: Literal["candles", "ticks"]
    numbers: tuple[str, str, str, str, str]
    required: tuple[str, ...]


CANDLES = Kind("candles", (*PRICES, "volume"), PRICES)
TICKS = Kind("ticks", (*SIDES, "last", "volume", "flags"), ())
FIELDS = ("time", "date", *PRICES, "volume", "symbol", "tf", *SIDES, "last", "flags")


class ColumnLayout(NamedTuple):
    """The place of each field in a row of `width` cells; `numbers` are those of the kind.

    `date` is set where the date stands apart from the time of day. `skip` lines come before the
    first row; the last of them is the header, empty if there is none. `keeps_sides`: an empty bid
    or ask is the last one before.
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
        """How many cells a row must have at least."""
        places = (self.date, self.time, *self.numbers, self.symbol, self.timeframe)
        return 1 + max(place for place in places if place is not None)

    def find(self, name: str) -> int | None:
        """Return the place of a number, `time`, `symbol` or `timeframe`."""
        if name in self.kind.numbers:
            return self.numbers[self.kind.numbers.index(name)]
        place: int | None = getattr(self, name)
        return place


def kind_of(names: Sequence[str]) -> Kind:
    """Return what rows of these fields are of: a side makes a tick."""
    return TICKS if set(SIDES) & set(names) else CANDLES


def parse_columns(text: str) -> tuple[str, ...]:
    """Return the fields that a text such as `time,open,close,high,low,volume` names; `_` skips one.

    Raises:
        BadParameter: an unknown or doubled field, one that is missing, or one of another kind.
    """
    names = tuple(name.strip().casefold() for name in text.split(","))
    for name in names:
        if name not in (*FIELDS, SKIPPED):
            raise BadParameter(f"unknown column {name[:32]!r}: use {' '.join(FIELDS)} and _")
        if name != SKIPPED and names.count(name) > 1:
            raise BadParameter(f"column {name} is there twice")
    prices, others = (SIDES, PRICES) if kind_of(names) == TICKS else (PRICES, ("last", "flags"))
    if foreign := [name for name in names if name in others]:
        raise BadParameter(f"{prices[0]} and {foreign[0]} are not of the same rows")
    lacking = [price for price in prices if price not in names]
    if not {"time", "date"} & set(names):
        lacking.insert(0, "time")
    if lacking:
        raise BadParameter(f"the columns lack {' '.join(lacking)}")
    return names


def place_columns(
    names: Sequence[str],
    separator: str = ",",
    width: int = 0,
    skip: int = 0,
    header: str = "",
    keeps_sides: bool = False,
) -> ColumnLayout:
    """Return the layout of rows whose cells hold these fields, and more that mean nothing here."""

    def find(name: str) -> int | None:
        return names.index(name) if name in names else None

    kind = kind_of(names)
    date, time = find("date"), find("time")
    if time is None:
        date, time = None, names.index("date")
    return ColumnLayout(
        kind=kind,
        separator=separator,
        width=max(width, len(names)),
        skip=skip,
        header=header,
        date=date,
        time=time,
        numbers=tuple(map(find, kind.numbers)),
        symbol=find("symbol"),
        timeframe=find("tf"),
        keeps_sides=keeps_sides,
    )
