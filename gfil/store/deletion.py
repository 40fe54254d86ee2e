"""Deleting candles of a range, and the rows a deleted symbol left behind."""

from collections.abc import Callable, Sequence
from time import monotonic, sleep
from typing import NamedTuple

import apsw

from gfil import clocks
from gfil.clocks import UTC, Bucket
from gfil.store import chain, symbols, ticks
from gfil.store import db as store
from gfil.store.symbols import SERIES_PER_SYMBOL, Symbol
from gfil.timeframes import CHAIN, DAY, M1, TIMEFRAMES, Timeframe

SLICE_S = 3 * DAY  # deleted in one transaction: about 4 000 M1
SLICE_TICKS = 5_000  # or so many
SWEEP_ROWS = 20_000
OVERLAPS_NAMED_MAX = 5


class Deleted(NamedTuple):
    """How many stored and settled candles and ticks went; `change` is 0 where none did."""

    deleted: int
    ticks: int
    change: int
    warnings: list[str]


def delete_range(
    db: apsw.Connection,
    symbol: Symbol,
    start: int,
    stop: int,
    timeframe: Timeframe | None = None,
    *,
    rest: Callable[[float], None] = sleep,
) -> Deleted:
    """Delete a range, one transaction after another, each leaving true what is derived.

    Between them it rests for as long as they take: SQLite's lock is not fair to others that wait.
    Stored and settled candles whose whole bucket lies in `[start, stop)` go: of one timeframe, or
    of all and the ticks too, on every clock. Candles that lie only partly in it stay and are named
    in the warnings.
    """
    deleted = gone_ticks = change = 0
    lower = start
    while (first := _first_time(db, symbol, lower)) is not None and first < stop:
        lower = min(_end_of_slice(db, symbol, first), stop)
        with store.transaction(db):
            began = monotonic()
            symbol = symbols.read_again(db, symbol)
            done = delete(db, symbol, Bucket(first, lower), stop, timeframe)
        rest(monotonic() - began)
        deleted, gone_ticks = deleted + done.deleted, gone_ticks + done.ticks
        change = done.change or change
    if symbols.own_clocks(db, symbol):
        with store.transaction(db):
            release_clocks(db, symbols.read_again(db, symbol))
    return Deleted(deleted, gone_ticks, change, overlapping(db, symbol, start, stop, timeframe))


def count_range(
    db: apsw.Connection, symbol: Symbol, start: int, stop: int, timeframe: Timeframe | None = None
) -> Deleted:
    """Tell what `delete_range` would do."""
    bounds = {"start": start, "until": stop, "stop": stop}
    deleted = 0
    for target in [timeframe] if timeframe else TIMEFRAMES:
        series = {"series": symbol.series(target.number), "seconds": target.seconds}
        deleted += store.value(db, COUNT, bounds | series)[0]
        deleted += store.value(db, COUNT_YIELDED, bounds | series)
    span = _tick_span(symbol, Bucket(start, stop))
    gone_ticks = 0 if timeframe else store.value(db, COUNT_TICKS, span)
    return Deleted(deleted, gone_ticks, 0, overlapping(db, symbol, start, stop, timeframe))


def _first_time(db: apsw.Connection, symbol: Symbol, time: int) -> int | None:
    firsts = (
        chain.first_from(db, symbol.series(timeframe.number), time) for timeframe in TIMEFRAMES
    )
    tick = ticks.time_after(db, symbol, time * 1000, 0)
    of_tick = None if tick is None else tick // 1000
    return min((first for first in (*firsts, of_tick) if first is not None), default=None)


