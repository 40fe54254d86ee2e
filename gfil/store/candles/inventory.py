"""Inventory of a symbol: its timeframes with ranges and counts, its newest close, staleness."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import apsw

from gfil import timeframes
from gfil.clocks import UTC, Clock, Run
from gfil.store import symbols
from gfil.store.candles import expected_minutes, extent
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, M1, MINUTE, TIMEFRAMES, WEEK, Timeframe

STALE_MINUTES = 10
STALE_WINDOW_S = timeframes.HOUR


class LatestClose(NamedTuple):
    """Time and close of the newest candle of a symbol, in the timeframe that reaches furthest."""

    time: int
    close: float


READ_NEWEST_CLOSE = """
SELECT time, close
FROM candle
WHERE series = :series
ORDER BY time DESC, extra_s DESC
LIMIT 1
"""


def read_latest(db: apsw.Connection, symbol: Symbol) -> LatestClose | None:
    """Return the newest candle of a symbol; of several with the same start the finest."""
    newest: LatestClose | None = None
    for timeframe in CHAIN:
        row = connection.query_one(
            db, READ_NEWEST_CLOSE, {"series": symbol.series(timeframe.number)}
        )
        if row and (newest is None or row[0] > newest.time):
            newest = LatestClose(*row)
    return newest


@dataclass(frozen=True, slots=True)
class SeriesHolding:
    """The candles of one timeframe on one clock: times of the first and the last, and a count."""

    tf: str
    clock: str
    first: int
    last: int
    count: int


def list_holdings(db: apsw.Connection, symbol: Symbol) -> list[SeriesHolding]:
    """Return the holdings of a symbol for each timeframe and clock with candles."""
    materialised_on = symbols.materialised_clocks(db, symbol)
    holdings = []
    for timeframe in TIMEFRAMES:
        series = symbol.series(timeframe.number)
        first, last = extent.read_first_time(db, series), extent.read_last_row(db, series)
        if first is None or last is None:
            continue
        for clock in materialised_on:
            if clock == UTC or not (timeframe.intraday and clock.cuts_like_utc(timeframe, first)):
                runs = clock.runs(timeframe, first, last.time + 1)
                holdings += _list_runs(db, symbol, timeframe, clock, runs)
    return holdings


COUNT_RUN = """
SELECT MIN(time), MAX(time), COUNT(*)
FROM candle
WHERE series = :series AND time >= :start AND time < :stop AND extra_s = :extra_s
  AND (time - :start) % :length = 0
"""


def _list_runs(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, clock: Clock, runs: Iterable[Run]
) -> list[SeriesHolding]:
    series = symbol.series(timeframe.number)
    counted = []
    for run in runs:
        extra_s = run.length - timeframe.seconds
        found = connection.query_one(
            db, COUNT_RUN, run._asdict() | {"series": series, "extra_s": extra_s}
        )
        if found[2]:
            counted.append(found)
    if not counted:
        return []
    count = sum(number for _, _, number in counted)
    return [SeriesHolding(timeframe.name, clock.name, counted[0][0], counted[-1][1], count)]


class TimeRange(NamedTuple):
    """Start of the first and of the last row of one timeframe, or of `ticks`; UNIX s."""

    tf: str
    first: int
    last: int


def list_time_ranges(db: apsw.Connection, symbol: Symbol) -> list[TimeRange]:
    """Return the time ranges of a symbol's rows, on any clock, without counting rows.

    Ticks come first, then every timeframe with candles, the finest first.
    """
    ranges = []
    first_msc = extent.read_tick_msc_from(db, symbol, 0)
    last_msc = extent.read_last_tick_msc(db, symbol)
    if first_msc is not None and last_msc is not None:
        ranges.append(TimeRange("ticks", first_msc // 1000, last_msc // 1000))
    for timeframe in TIMEFRAMES:
        series = symbol.series(timeframe.number)
        first, last = extent.read_first_time(db, series), extent.read_last_row(db, series)
        if first is not None and last is not None:
            ranges.append(TimeRange(timeframe.name, first, last.time))
    return ranges


def is_stale(db: apsw.Connection, symbol: Symbol, now: int) -> bool:
    """Return whether a symbol is stale: 10 expected minutes have passed since its last M1."""
    last = extent.read_last_row(db, symbol.series(M1.number))
    if last is None or last.time + MINUTE > now - STALE_MINUTES * MINUTE:
        return False
    span = expected_minutes.read_span(db, symbol, expected_minutes.WEEKS)
    assert span is not None
    read = partial(expected_minutes.read_minutes, db, symbol)
    missed = 0
    start, window_s = span.stop, STALE_WINDOW_S
    until = min(now - now % MINUTE, start + WEEK)  # a week contains every minute of the week
    while start < until and missed < STALE_MINUTES:
        stop = min(start + window_s, until)
        missed += expected_minutes.expected(read, span, start, stop).count(1)
        start, window_s = stop, 2 * window_s  # a week-end has few expected minutes
    return missed >= STALE_MINUTES
