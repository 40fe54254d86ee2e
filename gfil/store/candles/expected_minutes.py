"""Which minutes a symbol has, and which it usually has: at least half of the nearest 8 weeks do.

A market keeps the hours of some wall, which none but the market knows: seen in UTC they move when
its summer time begins and ends. So a minute is usual when the same minute of the week is so on each
of these walls: UTC, those with the summer times of America and of Europe, and the symbol's clock.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from heapq import nsmallest
from itertools import pairwise
from typing import NamedTuple

import apsw

from gfil import clocks
from gfil.clocks import UTC, WALL_REACH, Clock
from gfil.store.candles import derive
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, HOUR, M1, MINUTE, W1, WEEK

WEEKS = 8
WEEKS_MIN = 2  # of fewer nothing can be said
WALLS = ("America/New_York", "Europe/London")

# One byte for each minute of a range: 1 where it is so.
Minutes = bytes
Read = Callable[[int, int], Minutes]


class MinuteSpan(NamedTuple):
    """How far a symbol's M1 reach, `[start, stop)`, and on which walls they are compared.

    `weeks` are the starts of the weeks, UTC, that have any: the others tell nothing.
    """

    start: int
    stop: int
    weeks: Sequence[int]
    walls: Sequence[Clock]


HELD = "SELECT time FROM candle WHERE series = :series AND time >= :start AND time < :stop"


def read_minutes(db: apsw.Connection, symbol: Symbol, start: int, stop: int) -> Minutes:
    """Return which minutes of a range the symbol has M1 of."""
    held = bytearray((stop - start) // MINUTE)
    span = {"series": symbol.series(M1.number), "start": start, "stop": stop}
    for (time,) in connection.query_all(db, HELD, span):
        held[(time - start) // MINUTE] = 1
    return bytes(held)


HOURS = """
SELECT (time - :start) / 3600, COUNT(*)
FROM candle
WHERE series = :series AND time >= :start AND time < :stop
GROUP BY 1
"""


def count_hours(db: apsw.Connection, symbol: Symbol) -> dict[int, int]:
    """Return how many candles the last 8 weeks of a symbol have in each hour since 1970.

    Of the finest timeframe there is up to H1; none where there are only longer ones.
    """
    for timeframe in CHAIN:
        series = {"series": symbol.series(timeframe.number)}
        last = connection.query_one(db, derive.LAST, series)
        if last is not None and timeframe.intraday:
            start = (last[0] // HOUR + 1) * HOUR - WEEKS * WEEK
            span = {**series, "start": start, "stop": last[0] + 1}
            return {
                start // HOUR + hour: count for hour, count in connection.query_all(db, HOURS, span)
            }
    return {}


def read_span(
    db: apsw.Connection, symbol: Symbol, weeks_max: int | None = None
) -> MinuteSpan | None:
    """Return how far the M1 of a symbol reach, None where it has none.

    With `weeks_max` only the weeks from so many before the last M1 on are listed.
    """
    series = {"series": symbol.series(M1.number)}
    first, last = (
        connection.query_one(db, derive.FIRST, series),
        connection.query_one(db, derive.LAST, series),
    )
    if first is None:
        return None
    since = first if weeks_max is None else max(first, W1.floor(last[0]) - weeks_max * WEEK)
    walls = [*map(clocks.parse, WALLS), clocks.parse(symbol.clock)]
    weeks = [*_list_weeks(db, symbol, since)]
    return MinuteSpan(_whole(first), _whole(last[0]) + MINUTE, weeks, [*dict.fromkeys(walls)])


NEXT = "SELECT time FROM candle WHERE series = :series AND time >= :since ORDER BY time LIMIT 1"


def _list_weeks(db: apsw.Connection, symbol: Symbol, since: int) -> Iterator[int]:
    series = symbol.series(M1.number)
    while (time := connection.query_one(db, NEXT, {"series": series, "since": since})) is not None:
        week = W1.floor(time)
        yield week
        since = week + WEEK


def expected(held: Read, span: MinuteSpan, start: int, stop: int) -> Minutes:
    """Return which minutes of a range the symbol usually has, whether or not it has them.

    `held` tells of any range which minutes it has. The eight weeks are the nearest of those that
    have any M1, the minute's own apart; of each counts what lies between the first and the last M1.
    """
    cuts = {start, stop, *range(W1.floor(start) + WEEK, stop, WEEK)}
    for wall in span.walls:
        changes = (_whole(segment.start) for segment in wall.segments(start, stop))
        cuts |= {change for change in changes if change > start}
    pieces = pairwise(sorted(cuts))
    return b"".join(_expected(held, span, first, last) for first, last in pieces)


def find_missing(held: Read, span: MinuteSpan, start: int, stop: int) -> Minutes:
    """Return which minutes of a range the symbol usually has, but does not have."""
    wanted = _number(expected(held, span, start, stop)) & ~_number(held(start, stop))
    return wanted.to_bytes((stop - start) // MINUTE, "little")


def _expected(held: Read, span: MinuteSpan, start: int, stop: int) -> Minutes:
    # Of one week, and while no clock changes.
    shifts = [week - W1.floor(start) for week in _nearest(span.weeks, W1.floor(start))]
    length = (stop - start) // MINUTE
    if len(shifts) < WEEKS_MIN:
        return bytes(length)
    low = start + min(shifts[0], 0) - WALL_REACH
    high = stop + max(shifts[-1], 0) + WALL_REACH
    moving = (wall for wall in span.walls if wall.segment(low).stop < high)
    agreed = -1
    for wall in (UTC, *moving):  # the others show what UTC does
        ahead = _whole(wall.offset(start))
        votes = sum(_seen(held, span, wall, start + ahead + shift, length) for shift in shifts)
        agreed &= _number(votes.to_bytes(length, "little").translate(IS_EXPECTED))
    return agreed.to_bytes(length, "little")


def _nearest(weeks: Sequence[int], week: int) -> list[int]:
    at = bisect_left(weeks, week)
    around = weeks[max(at - WEEKS, 0) : at + WEEKS + 1]
    others = (other for other in around if other != week)
    return sorted(nsmallest(WEEKS, others, key=lambda other: abs(other - week)))


# What a minute of one week adds to the sum over all: 16 where it can be told, 1 more where there is
# a candle. Minutes are added a week at a time, as one number: eight weeks never fill a byte.
TOLD = bytes.maketrans(b"\0\1", b"\x10\x11")
IS_EXPECTED = bytes(
    votes >> 4 >= WEEKS_MIN and 2 * (votes & 15) >= votes >> 4 for votes in range(256)
)


def _number(minutes: Minutes) -> int:
    return int.from_bytes(minutes, "little")


def _whole(seconds: int) -> int:
    return seconds - seconds % MINUTE  # the offsets of some zones were not, long ago


def _seen(held: Read, span: MinuteSpan, wall: Clock, start: int, length: int) -> int:
    # Of so many minutes of the wall. An hour that never was tells nothing, one that was twice has
    # what either had.
    seen, stop = 0, start + length * MINUTE
    for segment in wall.segments(start - WALL_REACH, stop + WALL_REACH):
        ahead = _whole(segment.offset)
        first = max(start - ahead, _whole(segment.start), span.start)
        last = min(stop - ahead, _whole(segment.stop), span.stop)
        if first < last:
            place = (first + ahead - start) // MINUTE
            seen |= _number(held(first, last).translate(TOLD)) << 8 * place
    return seen
