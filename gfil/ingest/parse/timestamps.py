"""Timestamps to seconds: texts and epochs in every spelling, with or without a zone."""

import re
from collections.abc import Iterable, Sequence
from datetime import date
from operator import add, itemgetter
from typing import Any, NamedTuple

import orjson

from gfil.clocks import OFFSET_MAX
from gfil.ingest.refusals import BadRow
from gfil.timeframes import DAY, EPOCH_DAY, HOUR, MINUTE

MILLISECONDS_FROM = 10**11
MICROSECONDS_FROM = 10**14
EPOCH_MAX = 10**19
NINE_DIGITS = 10**8  # fewer digits may be a date: 20170102
CACHE_MAX = 100_000  # texts of days, and as many of times of day
CACHED_LENGTH_MAX = 40  # characters of a text; blanks can make it as long as a line

_DATE = re.compile(
    r"([0-9]{4})([-./])([0-9]{1,2})\2([0-9]{1,2})"
    r"|([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})"
    r"|([0-9]{4})([0-9]{2})([0-9]{2})"
)
_REST = re.compile(
    r"[T ] *(?:([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?|([0-9]{2})([0-9]{2})([0-9]{2})?)"
    r"(?:[.,][0-9]{1,9})?"
    r" *(Z|(?:UTC|GMT)?(?:([+-])([0-9]{2}):?([0-9]{2})?)?)",
    re.IGNORECASE,
)
_STAMP = re.compile(r"([0-9]{8}|[0-9]{1,4}[-./][0-9]{1,2}[-./][0-9]{1,4})((?:[T ].*)?)", re.DOTALL)
_FRACTION = re.compile(r"[.,]([0-9]{1,9})")
_EPOCH = re.compile(r"[+-]?[0-9]{1,19}(?:\.[0-9]*)?")


class Timestamp(NamedTuple):
    """UNIX seconds where `zoned`, else wall time of the input's clock; and the milliseconds."""

    seconds: int
    zoned: bool
    msc: int = 0


def parse(text: str) -> Timestamp:
    """Return the time of a text, cut to milliseconds.

    Raises:
        BadRow: the text is no timestamp.
    """
    text = text.strip()
    if not text:
        raise BadRow("missing_field")
    match = _STAMP.fullmatch(text)
    try:
        if match is None:
            return parse_epoch(text)
        seconds, zone_s = _rest(match[2])
        day = _DAYS[match[1]]
        return Timestamp(day + seconds - (zone_s or 0), zone_s is not None, _fraction(match[2]))
    except ValueError:
        raise BadRow("bad_time") from None


def parse_epoch(text: str) -> Timestamp:
    """Return the time of an epoch in digits.

    Raises:
        ValueError: the text is no number.
    """
    if not _EPOCH.fullmatch(text):
        raise ValueError("no epoch")
    whole, _, fraction = text.partition(".")
    seconds, msc = split_epoch(int(whole))
    is_in_s = abs(int(whole)) < MILLISECONDS_FROM
    return Timestamp(seconds, False, int(f"{fraction:0<3.3}") if is_in_s else msc)


def parse_value(value: Any) -> Timestamp:
    """Return the time of a JSON value: a number is an epoch, a text a timestamp.

    Raises:
        BadRow: the value is neither.
    """
    if isinstance(value, str):
        return parse(value)
    if value is None:
        raise BadRow("missing_field")
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < EPOCH_MAX:
        raise BadRow("bad_time")
    seconds, msc = split_epoch(value)
    return Timestamp(seconds, False, msc)


