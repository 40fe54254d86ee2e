"""Delete the candles and ticks of a range and derive the coarser candles again."""

from collections.abc import Callable, Sequence
from time import monotonic, sleep
from typing import NamedTuple

import apsw

from gfil import clocks
from gfil.clocks import UTC, Bucket
from gfil.store import symbols
from gfil.store.candles import derive, extent, tick_rollup
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, DAY, M1, TIMEFRAMES, Timeframe

SLICE_S = 3 * DAY  # deleted in one transaction: about 4 000 M1
SLICE_TICKS = 5_000  # deleted in one transaction
OVERLAPS_NAMED_MAX = 5  # of each timeframe


class Deleted(NamedTuple):
    """Counts of deleted candles (stored and settled) and ticks; `change` is 0 if nothing was."""

    deleted: int
    ticks: int
    change: int
    warnings: list[str]


OnSlice = Callable[[apsw.Connection, Deleted], object]


def delete_range(
    db: apsw.Connection,
    symbol: Symbol,
    start: int,
    stop: int,
    timeframe: Timeframe | None = None,
    *,
    rest: Callable[[float], None] = sleep,
    on_slice: OnSlice = lambda db, deleted: None,
) -> Deleted:
    """Delete a range in slices, one transaction each; the same transaction derives candles again.

    It deletes stored and settled candles whose whole bucket lies in `[start, stop)`, on every
    clock. Candles that overlap the range stay and are named in the warnings.

    Args:
        db: a connection outside a transaction.
        symbol: the symbol.
        start: start of the range, UNIX s.
        stop: end of the range, exclusive.
        timeframe: the timeframe to delete; None: all timeframes and the ticks.
        rest: called after each slice with its duration; SQLite's lock is not fair to waiting
            writers.
        on_slice: called inside each slice's transaction with its counts.
    """
    deleted = tick_count = change = 0
    lower = start
    while (first := _first_time(db, symbol, lower)) is not None and first < stop:
        lower = min(_end_of_slice(db, symbol, first), stop)
        with connection.transaction(db):
            began = monotonic()
            symbol = symbols.reload(db, symbol)
            done = delete_slice(db, symbol, Bucket(first, lower), stop, timeframe)
            on_slice(db, done)
        rest(monotonic() - began)
        deleted, tick_count = deleted + done.deleted, tick_count + done.ticks
        change = done.change or change
    if symbols.stored_clocks(db, symbol):
        with connection.transaction(db):
            release_clocks(db, symbols.reload(db, symbol))
    return Deleted(
        deleted, tick_count, change, list_overlapping(db, symbol, start, stop, timeframe)
    )


def count_range(
    db: apsw.Connection, symbol: Symbol, start: int, stop: int, timeframe: Timeframe | None = None
) -> Deleted:
    """Count what `delete_range` would delete."""
    bounds = {"start": start, "until": stop, "stop": stop}
    deleted = 0
    for target in [timeframe] if timeframe else TIMEFRAMES:
        series = {"series": symbol.series(target.number), "seconds": target.seconds}
        deleted += connection.query_one(db, COUNT, bounds | series)[0]
        deleted += connection.query_one(db, COUNT_SUPERSEDED, bounds | series)
    span = _tick_span(symbol, Bucket(start, stop))
    tick_count = 0 if timeframe else connection.query_one(db, COUNT_TICKS, span)
    return Deleted(deleted, tick_count, 0, list_overlapping(db, symbol, start, stop, timeframe))


