"""Expected minutes: those that a symbol has in at least half of the nearest 8 weeks.

A market keeps the hours of an unknown zone, so its hours in UTC move when summer time begins and
ends there. A minute is expected if it is usual by each of these wall clocks: UTC, zones with the
summer times of America and Europe, and the symbol's clock.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from heapq import nsmallest
from itertools import pairwise
from typing import NamedTuple

import apsw

from gfil import clocks
from gfil.clocks import UTC, WALL_REACH, Clock
from gfil.store.candles import extent
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, HOUR, M1, MINUTE, W1, WEEK

WEEKS = 8
WEEKS_MIN = 2  # with fewer, no minute is expected
WALLS = ("America/New_York", "Europe/London")

# One byte for each minute of a range: 1 for true.
Minutes = bytes
ReadMinutes = Callable[[int, int], Minutes]


class MinuteSpan(NamedTuple):
    """The range of a symbol's M1, `[start, stop)`, and the wall clocks to compare weeks on.

    `weeks` are the starts of the UTC weeks that have any M1.
    """

    start: int
    stop: int
    weeks: Sequence[int]
    walls: Sequence[Clock]


READ_MINUTES = """
SELECT time
FROM candle
WHERE series = :series AND time >= :start AND time < :stop
"""


def read_minutes(db: apsw.Connection, symbol: Symbol, start: int, stop: int) -> Minutes:
    """Return, for each minute of a range, whether the symbol has its M1."""
    found = bytearray((stop - start) // MINUTE)
    span = {"series": symbol.series(M1.number), "start": start, "stop": stop}
    for (time,) in connection.query_all(db, READ_MINUTES, span):
        found[(time - start) // MINUTE] = 1
    return bytes(found)


COUNT_HOURS = """
SELECT (time - :start) / 3600, COUNT(*)
FROM candle
WHERE series = :series AND time >= :start AND time < :stop
GROUP BY 1
"""


def count_hours(db: apsw.Connection, symbol: Symbol) -> dict[int, int]:
    """Return the number of candles in each hour (since 1970) of the last 8 weeks of a symbol.

    The candles are those of the finest timeframe up to H1; empty for a symbol without candles.
    """
    for timeframe in CHAIN:
        series = symbol.series(timeframe.number)
        last = extent.read_last_row(db, series)
        if last is not None and timeframe.intraday:
            start = (last.time // HOUR + 1) * HOUR - WEEKS * WEEK
            span = {"series": series, "start": start, "stop": last.time + 1}
            rows = connection.query_all(db, COUNT_HOURS, span)
            return {start // HOUR + hour: count for hour, count in rows}
    return {}


def read_span(
    db: apsw.Connection, symbol: Symbol, weeks_max: int | None = None
) -> MinuteSpan | None:
    """Return the range of a symbol's M1, or None if it has no M1.

    `weeks_max` limits the listed weeks to that number before the last M1.
    """
    series = symbol.series(M1.number)
    first, last = extent.read_first_time(db, series), extent.read_last_row(db, series)
    if first is None or last is None:
        return None
    since = first if weeks_max is None else max(first, W1.floor(last.time) - weeks_max * WEEK)
    walls = [*map(clocks.parse, WALLS), clocks.parse(symbol.clock)]
    weeks = [*_list_weeks(db, symbol, since)]
    return MinuteSpan(_whole(first), _whole(last.time) + MINUTE, weeks, [*dict.fromkeys(walls)])


def _list_weeks(db: apsw.Connection, symbol: Symbol, since: int) -> Iterator[int]:
    series = symbol.series(M1.number)
    while (time := extent.read_first_time_from(db, series, since)) is not None:
        week = W1.floor(time)
        yield week
        since = week + WEEK


def expected(read: ReadMinutes, span: MinuteSpan, start: int, stop: int) -> Minutes:
    """Return, for each minute of a range, whether it is expected.

    `read` returns the minutes that the symbol has in any range. The eight weeks are the nearest
    other weeks that have any M1; minutes before the first or after the last M1 do not count.
    """
    cuts = {start, stop, *range(W1.floor(start) + WEEK, stop, WEEK)}
    for wall in span.walls:
        changes = (_whole(segment.start) for segment in wall.segments(start, stop))
        cuts |= {change for change in changes if change > start}
    parts = pairwise(sorted(cuts))
    return b"".join(_expected(read, span, first, last) for first, last in parts)


def find_missing(read: ReadMinutes, span: MinuteSpan, start: int, stop: int) -> Minutes:
    """Return, for each minute of a range, whether it is expected and missing."""
    missing = _number(expected(read, span, start, stop)) & ~_number(read(start, stop))
    return missing.to_bytes((stop - start) // MINUTE, "little")


def _expected(read: ReadMinutes, span: MinuteSpan, start: int, stop: int) -> Minutes:
    # The range lies within one week and contains no clock change.
    shifts = [week - W1.floor(start) for week in _nearest(span.weeks, W1.floor(start))]
    length = (stop - start) // MINUTE
    if len(shifts) < WEEKS_MIN:
        return bytes(length)
    low = start + min(shifts[0], 0) - WALL_REACH
    high = stop + max(shifts[-1], 0) + WALL_REACH
    moving = (wall for wall in span.walls if wall.segment(low).stop < high)
    agreed = -1
    for wall in (UTC, *moving):  # the other wall clocks vote as UTC does
        ahead = _whole(wall.offset(start))
        votes = sum(
            _count_votes(read, span, wall, start + ahead + shift, length) for shift in shifts
        )
        agreed &= _number(votes.to_bytes(length, "little").translate(IS_EXPECTED))
    return agreed.to_bytes(length, "little")


def _nearest(weeks: Sequence[int], week: int) -> list[int]:
    at = bisect_left(weeks, week)
    around = weeks[max(at - WEEKS, 0) : at + WEEKS + 1]
    others = (other for other in around if other != week)
    return sorted(nsmallest(WEEKS, others, key=lambda other: abs(other - week)))


# The votes of one week for a minute: 16 if the week counts, 1 more if the minute has a candle.
# Weeks are added as big integers, one byte for each minute: eight weeks never overflow a byte.
VOTES = bytes.maketrans(b"\0\1", b"\x10\x11")
IS_EXPECTED = bytes(
    votes >> 4 >= WEEKS_MIN and 2 * (votes & 15) >= votes >> 4 for votes in range(256)
)


def _number(minutes: Minutes) -> int:
    return int.from_bytes(minutes, "little")


def _whole(seconds: int) -> int:
    return seconds - seconds % MINUTE  # historic zone offsets have odd seconds


def _count_votes(read: ReadMinutes, span: MinuteSpan, wall: Clock, start: int, length: int) -> int:
    # Votes for `length` minutes of wall time. An hour skipped by a clock change does not vote; an
    # hour that occurs twice votes for its minutes of either time.
    votes, stop = 0, start + length * MINUTE
    for segment in wall.segments(start - WALL_REACH, stop + WALL_REACH):
        ahead = _whole(segment.offset)
        first = max(start - ahead, _whole(segment.start), span.start)
        last = min(stop - ahead, _whole(segment.stop), span.stop)
        if first < last:
            index = (first + ahead - start) // MINUTE
            votes |= _number(read(first, last).translate(VOTES)) << 8 * index
    return votes