def from_epoch(epoch: float) -> int:
    """Return the seconds of an epoch; its size shows s, ms or µs."""
    size = abs(epoch)
    unit = 1 if size < MILLISECONDS_FROM else 1000 if size < MICROSECONDS_FROM else 1_000_000
    return int(epoch // unit)


def split_epoch(epoch: float) -> tuple[int, int]:
    """Return the seconds of an epoch and the remaining milliseconds."""
    size = abs(epoch)
    if size >= MICROSECONDS_FROM:
        return divmod(int(epoch // 1000), 1000)
    if size >= MILLISECONDS_FROM:
        return divmod(int(epoch // 1), 1000)
    # 1398902400.043 is a little less than that in binary.
    return divmod(int(round(epoch * 1000, 3) // 1), 1000)


def read_texts(texts: Sequence[str]) -> tuple[list[int], bool]:
    """Return the seconds of a column of timestamps, and whether they are zoned.

    Raises:
        ValueError: the texts are not alike, or one is no timestamp; `parse` finds it.
    """
    sample = texts[0]
    if sample.isdigit():
        return _read_epochs(parse_epochs(texts)), False
    width = max(sample.find(" "), sample.find("T"))
    if width < 0:
        return list(map(_DAYS.__getitem__, texts)), False
    days = map(_DAYS.__getitem__, map(itemgetter(slice(width)), texts))
    return _add_times(days, list(map(itemgetter(slice(width, None)), texts)))


def read_split(dates: Sequence[str], times: Sequence[str]) -> tuple[list[int], bool]:
    """Return the seconds of a column of dates and one of times of day, and whether they are zoned.

    Raises:
        ValueError: as `read_texts`.
    """
    return _add_times(map(_DAYS.__getitem__, dates), times, before=" ")


def are_texts(values: Sequence[Any]) -> bool:
    """Return whether JSON values are all texts; if not, they are all numbers.

    Raises:
        ValueError: they are neither.
    """
    types = set(map(type, values))
    if types != {str} and not types <= {int, float}:
        raise ValueError("neither numbers nor texts")
    return types == {str}


def read_values(values: Sequence[Any]) -> tuple[list[int], bool]:
    """Return the seconds of a column of JSON values, and whether they are zoned.

    Raises:
        ValueError: the values are neither all numbers nor all texts, or one is no timestamp.
    """
    if are_texts(values):
        return read_texts(values)
    return _read_epochs(values), False


def parse_epochs(texts: Sequence[str]) -> list[int]:
    """Return the epochs of a column of digits in any unit.

    Raises:
        ValueError: a text is no plain epoch; a short one may be a date.
    """
    joined = ",".join(texts)
    epochs: list[int] = orjson.loads(f"[{joined}]")
    if set(map(type, epochs)) != {int} or len(epochs) != len(texts):
        raise ValueError("not plain epochs")
    if min(epochs) < NINE_DIGITS:
        raise ValueError("dates without separators, or too early to decide")
    return epochs


def _read_epochs(epochs: Sequence[Any]) -> list[int]:
    least, most = min(epochs), max(epochs)
    if set(map(type, epochs)) == {int} and least >= 0:
        if most < MILLISECONDS_FROM:
            return list(epochs)
        if least >= MILLISECONDS_FROM and most < MICROSECONDS_FROM:
            return [epoch // 1000 for epoch in epochs]
    if max(-least, most) >= EPOCH_MAX:
        raise ValueError("beyond all epochs")
    return list(map(from_epoch, epochs))


def _add_times(
    days: Iterable[int], times: Sequence[str], before: str = ""
) -> tuple[list[int], bool]:
    zoned = _rest(before + times[0])[1] is not None
    return list(map(add, days, map(_TIMES[zoned, before].__getitem__, times))), zoned


def _rest(text: str) -> tuple[int, int | None]:
    if not text:
        return 0, None
    match = _REST.fullmatch(text)
    if match is None:
        raise ValueError("no time of day")
    hour, minute, second = (
        int(part or 0) for part in match.group(*((1, 2, 3) if match[1] else (4, 5, 6)))
    )
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("no time of day")
    return hour * HOUR + minute * MINUTE + second, _zone(match) if match[7] else None


def _fraction(text: str) -> int:
    match = _FRACTION.search(text)
    return int(f"{match[1]:0<3.3}") if match else 0


def _zone(match: re.Match[str]) -> int:
    seconds = int(match[9] or 0) * HOUR + int(match[10] or 0) * MINUTE
    if seconds > OFFSET_MAX:
        raise ValueError("no zone")
    return -seconds if match[8] == "-" else seconds


class _Days(dict[str, int]):
    def __missing__(self, text: str) -> int:
        match = _DATE.fullmatch(text)
        if match is None:
            raise ValueError("no date")
        year, month, day = (
            match.group(1, 3, 4)
            if match[1]
            else match.group(7, 6, 5)
            if match[5]
            else match.group(8, 9, 10)
        )
        seconds = (date(int(year), int(month), int(day)) - EPOCH_DAY).days * DAY
        return _cache(self, text, seconds)


class _Times(dict[str, int]):
    def __init__(self, zoned: bool, before: str) -> None:
        super().__init__()
        self._zoned = zoned
        self._before = before

    def __missing__(self, text: str) -> int:
        seconds, zone_s = _rest(self._before + text)
        if (zone_s is not None) != self._zoned:
            raise ValueError("some timestamps have a zone, others do not")
        return _cache(self, text, seconds - (zone_s or 0))


def _cache(memory: dict[str, int], text: str, seconds: int) -> int:
    if len(text) > CACHED_LENGTH_MAX:
        return seconds
    if len(memory) >= CACHE_MAX:
        memory.clear()
    memory[text] = seconds
    return seconds


_DAYS = _Days()
_TIMES = {(zoned, before): _Times(zoned, before) for zoned in (False, True) for before in ("", " ")}
