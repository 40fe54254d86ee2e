"""Gaps: runs of minutes that a symbol usually has and that are missing."""

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
ENDED_S = 4 * WEEK  # a symbol that has brought nothing for longer has ended
NEWEST_WEEKS = 12  # no three months, for which M1 are usually kept, are shorter
WEEKS_HELD = 32  # of minutes in memory, 10 kB each: more than one week is compared with


class Gap(NamedTuple):
    """Minutes `[start, stop)` that are missing."""

    start: int
    stop: int

    @property
    def minutes(self) -> int:
        """How many they are."""
        return (self.stop - self.start) // MINUTE

    def named(self, symbol: str) -> dict[str, Any]:
        """Return it in the names of the contract."""
        return {"symbol": symbol, "from": self.start, "to": self.stop, "minutes": self.minutes}


def find(
    db: apsw.Connection,
    symbol: Symbol,
    start: int | None = None,
    stop: int | None = None,
    *,
    now: float,
) -> Iterator[Gap]:
    """Yield the gaps of a symbol in `[start, stop)`, oldest first; all there are unless told.

    A minute is missing when `coverage.usual` says that the symbol usually has it, from its first M1
    up to the minute that `now` is in, or up to its last where that is more than four weeks ago. A
    range cuts the gaps that reach over its ends.

    Every week is a short read of its own, also while the caller takes its time. `db` must be in no
    transaction, then.

    Raises:
        BadParameter: `start` is after `stop`.
    """
    if start is not None and stop is not None and start > stop:
        raise BadParameter("from is after to")
    span = expected_minutes.read_span(db, symbol)
    if span is None:
        return iter(())
    held = _by_week(partial(expected_minutes.read_minutes, db, symbol))
    first, last = span.start, span.stop if span.stop < now - ENDED_S else _whole_minute(now)
    if start is not None:
        first = max(first, -(-start // MINUTE) * MINUTE)
    if stop is not None:
        last = min(last, -(-stop // MINUTE) * MINUTE)
    last = max(first, last)
    return _join(
        gap
        for week in range(W1.floor(first), last, WEEK)
        for gap in _find(held, span, max(week, first), min(week + WEEK, last))
    )


def newest_from(db: apsw.Connection, symbol: Symbol, stop: int | None, now: float) -> int:
    """Return where the last 12 weeks begin, of the symbol's M1 or of what ends at `stop`."""
    ends = [_whole_minute(now), *([] if stop is None else [stop])]
    span = expected_minutes.read_span(db, symbol, weeks_max=0)
    return min([*ends, *([span.stop] if span else [])]) - NEWEST_WEEKS * WEEK


def _whole_minute(now: float) -> int:
    return int(now // MINUTE) * MINUTE


def _by_week(read: ReadMinutes) -> ReadMinutes:
    # Each week is compared with eight others: it is read once for all of them.
    week_of: Callable[[int], Minutes] = lru_cache(WEEKS_HELD)(lambda week: read(week, week + WEEK))

    def held(start: int, stop: int) -> Minutes:
        first = W1.floor(start)
        minutes = b"".join(map(week_of, range(first, stop, WEEK)))
        return minutes[(start - first) // MINUTE : (stop - first) // MINUTE]

    return held


def _find(
    held: ReadMinutes, span: expected_minutes.MinuteSpan, start: int, stop: int
) -> Iterator[Gap]:
    for run in re.finditer(b"\x01+", expected_minutes.find_missing(held, span, start, stop)):
        yield Gap(start + run.start() * MINUTE, start + run.end() * MINUTE)


def _join(gaps: Iterator[Gap]) -> Iterator[Gap]:
    # A gap may reach over the end of a week; only then is it known how long it is.
    whole = Gap(0, 0)
    for gap in gaps:
        if gap.start == whole.stop:
            whole = Gap(whole.start, gap.stop)
            continue
        if whole.minutes >= MINUTES_MIN:
            yield whole
        whole = gap
    if whole.minutes >= MINUTES_MIN:
        yield whole
