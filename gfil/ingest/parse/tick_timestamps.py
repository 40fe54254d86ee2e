"""Timestamps of ticks to seconds and milliseconds, a whole column in one call."""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import repeat
from operator import floordiv, itemgetter, mod
from typing import Any, NamedTuple

from gfil.ingest.parse import timestamps
from gfil.ingest.parse.timestamps import MICROSECONDS_FROM, MILLISECONDS_FROM
from gfil.ingest.refusals import BadRow

CACHE_MAX = 4096  # texts after the seconds, such as `.043Z`
REST_LENGTH_MAX = 24  # characters of such a text

_CLOCK_FACE = re.compile(r"[0-9:]+")


class Column(NamedTuple):
    """Times as equally long columns; `zoned` holds for all."""

    seconds: list[int]
    zoned: bool
    msc: list[int]


def read_texts(texts: Sequence[str]) -> Column:
    """Return the times of a column of timestamps.

    Raises:
        ValueError: the texts are not alike, or one is no timestamp; `timestamps.parse` finds it.
    """
    sample = texts[0]
    if sample.isdigit():
        return _read_epochs(timestamps.parse_epochs(texts))
    width = max(sample.find(" "), sample.find("T"))
    if width < 0:
        seconds, zoned = timestamps.read_texts(texts)
        return Column(seconds, zoned, [0] * len(texts))
    dates = list(map(itemgetter(slice(width)), texts))
    between = set(map(itemgetter(slice(width, width + 1)), texts))
    if not between <= {" ", "T"}:
        raise ValueError("dates of different lengths")
    return read_split(dates, list(map(itemgetter(slice(width + 1, None)), texts)))


def read_split(dates: Sequence[str], times: Sequence[str]) -> Column:
    """Return the times of a column of dates and one of times of day.

    Raises:
        ValueError: as `read_texts`.
    """
    face = _CLOCK_FACE.match(times[0])
    if face is None:
        raise ValueError("no time of day")
    # Texts up to the second repeat and are cached; the rest has a thousand spellings at most.
    faces = list(map(itemgetter(slice(face.end())), times))
    if not "".join(faces).replace(":", "").isdigit():
        raise ValueError("times of day of different lengths")
    seconds, _ = timestamps.read_split(dates, faces)
    rests = list(map(itemgetter(slice(face.end(), None)), times))
    known = _parse_rests(set(rests))
    zones = {zone for zone, _ in known.values()}
    if None in zones and len(zones) > 1:
        raise ValueError("some timestamps have a zone, others do not")
    if zones == {None} or zones == {0}:
        return Column(seconds, zones == {0}, [known[rest][1] for rest in rests])
    offsets = (known[rest][0] or 0 for rest in rests)
    shifted = [second + offset for second, offset in zip(seconds, offsets, strict=True)]
    return Column(shifted, True, [known[rest][1] for rest in rests])


def _parse_rests(rests: Collection[str]) -> dict[str, tuple[int | None, int]]:
    if max(map(len, rests)) > REST_LENGTH_MAX:
        raise ValueError("the text after the second is too long")
    return {rest: _parse_rest(rest) for rest in rests}


@lru_cache(CACHE_MAX)
def _parse_rest(rest: str) -> tuple[int | None, int]:
    try:
        timestamp = timestamps.parse(f"1970-01-01 00:00:00{rest}")
    except BadRow:
        raise ValueError("the text after the second is no fraction and no zone") from None
    return timestamp.seconds if timestamp.zoned else None, timestamp.msc


def read_values(values: Sequence[Any]) -> Column:
    """Return the times of a column of JSON values.

    Raises:
        ValueError: the values are neither all numbers nor all texts, or one is no timestamp.
    """
    if timestamps.are_texts(values):
        return read_texts(values)
    return _read_epochs(values)


def _read_epochs(epochs: Sequence[Any]) -> Column:
    in_msc = MILLISECONDS_FROM <= min(epochs) <= max(epochs) < MICROSECONDS_FROM
    if in_msc and set(map(type, epochs)) == {int}:
        seconds = list(map(floordiv, epochs, repeat(1000)))
        return Column(seconds, False, list(map(mod, epochs, repeat(1000))))
    if not all(-timestamps.EPOCH_MAX < epoch < timestamps.EPOCH_MAX for epoch in epochs):
        raise ValueError("beyond all epochs")
    split = list(map(timestamps.split_epoch, epochs))
    return Column([seconds for seconds, _ in split], False, [msc for _, msc in split])
