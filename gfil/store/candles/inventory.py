"""What is held of a symbol: how far, how much, how fresh."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import apsw

from gfil import timeframes
from gfil.clocks import UTC, Clock, Run
from gfil.store import symbols
from gfil.store.candles import derive, expected_minutes
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, M1, MINUTE, TIMEFRAMES, WEEK, Timeframe

STALE_MINUTES = 10
STALE_WINDOW_S = timeframes.HOUR


class LatestClose(NamedTuple):
    """The newest candle of a symbol in whatever timeframe reaches furthest."""

    time: int
    close: float


NEWEST = """
SELECT time, close FROM candle WHERE series = :series ORDER BY time DESC, extra_s DESC LIMIT 1
"""


def read_latest(db: apsw.Connection, symbol: Symbol) -> LatestClose | None:
    """Return the newest candle of a symbol, the finest of those that start last."""
    newest: LatestClose | None = None
    for timeframe in CHAIN:
        row = connection.query_one(db, NEWEST, {"series": symbol.series(timeframe.number)})
        if row and (newest is None or row[0] > newest.time):
            newest = LatestClose(*row)
    return newest


@dataclass(frozen=True, slots=True)
class HeldSeries:
    """The candles of one timeframe that answer on one clock: times of the first and the last."""

    tf: str
    clock: str
    first: int
    last: int
    count: int


def list_holdings(db: apsw.Connection, symbol: Symbol) -> list[HeldSeries]:
    """Return what is held of a symbol, timeframe by timeframe, clock by clock."""
    kept = symbols.kept_clocks(db, symbol)
    holdings = []
    for timeframe in TIMEFRAMES:
        series = {"series": symbol.series(timeframe.number)}
        first, last = (
            connection.query_one(db, derive.FIRST, series),
            connection.query_one(db, derive.LAST, series),
        )
        if first is None:
            continue
        for clock in kept:
            if clock == UTC or not (timeframe.intraday and clock.cuts_like_utc(timeframe, first)):
                runs = clock.runs(timeframe, first, last[0] + 1)
                holdings += _hold(db, symbol, timeframe, clock, runs)
    return holdings


HOLDING = """
SELECT MIN(time), MAX(time), COUNT(*)
FROM candle
WHERE series = :series AND time >= :start AND time < :stop AND extra_s = :extra_s
  AND (time - :start) % :length = 0
"""


def _hold(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, clock: Clock, runs: Iterable[Run]
) -> list[HeldSeries]:
    series = symbol.series(timeframe.number)
    held = []
    for run in runs:
        extra_s = run.length - timeframe.seconds
        found = connection.query_one(
            db, HOLDING, run._asdict() | {"series": series, "extra_s": extra_s}
        )
        if found[2]:
            held.append(found)
    if not held:
        return []
    count = sum(number for _, _, number in held)
    return [HeldSeries(timeframe.name, clock.name, held[0][0], held[-1][1], count)]


class TimeRange(NamedTuple):
    """When the first and the last row of one timeframe, or of `ticks`, start; UNIX s."""

    tf: str
    first: int
    last: int


FIRST_TICK = "SELECT MIN(time_msc) FROM tick WHERE symbol_id = :id"
LAST_TICK = "SELECT MAX(time_msc) FROM tick WHERE symbol_id = :id"


def list_time_ranges(db: apsw.Connection, symbol: Symbol) -> list[TimeRange]:
    """Return from when to when anything is held of a symbol, on whatever clock; nothing is counted.

    Ticks come first, then the timeframes that are stored or derived, the finest first.
    """
    found = []
    first_msc = connection.query_one(db, FIRST_TICK, {"id": symbol.id})
    if first_msc is not None:
        last_msc = connection.query_one(db, LAST_TICK, {"id": symbol.id})
        found.append(TimeRange("ticks", first_msc // 1000, last_msc // 1000))
    for timeframe in TIMEFRAMES:
        series = {"series": symbol.series(timeframe.number)}
        first = connection.query_one(db, derive.FIRST, series)
        if first is not None:
            found.append(
                TimeRange(timeframe.name, first, connection.query_one(db, derive.LAST, series)[0])
            )
    return found


def is_stale(db: apsw.Connection, symbol: Symbol, now: int) -> bool:
    """Say whether 10 minutes in which the symbol usually trades have gone by without a row."""
    last = connection.query_one(db, derive.LAST, {"series": symbol.series(M1.number)})
    if last is None or last[0] + MINUTE > now - STALE_MINUTES * MINUTE:
        return False
    span = expected_minutes.read_span(db, symbol, expected_minutes.WEEKS)
    assert span is not None
    held = partial(expected_minutes.read_minutes, db, symbol)
    missed = 0
    start, window_s = span.stop, STALE_WINDOW_S
    until = min(now - now % MINUTE, start + WEEK)  # every minute of the week has been by then
    while start < until and missed < STALE_MINUTES:
        stop = min(start + window_s, until)
        missed += expected_minutes.expected(held, span, start, stop).count(1)
        start, window_s = stop, 2 * window_s  # over a week-end there is little to count
    return missed >= STALE_MINUTES
