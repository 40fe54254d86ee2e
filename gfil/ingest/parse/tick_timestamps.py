"""Stamps of ticks, a column at once, to seconds and the milliseconds beside them."""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import repeat
from operator import floordiv, itemgetter, mod
from typing import Any, NamedTuple

from gfil.ingest.parse import timestamps
from gfil.ingest.parse.timestamps import MICROSECONDS_FROM, MILLISECONDS_FROM
from gfil.ingest.refusals import BadRow

REMEMBERED_MAX = 4096  # spellings of what follows a second
REST_LENGTH_MAX = 24  # characters of each

_CLOCK_FACE = re.compile(r"[0-9:]+")


class Column(NamedTuple):
    """Moments as equally long columns; `zoned` is that of them all."""

    seconds: list[int]
    zoned: bool
    msc: list[int]


def read_texts(texts: Sequence[str]) -> Column:
    """Return the moments of a column of stamps.

    Raises:
        ValueError: they are not all alike, or some are none; `moments.parse` tells which.
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
    """Return the moments of a column of dates and one of times of day.

    Raises:
        ValueError: they are not all alike, or some are none; `moments.parse` tells which.
    """
    face = _CLOCK_FACE.match(times[0])
    if face is None:
        raise ValueError("no time of day")
    # The second repeats and is remembered, what follows it has a thousand spellings at most.
    faces = list(map(itemgetter(slice(face.end())), times))
    if not "".join(faces).replace(":", "").isdigit():
        raise ValueError("times of day of different lengths")
    seconds, _ = timestamps.read_split(dates, faces)
    rests = list(map(itemgetter(slice(face.end(), None)), times))
    known = _parse_rests(set(rests))
    zones = {zone for zone, _ in known.values()}
    if None in zones and len(zones) > 1:
        raise ValueError("some stamps have a zone, some have none")
    if zones == {None} or zones == {0}:
        return Column(seconds, zones == {0}, [known[rest][1] for rest in rests])
    offsets = (known[rest][0] or 0 for rest in rests)
    shifted = [second + offset for second, offset in zip(seconds, offsets, strict=True)]
    return Column(shifted, True, [known[rest][1] for rest in rests])


def _parse_rests(rests: Collection[str]) -> dict[str, tuple[int | None, int]]:
    if max(map(len, rests)) > REST_LENGTH_MAX:
        raise ValueError("what follows the second is too long")
    return {rest: _parse_rest(rest) for rest in rests}


@lru_cache(REMEMBERED_MAX)
def _parse_rest(rest: str) -> tuple[int | None, int]:
    try:
        moment = timestamps.parse(f"1970-01-01 00:00:00{rest}")
    except BadRow:
        raise ValueError("what follows the second is no fraction and no zone") from None
    return moment.seconds if moment.zoned else None, moment.msc


def read_values(values: Sequence[Any]) -> Column:
    """Return the moments of a column of JSON values.

    Raises:
        ValueError: they are neither all numbers nor all texts, or some are none.
    """
    kinds = set(map(type, values))
    if kinds == {str}:
        return read_texts(values)
    if not kinds <= {int, float}:
        raise ValueError("neither numbers nor texts")
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
