"""Backdated days: days that were past their retention when first written."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import apsw

from gfil.clocks import Bucket
from gfil.store.engine import connection
from gfil.store.retention.rules import NUMBERS, TICKS_NUMBER, WHATS, cutoffs, read_rules
from gfil.store.symbols import SERIES_PER_SYMBOL, Symbol
from gfil.timeframes import DAY, HOUR

RECEIVED_FOR_S = 48 * HOUR


def days_of(times: Sequence[int]) -> list[int]:
    """Return the first seconds of the UTC days in which ascending times lie."""
    days, at = [], 0
    while at < len(times):
        days.append(times[at] - times[at] % DAY)
        at = bisect_left(times, days[-1] + DAY, at)
    return days


HELD_CANDLES = """
SELECT wanted.value
FROM carray(:days) AS wanted
WHERE EXISTS (
    SELECT 1 FROM candle
    WHERE series = :series AND time >= wanted.value AND time < wanted.value + 86400
)
"""
HELD_TICKS = """
SELECT wanted.value
FROM carray(:days) AS wanted
WHERE EXISTS (
    SELECT 1 FROM tick
    WHERE symbol_id = :id
      AND time_msc >= wanted.value * 1000 AND time_msc < (wanted.value + 86400) * 1000
)
"""


def held_days(db: apsw.Connection, symbol: Symbol, number: int, days: Sequence[int]) -> set[int]:
    """Return those of some days that hold rows of a timeframe's number, or ticks."""
    if not days:
        return set()
    sql = HELD_TICKS if number == TICKS_NUMBER else HELD_CANDLES
    bindings = {"id": symbol.id} if number == TICKS_NUMBER else {"series": symbol.series(number)}
    wanted = bindings | {"days": apsw.carray(array("q", days))}
    return {day for (day,) in connection.query_all(db, sql, wanted)}


def find_backdated(
    db: apsw.Connection, symbol: Symbol, what: str, times: Sequence[int], now: float
) -> tuple[int, ...]:
    """Return the days of ascending times that are older than they are kept, and hold none yet."""
    if times[0] >= now - DAY or now == float("inf"):  # nothing is kept shorter than a day
        return ()
    limit = cutoffs(read_rules(db, symbol), int(now))[what]
    days = days_of(times[: bisect_left(times, limit)])
    return tuple(sorted(set(days) - held_days(db, symbol, NUMBERS[what], days)))


RECORD_BACKDATED = "INSERT INTO backdated_day (series, day) VALUES (?, ?) ON CONFLICT DO NOTHING"
RECORD_RECEIVED = """
INSERT INTO received_day (symbol_id, day, time)
VALUES (?, ?, ?)
ON CONFLICT (symbol_id, day) DO UPDATE SET time = excluded.time WHERE time < excluded.time
"""


def record_days(
    db: apsw.Connection,
    symbol: Symbol,
    what: str,
    imported: Sequence[int],
    spans: Iterable[Bucket],
    now: float,
) -> None:
    """Remember which days rows have come for by `now`; in the transaction that stores them.

    `imported` are those that `find_imported` told, `spans` all in which rows are new.
    """
    if now == float("inf"):
        return
    if imported:
        series = symbol.series(NUMBERS[what])
        db.executemany(RECORD_BACKDATED, ((series, day) for day in imported))
    hour = int(now) - int(now) % HOUR
    days = {day for start, stop in spans for day in range(start - start % DAY, stop, DAY)}
    db.executemany(RECORD_RECEIVED, ((symbol.id, day, hour) for day in sorted(days)))


def spans_of_days(times: Sequence[int]) -> list[Bucket]:
    """Return the UTC days in which ascending times lie, as spans."""
    return [Bucket(day, day + DAY) for day in days_of(times)]


BACKDATED = """
SELECT series, day
FROM backdated_day
WHERE series >= :first AND series < :after
ORDER BY series, day
"""


class BackdatedDays(NamedTuple):
    """Days of a symbol and timeframe, or `ticks`, kept because they were old when they came."""

    symbol: str
    tf: str
    days: int
    first: int
    last: int


def list_backdated(db: apsw.Connection, symbol: Symbol, now: int) -> list[BackdatedDays]:
    """Return the imported days of a symbol that are past their retention, counted from `now`.

    Days of which nothing is held any more do not count.
    """
    limits = cutoffs(read_rules(db, symbol), now)
    marked = _read_marked(db, symbol)
    found = []
    for what in WHATS:
        old = [day for day in marked.get(NUMBERS[what], ()) if day < limits[what]]
        days = held_days(db, symbol, NUMBERS[what], old)
        if days:
            found.append(BackdatedDays(symbol.name, what, len(days), min(days), max(days)))
    return found


COUNT_BACKDATED = """
SELECT COUNT(*), MIN(day), MAX(day)
FROM backdated_day
WHERE series = :series AND day < :limit
"""


def count_backdated(db: apsw.Connection, symbol: Symbol, now: int) -> list[BackdatedDays]:
    """Return quickly what `list_imported` does, and days that hold nothing since the last prune."""
    limits = cutoffs(read_rules(db, symbol), now)
    found = []
    for what in WHATS:
        wanted = {"series": symbol.series(NUMBERS[what]), "limit": limits[what]}
        days, first, last = connection.query_one(db, COUNT_BACKDATED, wanted)
        if days:
            found.append(BackdatedDays(symbol.name, what, days, first, last))
    return found


def _read_marked(db: apsw.Connection, symbol: Symbol) -> dict[int, list[int]]:
    bounds = {"first": symbol.series(0), "after": symbol.series(SERIES_PER_SYMBOL)}
    marked: dict[int, list[int]] = {}
    for series, day in connection.query_all(db, BACKDATED, bounds):
        marked.setdefault(series % SERIES_PER_SYMBOL, []).append(day)
    return marked


DROP_BACKDATED = "DELETE FROM backdated_day WHERE series = ? AND day = ?"


def list_empty_days(db: apsw.Connection, symbol: Symbol) -> list[tuple[int, int]]:
    """Return the imported days, each with its series, of which nothing is held any more."""
    return [
        (symbol.series(number), day)
        for number, days in _read_marked(db, symbol).items()
        for day in sorted(set(days) - held_days(db, symbol, number, days))
    ]


def drop_empty_days(db: apsw.Connection, symbol: Symbol) -> None:
    """Forget that days were imported of which nothing is held any more; inside a transaction."""
    db.executemany(DROP_BACKDATED, list_empty_days(db, symbol))