def _end_of_slice(db: apsw.Connection, symbol: Symbol, first: int) -> int:
    tick = ticks.time_after(db, symbol, first * 1000, SLICE_TICKS)
    return first + SLICE_S if tick is None else min(tick // 1000 + 1, first + SLICE_S)


COUNT = """
SELECT COUNT(*), MIN(time), MAX(time + :seconds + stretch)
FROM candle
WHERE series = :series AND time >= :start AND time < :until AND kind > 0
  AND time + :seconds + stretch <= :stop
"""
DELETE = """
DELETE FROM candle
WHERE series = :series AND time >= :start AND time < :until AND kind > 0
  AND time + :seconds + stretch <= :stop
"""
COUNT_YIELDED = """
SELECT COUNT(*)
FROM yielded
WHERE series = :series AND time >= :start AND time < :until AND time + :seconds + stretch <= :stop
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
DELETE_EARLY = """
DELETE FROM early
WHERE series = :series AND time >= :start AND time < :until AND time + :seconds <= :stop
"""
DELETE_YIELDED = """
DELETE FROM yielded
WHERE series = :series AND time >= :start AND time < :until AND time + :seconds + stretch <= :stop
"""


def delete(
    db: apsw.Connection,
    symbol: Symbol,
    piece: Bucket,
    stop: int,
    timeframe: Timeframe | None = None,
) -> Deleted:
    """Delete what starts in `piece` and ends by `stop`; inside a transaction.

    What is derived from it is derived again.
    """
    deleted = 0
    gone_ticks = 0 if timeframe else _delete_ticks(db, symbol, piece)
    for target in [timeframe] if timeframe else TIMEFRAMES:
        bindings = {
            "series": symbol.series(target.number),
            "seconds": target.seconds,
            "start": piece.start,
            "until": piece.stop,
            "stop": stop,
        }
        count, first, last = store.value(db, COUNT, bindings)
        deleted += store.value(db, COUNT_YIELDED, bindings)
        db.execute(DELETE_YIELDED, bindings)
        if count:
            db.execute(DELETE, bindings)
            deleted += count
            _derive_again(db, symbol, target, [Bucket(first, last)])
        if target == M1:
            db.execute(DELETE_EARLY, bindings)
    is_changed = deleted or gone_ticks
    return Deleted(deleted, gone_ticks, symbols.touch_all(db, symbol) if is_changed else 0, [])


def _delete_ticks(db: apsw.Connection, symbol: Symbol, piece: Bucket) -> int:
    span = _tick_span(symbol, piece)
    minutes = ticks.minutes_of(db, symbol, span["start_msc"], span["stop_msc"])
    if not minutes:
        return 0
    count: int = store.value(db, COUNT_TICKS, span)
    db.execute(DELETE_TICKS, span)
    ticks.follow(db, symbol, minutes)
    chain.derive(db, symbol, M1, [Bucket(minutes[0], minutes[-1] + M1.seconds)], shrunk=True)
    return count


def _tick_span(symbol: Symbol, span: Bucket) -> dict[str, int]:
    return {
        "symbol_id": symbol.id,
        "start_msc": span.start * 1000,
        "stop_msc": span.stop * 1000,
    }


def _derive_again(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, spans: Sequence[Bucket]
) -> None:
    if timeframe not in CHAIN:
        return
    kept = symbols.kept_clocks(db, symbol)
    if timeframe == M1:
        for start, stop in spans:
            ticks.follow(db, symbol, ticks.minutes_of(db, symbol, start * 1000, stop * 1000))
    else:
        for clock in [UTC] if timeframe.intraday else kept:
            chain.follow(db, symbol, timeframe, clock, kept, spans, shrunk=True)
    chain.derive(db, symbol, timeframe, spans, shrunk=True)


OVERLAPPING = """
SELECT time
FROM candle
WHERE series = :series AND time < :stop AND time > :start - :seconds - 172800 AND kind > 0
  AND time + :seconds + stretch > :start
  AND (time < :start OR time + :seconds + stretch > :stop)
ORDER BY time
LIMIT :limit
"""


def overlapping(
    db: apsw.Connection, symbol: Symbol, start: int, stop: int, timeframe: Timeframe | None = None
) -> list[str]:
    """Name stored and settled candles that lie only partly in a range, and so stay."""
    warnings = []
    for target in [timeframe] if timeframe else TIMEFRAMES:
        bindings = {
            "series": symbol.series(target.number),
            "seconds": target.seconds,
            "start": start,
            "stop": stop,
            "limit": OVERLAPS_NAMED_MAX,
        }
        for (time,) in store.query(db, OVERLAPPING, bindings):
            stamp = clocks.format_instant(time)
            warnings.append(f"the {target.name} of {stamp} lies only partly in the range and stays")
    return warnings


def release_clocks(db: apsw.Connection, symbol: Symbol) -> None:
    """Stop keeping H4 and D1 on clocks whose last own stored candle has gone; in a transaction."""
    for clock in list_idle_clocks(db, symbol):
        symbols.drop_clock(db, symbol, clock)
        chain.drop_clock(db, symbol, clock)


def list_idle_clocks(db: apsw.Connection, symbol: Symbol) -> Sequence[clocks.Clock]:
    """Return the clocks on which H4 and D1 are kept, and whose last own stored candle has gone."""
    own = symbols.own_clocks(db, symbol)
    return [clock for clock in own if not _has_candles_of(db, symbol, clock)]


# Up to a day those on UTC's grid are UTC's own: of pruned years there are very many, settled.
READ_STORED = """
SELECT time, stretch FROM candle
WHERE series = :series AND kind > 0 AND NOT (:is_on_grid AND stretch = 0 AND time % :seconds = 0)
UNION ALL
SELECT time, stretch FROM yielded WHERE series = :series
"""


def _has_candles_of(db: apsw.Connection, symbol: Symbol, clock: clocks.Clock) -> bool:
    for timeframe in TIMEFRAMES[1:]:  # an M1 is the same minute on every clock
        grid = {"seconds": timeframe.seconds, "is_on_grid": timeframe.seconds <= DAY}
        series = {"series": symbol.series(timeframe.number)}
        for time, stretch in store.query(db, READ_STORED, series | grid):
            bucket = Bucket(time, time + timeframe.seconds + stretch)
            if clock.bucket(timeframe, time) == bucket != UTC.bucket(timeframe, time):
                return True
    return False


SWEEPABLE = "SELECT id FROM deleted_symbol ORDER BY id LIMIT 1"
SWEEP_UNTIL = """
SELECT series, time
FROM candle
WHERE series >= :first AND series < :after
ORDER BY series, time
LIMIT 1 OFFSET :rows
"""
SWEEP = """
DELETE FROM candle
WHERE series >= :first AND series <= :series AND (series, time) < (:series, :time)
"""
SWEEP_TICKS_UNTIL = """
SELECT time_msc
FROM tick
WHERE symbol_id = :id
ORDER BY time_msc
LIMIT 1 OFFSET :rows
"""
SWEEP_TICKS = "DELETE FROM tick WHERE symbol_id = :id AND time_msc < :time_msc"
SWEEP_EARLY = "DELETE FROM early WHERE series >= :first AND series < :after"
SWEEP_IMPORTED = "DELETE FROM imported_day WHERE series >= :first AND series < :after"
SWEEP_RECEIVED = "DELETE FROM received_day WHERE symbol_id = :id"
SWEEP_RETENTION = "DELETE FROM retention WHERE symbol_id = :id"
SWEEP_YIELDED = "DELETE FROM yielded WHERE series >= :first AND series < :after"
SWEPT = "DELETE FROM deleted_symbol WHERE id = :id"


def is_swept(db: apsw.Connection) -> bool:
    """Say whether no deleted symbol has left anything behind."""
    return store.value(db, SWEEPABLE) is None


def sweep(db: apsw.Connection, rows: int = SWEEP_ROWS) -> bool:
    """Remove some rows of a deleted symbol; in a transaction. Say whether there may be more."""
    symbol_id = store.value(db, SWEEPABLE)
    if symbol_id is None:
        return False
    if _sweep_ticks(db, symbol_id, rows):
        return True
    first, after = symbol_id * SERIES_PER_SYMBOL, (symbol_id + 1) * SERIES_PER_SYMBOL
    bounds = {"first": first, "after": after}
    until = store.value(db, SWEEP_UNTIL, bounds | {"rows": rows})
    series, time = until or (after, clocks.TIME_MIN)
    db.execute(SWEEP, {"first": first, "series": series, "time": time})
    if until is None:
        db.execute(SWEEP_YIELDED, bounds)
        db.execute(SWEEP_EARLY, bounds)
        db.execute(SWEEP_IMPORTED, bounds)
        db.execute(SWEEP_RECEIVED, {"id": symbol_id})
        db.execute(SWEEP_RETENTION, {"id": symbol_id})
        db.execute(SWEPT, {"id": symbol_id})
    return True


def _sweep_ticks(db: apsw.Connection, symbol_id: int, rows: int) -> bool:
    until = store.value(db, SWEEP_TICKS_UNTIL, {"id": symbol_id, "rows": rows})
    time_msc = clocks.TIME_MAX * 1000 if until is None else until + 1
    db.execute(SWEEP_TICKS, {"id": symbol_id, "time_msc": time_msc})
    return until is not None


def sweep_all(
    db: apsw.Connection, rows: int = SWEEP_ROWS, *, rest: Callable[[float], object] = sleep
) -> None:
    """Remove every row that deleted symbols left behind, batch by batch.

    Between them it rests for as long as they take, as `delete_range` does; it ends early when
    `rest` returns something true.
    """
    more = True
    while more:
        with store.transaction(db):
            began = monotonic()
            more = sweep(db, rows)
        if more and rest(monotonic() - began):
            return
