"""Which cell of a line, or of a JSON array, holds what."""

from collections.abc import Sequence
from typing import NamedTuple

from gfil.errors import BadParameter

PRICES = ("open", "high", "low", "close")
FIELDS = ("time", "date", *PRICES, "volume", "symbol", "tf")
SKIPPED = "_"


class Layout(NamedTuple):
    """The place of each field in a row of `width` cells.

    `date` is set where the date stands apart from the time of day. `skip` lines come before the
    first row; the last of them is the header, empty if there is none.
    """

    separator: str
    width: int
    skip: int
    header: str
    date: int | None
    time: int
    open: int
    high: int
    low: int
    close: int
    volume: int | None
    symbol: int | None
    timeframe: int | None

    @property
    def prices(self) -> tuple[int, int, int, int]:
        """The places of open, high, low and close."""
        return self.open, self.high, self.low, self.close

    @property
    def needed(self) -> int:
        """How many cells a row must have at least."""
        return 1 + max(place for place in self[4:] if isinstance(place, int))


def parse_columns(text: str) -> tuple[str, ...]:
    """Return the fields that a text such as `time,open,close,high,low,volume` names; `_` skips one.

    Raises:
        BadParameter: an unknown or doubled field, or one that is missing.
    """
    names = tuple(name.strip().casefold() for name in text.split(","))
    for name in names:
        if name not in (*FIELDS, SKIPPED):
            raise BadParameter(f"unknown column {name[:32]!r}: use {' '.join(FIELDS)} and _")
        if name != SKIPPED and names.count(name) > 1:
            raise BadParameter(f"column {name} is there twice")
    lacking = [price for price in PRICES if price not in names]
    if not {"time", "date"} & set(names):
        lacking.insert(0, "time")
    if lacking:
        raise BadParameter(f"the columns lack {' '.join(lacking)}")
    return names


def place(
    names: Sequence[str], separator: str = ",", width: int = 0, skip: int = 0, header: str = ""
) -> Layout:
    """Return the layout of rows whose cells hold these fields, and more that mean nothing here."""

    def find(name: str) -> int | None:
        return names.index(name) if name in names else None

    date, time = find("date"), find("time")
    if time is None:
        date, time = None, names.index("date")
    return Layout(
        separator=separator,
        width=max(width, len(names)),
        skip=skip,
        header=header,
        date=date,
        time=time,
        open=names.index("open"),
        high=names.index("high"),
        low=names.index("low"),
        close=names.index("close"),
        volume=find("volume"),
        symbol=find("symbol"),
        timeframe=find("tf"),
    )
