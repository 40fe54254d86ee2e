"""Gaps: runs of missing minutes in which a symbol usually trades."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

import apsw

from gfil.errors import BadParameter
from gfil.store.candles import expected_minutes
from gfil.store.candles.expected_minutes import Minutes, ReadMinutes
from gfil.store.symbols import Symbol
from gfil.timeframes import MINUTE, W1, WEEK

MINUTES_MIN = 5
ENDED_S = 4 * WEEK  # a symbol without data for longer has ended
NEWEST_WEEKS = 12  # shorter than any three calendar months, the default retention of M1
WEEKS_CACHED_MAX = 32  # of minutes in memory, 10 kB each: each week is compared with eight others


class Gap(NamedTuple):
    """Missing minutes `[start, stop)`."""

    start: int
    stop: int

    @property
    def minutes(self) -> int:
        """Number of missing minutes."""
        return (self.stop - self.start) // MINUTE

    def named(self, symbol: str) -> dict[str, Any]:
        """Return the gap as a JSON object with the name of its symbol."""
        return {"symbol": symbol, "from": self.start, "to": self.stop, "minutes": self.minutes}


def find(
    db: apsw.Connection,
    symbol: Symbol,
    start: int | None = None,
    stop: int | None = None,
    *,
    now: float,
) -> Iterator[Gap]:
    """Yield the gaps of a symbol in `[start, stop)`, oldest first; by default all of them.

    A minute is missing if `expected_minutes` expects it and the symbol has no M1 there. The search
    starts at the first M1 and ends at the minute of `now`, or at the last M1 if the symbol has
    ended. Gaps that extend past the range are cut at its ends.

    Each week is one short read, also while the caller pauses. `db` must be in no transaction.

    Raises:
        BadParameter: `start` is after `stop`.
    """
    if start is not None and stop is not None and start > stop:
        raise BadParameter("from is after to")
    span = expected_minutes.read_span(db, symbol)
    if span is None:
        return iter(())
    read = _cache_weeks(partial(expected_minutes.read_minutes, db, symbol))
    first, last = span.start, span.stop if span.stop < now - ENDED_S else _whole_minute(now)
    if start is not None:
        first = max(first, -(-start // MINUTE) * MINUTE)
    if stop is not None:
        last = min(last, -(-stop // MINUTE) * MINUTE)
    last = max(first, last)
    return _join(
        gap
        for week in range(W1.floor(first), last, WEEK)
        for gap in _find(read, span, max(week, first), min(week + WEEK, last))
    )


def newest_from(db: apsw.Connection, symbol: Symbol, stop: int | None, now: float) -> int:
    """Return the start of the last 12 weeks before `stop`, `now` and the end of the M1."""
    ends = [_whole_minute(now), *([] if stop is None else [stop])]
    span = expected_minutes.read_span(db, symbol, weeks_max=0)
    return min([*ends, *([span.stop] if span else [])]) - NEWEST_WEEKS * WEEK


def _whole_minute(now: float) -> int:
    return int(now // MINUTE) * MINUTE


def _cache_weeks(read: ReadMinutes) -> ReadMinutes:
    # Each week is compared with eight others and read once for all of them.
    read_week: Callable[[int], Minutes] = lru_cache(WEEKS_CACHED_MAX)(
        lambda week: read(week, week + WEEK)
    )

    def read_cached(start: int, stop: int) -> Minutes:
        first = W1.floor(start)
        minutes = b"".join(map(read_week, range(first, stop, WEEK)))
        return minutes[(start - first) // MINUTE : (stop - first) // MINUTE]

    return read_cached


def _find(
    read: ReadMinutes, span: expected_minutes.MinuteSpan, start: int, stop: int
) -> Iterator[Gap]:
    for run in re.finditer(b"\x01+", expected_minutes.find_missing(read, span, start, stop)):
        yield Gap(start + run.start() * MINUTE, start + run.end() * MINUTE)


def _join(gaps: Iterator[Gap]) -> Iterator[Gap]:
    # Joins gaps that continue over the end of a week, and drops short ones.
    joined = Gap(0, 0)
    for gap in gaps:
        if gap.start == joined.stop:
            joined = Gap(joined.start, gap.stop)
            continue
        if joined.minutes >= MINUTES_MIN:
            yield joined
        joined = gap
    if joined.minutes >= MINUTES_MIN:
        yield joined
