"""Backdated days (past their retention when first written), and days that received rows lately."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import apsw

from gfil.clocks import Bucket
from gfil.store.engine import connection
from gfil.store.retention.rules import NUMBERS, SUBJECTS, TICKS_NUMBER, cutoffs, read_rules
from gfil.store.symbols import SERIES_PER_SYMBOL, Symbol
from gfil.timeframes import DAY, HOUR

RECEIVED_FOR_S = 48 * HOUR


def days_of(times: Sequence[int]) -> list[int]:
    """Return the UTC days of ascending times, as their first seconds."""
    days, at = [], 0
    while at < len(times):
        days.append(times[at] - times[at] % DAY)
        at = bisect_left(times, days[-1] + DAY, at)
    return days


DAYS_WITH_CANDLES = """
SELECT given.value
FROM carray(:days) AS given
WHERE EXISTS (
    SELECT 1
    FROM candle
    WHERE series = :series AND time >= given.value AND time < given.value + 86400
)
"""
DAYS_WITH_TICKS = """
SELECT given.value
FROM carray(:days) AS given
WHERE EXISTS (
    SELECT 1
    FROM tick
    WHERE symbol_id = :id
      AND time_msc >= given.value * 1000 AND time_msc < (given.value + 86400) * 1000
)
"""


def find_days_with_rows(
    db: apsw.Connection, symbol: Symbol, number: int, days: Sequence[int]
) -> set[int]:
    """Return the given days that have candles of a timeframe's number, or ticks."""
    if not days:
        return set()
    sql = DAYS_WITH_TICKS if number == TICKS_NUMBER else DAYS_WITH_CANDLES
    owner = {"id": symbol.id} if number == TICKS_NUMBER else {"series": symbol.series(number)}
    bindings = owner | {"days": apsw.carray(array("q", days))}
    return {day for (day,) in connection.query_all(db, sql, bindings)}


def find_backdated(
    db: apsw.Connection, symbol: Symbol, subject: str, times: Sequence[int], now: float
) -> tuple[int, ...]:
    """Return the days of ascending times that are past their retention and have no rows yet."""
    if times[0] >= now - DAY or now == float("inf"):  # the shortest retention is a day
        return ()
    limit = cutoffs(read_rules(db, symbol), int(now))[subject]
    days = days_of(times[: bisect_left(times, limit)])
    return tuple(sorted(set(days) - find_days_with_rows(db, symbol, NUMBERS[subject], days)))


RECORD_BACKDATED = """
INSERT INTO backdated_day (series, day)
VALUES (?, ?)
ON CONFLICT DO NOTHING
"""
RECORD_RECEIVED = """
INSERT INTO received_day (symbol_id, day, time)
VALUES (?, ?, ?)
ON CONFLICT (symbol_id, day) DO UPDATE
SET time = excluded.time
WHERE time < excluded.time
"""


def record_days(
    db: apsw.Connection,
    symbol: Symbol,
    subject: str,
    backdated: Sequence[int],
    spans: Iterable[Bucket],
    now: float,
) -> None:
    """Record the days that received rows at `now`; in the transaction that stores the rows.

    `backdated` is the result of `find_backdated`; `spans` contain all new rows.
    """
    if now == float("inf"):
        return
    if backdated:
        series = symbol.series(NUMBERS[subject])
        db.executemany(RECORD_BACKDATED, ((series, day) for day in backdated))
    hour = int(now) - int(now) % HOUR
    days = {day for start, stop in spans for day in range(start - start % DAY, stop, DAY)}
    db.executemany(RECORD_RECEIVED, ((symbol.id, day, hour) for day in sorted(days)))


def spans_of_days(times: Sequence[int]) -> list[Bucket]:
    """Return the UTC days of ascending times, as spans."""
    return [Bucket(day, day + DAY) for day in days_of(times)]


class BackdatedDays(NamedTuple):
    """The backdated days of a symbol and timeframe (or `ticks`): count, first and last day."""

    symbol: str
    tf: str
    days: int
    first: int
    last: int


def list_backdated(db: apsw.Connection, symbol: Symbol, now: int) -> list[BackdatedDays]:
    """Return the backdated days of a symbol with rows that are past their retention at `now`."""
    limits = cutoffs(read_rules(db, symbol), now)
    recorded = _read_recorded(db, symbol)
    found = []
    for subject in SUBJECTS:
        old = [day for day in recorded.get(NUMBERS[subject], ()) if day < limits[subject]]
        days = find_days_with_rows(db, symbol, NUMBERS[subject], old)
        if days:
            found.append(BackdatedDays(symbol.name, subject, len(days), min(days), max(days)))
    return found


COUNT_BACKDATED = """
SELECT COUNT(*), MIN(day), MAX(day)
FROM backdated_day
WHERE series = :series AND day < :limit
"""


def count_backdated(db: apsw.Connection, symbol: Symbol, now: int) -> list[BackdatedDays]:
    """Return `list_backdated` faster, but include days emptied since the last prune."""
    limits = cutoffs(read_rules(db, symbol), now)
    found = []
    for subject in SUBJECTS:
        bindings = {"series": symbol.series(NUMBERS[subject]), "limit": limits[subject]}
        days, first, last = connection.query_one(db, COUNT_BACKDATED, bindings)
        if days:
            found.append(BackdatedDays(symbol.name, subject, days, first, last))
    return found


READ_BACKDATED = """
SELECT series, day
FROM backdated_day
WHERE series >= :first AND series < :after
ORDER BY series, day
"""


def _read_recorded(db: apsw.Connection, symbol: Symbol) -> dict[int, list[int]]:
    bounds = {"first": symbol.series(0), "after": symbol.series(SERIES_PER_SYMBOL)}
    recorded: dict[int, list[int]] = {}
    for series, day in connection.query_all(db, READ_BACKDATED, bounds):
        recorded.setdefault(series % SERIES_PER_SYMBOL, []).append(day)
    return recorded


def list_empty_days(db: apsw.Connection, symbol: Symbol) -> list[tuple[int, int]]:
    """Return the backdated days without rows, each as `(series, day)`."""
    return [
        (symbol.series(number), day)
        for number, days in _read_recorded(db, symbol).items()
        for day in sorted(set(days) - find_days_with_rows(db, symbol, number, days))
    ]


DROP_BACKDATED = "DELETE FROM backdated_day WHERE series = ? AND day = ?"


def drop_empty_days(db: apsw.Connection, symbol: Symbol) -> None:
    """Delete the records of backdated days without rows; inside a transaction."""
    db.executemany(DROP_BACKDATED, list_empty_days(db, symbol))
