"""Timeframes: the table, their spellings, and their buckets in wall time."""

import re
from datetime import date, timedelta
from typing import NamedTuple

from gfil.errors import BadParameter

MINUTE = 60
HOUR = 3600
DAY = 86400
WEEK = 7 * DAY
MONDAY = 4 * DAY  # 1970-01-05 was the first Monday after the epoch
EPOCH_DAY = date(1970, 1, 1)


class Timeframe(NamedTuple):
    """One timeframe.

    `number` is the index in the table and in the database, and must never change.
    `seconds` is the nominal length of a bucket, 30 days for a month.
    """

    number: int
    name: str
    seconds: int

    def floor(self, wall: int) -> int:
        """Return the start of the bucket that contains a wall time, both in wall time."""
        if self.name == "MN1":
            day = EPOCH_DAY + timedelta(days=wall // DAY)
            return (day.replace(day=1) - EPOCH_DAY).days * DAY
        origin = MONDAY if self.name == "W1" else 0
        return wall - (wall - origin) % self.seconds

    def following(self, wall_start: int) -> int:
        """Return the start of the bucket after the one that starts at `wall_start`."""
        if self.name == "MN1":
            return self.floor(wall_start + 31 * DAY)
        return wall_start + self.seconds

    @property
    def intraday(self) -> bool:
        """Whether buckets depend on the offset of the clock only, not on its days: M1 to H1."""
        return self.seconds <= HOUR


TIMEFRAMES = tuple(
    Timeframe(number, name, seconds)
    for number, (name, seconds) in enumerate(
        [
            ("M1", MINUTE),
            ("M2", 2 * MINUTE),
            ("M3", 3 * MINUTE),
            ("M5", 5 * MINUTE),
            ("M10", 10 * MINUTE),
            ("M15", 15 * MINUTE),
            ("M20", 20 * MINUTE),
            ("M30", 30 * MINUTE),
            ("H1", HOUR),
            ("H2", 2 * HOUR),
            ("H3", 3 * HOUR),
            ("H4", 4 * HOUR),
            ("H6", 6 * HOUR),
            ("H8", 8 * HOUR),
            ("H12", 12 * HOUR),
            ("D1", DAY),
            ("W1", WEEK),
            ("MN1", 30 * DAY),
        ]
    )
)
M1, M2, M3, M5, M10, M15, M20, M30, H1, H2, H3, H4, H6, H8, H12, D1, W1, MN1 = TIMEFRAMES

CHAIN = (M1, M5, M15, M30, H1, H4, D1)  # stored for every symbol, finest first

_BY_NAME = {timeframe.name: timeframe for timeframe in TIMEFRAMES}
_BY_SECONDS = {timeframe.seconds: timeframe for timeframe in TIMEFRAMES[:-1]}
_WORDS = {"D": D1, "1D": D1, "W": W1, "1W": W1, "M": MN1, "1M": MN1}
_MINUTES_OF_LONG = {10080: W1, 43200: MN1}  # in names of weekly and monthly files of MetaTrader 4
_COUNT_AND_UNIT = re.compile(r"([1-9][0-9]{0,4})([mHD]?)")
_UNIT_SECONDS = {"": MINUTE, "m": MINUTE, "H": HOUR, "D": DAY}


class UnknownTimeframe(BadParameter):
    """Text that is not a timeframe."""

    def __init__(self, text: str) -> None:
        names = " ".join(timeframe.name for timeframe in TIMEFRAMES)
        super().__init__(f"unknown timeframe {text[:32]!r}: use one of {names}")


def parse(text: str) -> Timeframe:
    """Return the timeframe of a text such as `H4`, `4h`, `240`, `D`, `1W` or `1M`.

    Only m and M differ by case: `1m` is a minute, `1M` and `M` are a month.

    Raises:
        UnknownTimeframe: the text is not a timeframe.
    """
    spelled = "".join(letter if letter in "mM" else letter.upper() for letter in text.strip())
    found = _BY_NAME.get(spelled) or _WORDS.get(spelled)
    if found is None and (match := _COUNT_AND_UNIT.fullmatch(spelled)):
        count, unit = int(match[1]), match[2]
        seconds = count * _UNIT_SECONDS[unit]
        found = _MINUTES_OF_LONG.get(count) if not unit else None
        found = found or (_BY_SECONDS.get(seconds) if seconds <= DAY else None)
    if found is None:
        raise UnknownTimeframe(text)
    return found


def chain_below(timeframe: Timeframe) -> tuple[Timeframe, ...]:
    """Return the materialised timeframes below this one, longest first."""
    return tuple(finer for finer in reversed(CHAIN) if finer.seconds < timeframe.seconds)