def _first_time(db: apsw.Connection, symbol: Symbol, time: int) -> int | None:
    firsts = [
        extent.read_first_time_from(db, symbol.series(timeframe.number), time)
        for timeframe in TIMEFRAMES
    ]
    tick_msc = extent.read_tick_msc_from(db, symbol, time * 1000)
    firsts.append(None if tick_msc is None else tick_msc // 1000)
    return min((first for first in firsts if first is not None), default=None)


def _end_of_slice(db: apsw.Connection, symbol: Symbol, first: int) -> int:
    tick_msc = extent.read_tick_msc_from(db, symbol, first * 1000, SLICE_TICKS)
    return first + SLICE_S if tick_msc is None else min(tick_msc // 1000 + 1, first + SLICE_S)


COUNT = """
SELECT COUNT(*), MIN(time), MAX(time + :seconds + extra_s)
FROM candle
WHERE series = :series AND time >= :start AND time < :until AND kind > 0
  AND time + :seconds + extra_s <= :stop
"""
DELETE = """
DELETE FROM candle
WHERE series = :series AND time >= :start AND time < :until AND kind > 0
  AND time + :seconds + extra_s <= :stop
"""
COUNT_SUPERSEDED = """
SELECT COUNT(*)
FROM superseded
WHERE series = :series AND time >= :start AND time < :until AND time + :seconds + extra_s <= :stop
"""
COUNT_TICKS = """
SELECT COUNT(*)
FROM tick
WHERE symbol_id = :symbol_id AND time_msc >= :start_msc AND time_msc < :stop_msc
"""
DELETE_TICKS = """
DELETE FROM tick
WHERE symbol_id = :symbol_id AND time_msc >= :start_msc AND time_msc < :stop_msc
"""
DELETE_PROVISIONAL = """
DELETE FROM provisional
WHERE series = :series AND time >= :start AND time < :until AND time + :seconds <= :stop
"""
DELETE_SUPERSEDED = """
DELETE FROM superseded
WHERE series = :series AND time >= :start AND time < :until AND time + :seconds + extra_s <= :stop
"""


def delete_slice(
    db: apsw.Connection,
    symbol: Symbol,
    time_slice: Bucket,
    stop: int,
    timeframe: Timeframe | None = None,
) -> Deleted:
    """Delete the rows that start in `time_slice` and end by `stop`; inside a transaction.

    Candles above the deleted ones are derived again.
    """
    deleted = 0
    tick_count = 0 if timeframe else _delete_ticks(db, symbol, time_slice)
    for target in [timeframe] if timeframe else TIMEFRAMES:
        bindings = {
            "series": symbol.series(target.number),
            "seconds": target.seconds,
            "start": time_slice.start,
            "until": time_slice.stop,
            "stop": stop,
        }
        count, first, last = connection.query_one(db, COUNT, bindings)
        deleted += connection.query_one(db, COUNT_SUPERSEDED, bindings)
        db.execute(DELETE_SUPERSEDED, bindings)
        if count:
            db.execute(DELETE, bindings)
            deleted += count
            _rederive(db, symbol, target, [Bucket(first, last)])
        if target == M1:
            db.execute(DELETE_PROVISIONAL, bindings)
    is_changed = deleted or tick_count
    return Deleted(deleted, tick_count, symbols.log_reset(db, symbol) if is_changed else 0, [])


def _delete_ticks(db: apsw.Connection, symbol: Symbol, time_slice: Bucket) -> int:
    span = _tick_span(symbol, time_slice)
    minutes = tick_rollup.list_minutes(db, symbol, span["start_msc"], span["stop_msc"])
    if not minutes:
        return 0
    count: int = connection.query_one(db, COUNT_TICKS, span)
    db.execute(DELETE_TICKS, span)
    tick_rollup.rederive_minutes(db, symbol, minutes)
    derive.derive_above(db, symbol, M1, [Bucket(minutes[0], minutes[-1] + M1.seconds)], shrunk=True)
    return count


def _tick_span(symbol: Symbol, span: Bucket) -> dict[str, int]:
    return {
        "symbol_id": symbol.id,
        "start_msc": span.start * 1000,
        "stop_msc": span.stop * 1000,
    }


def _rederive(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, spans: Sequence[Bucket]
) -> None:
    if timeframe not in CHAIN:
        return
    materialised_on = symbols.materialised_clocks(db, symbol)
    if timeframe == M1:
        for start, stop in spans:
            tick_rollup.rederive_minutes(
                db, symbol, tick_rollup.list_minutes(db, symbol, start * 1000, stop * 1000)
            )
    else:
        for clock in [UTC] if timeframe.intraday else materialised_on:
            derive.rederive(db, symbol, timeframe, clock, materialised_on, spans, shrunk=True)
    derive.derive_above(db, symbol, timeframe, spans, shrunk=True)


OVERLAPPING = """
SELECT time
FROM candle
WHERE series = :series AND time < :stop AND time > :start - :seconds - 172800 AND kind > 0
  AND time + :seconds + extra_s > :start
  AND (time < :start OR time + :seconds + extra_s > :stop)
ORDER BY time
LIMIT :limit
"""


def list_overlapping(
    db: apsw.Connection, symbol: Symbol, start: int, stop: int, timeframe: Timeframe | None = None
) -> list[str]:
    """Return a warning for each stored or settled candle that overlaps the range and so stays."""
    warnings = []
    for target in [timeframe] if timeframe else TIMEFRAMES:
        bindings = {
            "series": symbol.series(target.number),
            "seconds": target.seconds,
            "start": start,
            "stop": stop,
            "limit": OVERLAPS_NAMED_MAX,
        }
        for (time,) in connection.query_all(db, OVERLAPPING, bindings):
            stamp = clocks.format_instant(time)
            warnings.append(f"the {target.name} of {stamp} lies only partly in the range and stays")
    return warnings


def release_clocks(db: apsw.Connection, symbol: Symbol) -> None:
    """Remove H4 and D1 on clocks without a stored candle; inside a transaction."""
    for clock in list_idle_clocks(db, symbol):
        symbols.remove_stored_clock(db, symbol, clock)
        derive.drop_derived_clock(db, symbol, clock)


def list_idle_clocks(db: apsw.Connection, symbol: Symbol) -> Sequence[clocks.Clock]:
    """Return the recorded clocks of a symbol that no longer have a stored candle."""
    recorded = symbols.stored_clocks(db, symbol)
    return [clock for clock in recorded if not _has_candles_of(db, symbol, clock)]


# Up to a day, candles on UTC's grid are UTC's own. Pruned years leave very many of these, settled.
READ_STORED = """
SELECT time, extra_s
FROM candle
WHERE series = :series AND kind > 0 AND NOT (:is_on_grid AND extra_s = 0 AND time % :seconds = 0)
UNION ALL
SELECT time, extra_s
FROM superseded
WHERE series = :series
"""


def _has_candles_of(db: apsw.Connection, symbol: Symbol, clock: clocks.Clock) -> bool:
    for timeframe in TIMEFRAMES[1:]:  # an M1 is the same minute on every clock
        grid = {"seconds": timeframe.seconds, "is_on_grid": timeframe.seconds <= DAY}
        series = {"series": symbol.series(timeframe.number)}
        for time, extra_s in connection.query_all(db, READ_STORED, series | grid):
            bucket = Bucket(time, time + timeframe.seconds + extra_s)
            if clock.bucket(timeframe, time) == bucket != UTC.bucket(timeframe, time):
                return True
    return False
