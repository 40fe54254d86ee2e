"""Pruning: days older than they are kept go, piece by piece; what is derived from them is settled.

What goes is not what somebody deletes: candles that were derived from it stay as they are, and
those who follow live are told nothing.
"""

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import apsw

from gfil.clocks import UTC, Bucket
from gfil.store import change_log, symbols
from gfil.store.candles import derive, rollup, ticks
from gfil.store.candles.rollup import BucketKey, plan_tiles
from gfil.store.engine import connection
from gfil.store.retention import backdated_days
from gfil.store.retention.backdated_days import RECEIVED_FOR_S
from gfil.store.retention.rules import IN_CHAIN, NUMBERS, TICKS
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, DAY, HOUR, M1, MINUTE, TIMEFRAMES, Timeframe

LOOK_DAYS = 64  # ahead for days that stay; longer than any candle and any piece
DAYS_MAX = 16  # of one piece


class PruneTarget(NamedTuple):
    """What is to be pruned: `what` of a symbol before `cutoff`, as seen at `now`.

    `imported` says that imported days go too.
    """

    symbol: Symbol
    what: str
    cutoff: int
    now: int
    imported: bool


class PruneBatch(NamedTuple):
    """What goes at once: rows that start in `[start, stop)` and, if candles, end by `until`."""

    start: int
    stop: int
    until: int


class PruneResult(NamedTuple):
    """What became of a piece: rows that went, and on how many days, and candles settled."""

    rows: int = 0
    days: int = 0
    settled: int = 0


STAYING = """
SELECT day FROM received_day
WHERE symbol_id = :id AND day >= :start AND day < :stop AND time > :since
  AND NOT (
      :imported
      AND EXISTS (
          SELECT 1 FROM backdated_day WHERE series = :own AND backdated_day.day = received_day.day
      )
  )
UNION
SELECT backdated_day.day FROM carray(:series) AS wanted
CROSS JOIN backdated_day
ON backdated_day.series = wanted.value AND backdated_day.day >= :start AND backdated_day.day < :stop
WHERE NOT :imported
ORDER BY 1
"""


def find_batch(
    db: apsw.Connection, aim: PruneTarget, start: int, *, days: int, rows: int
) -> PruneBatch | None:
    """Return the first piece from `start` on: at most so many days, of ticks so many rows.

    None: there is nothing more to go. Days that have received rows in the last 48 hours stay, and
    imported ones, also where something finer is imported.
    """
    while (first := _first(db, aim, start)) is not None and first < aim.cutoff:
        day = first - first % DAY
        horizon = min(aim.cutoff, day + LOOK_DAYS * DAY)
        staying = _staying(db, aim, day, horizon)
        start = day
        while start in staying:
            start += DAY
        if start > day:
            continue
        until = staying[0] if staying else horizon
        stop = min(until, day + days * DAY)
        if aim.what == TICKS:
            return PruneBatch(first, _end_of_ticks(db, aim, first, stop, rows), until)
        return PruneBatch(day, stop, until)
    return None


def _first(db: apsw.Connection, aim: PruneTarget, start: int) -> int | None:
    if aim.what == TICKS:
        tick = ticks.time_after(db, aim.symbol, max(start, 0) * 1000, 0)
        return None if tick is None else tick // 1000 // MINUTE * MINUTE
    return derive.read_first_time(db, aim.symbol.series(NUMBERS[aim.what]), start)


def _staying(db: apsw.Connection, aim: PruneTarget, start: int, stop: int) -> list[int]:
    bindings = {
        "id": aim.symbol.id,
        "start": start,
        "stop": stop,
        "since": aim.now - RECEIVED_FOR_S - HOUR,
        "imported": aim.imported,
        "own": aim.symbol.series(NUMBERS[aim.what]),
        "series": _own_and_finer(aim),
    }
    return [day for (day,) in connection.query_all(db, STAYING, bindings)]


def _own_and_finer(aim: PruneTarget) -> Any:
    numbers = [NUMBERS[what] for what in (*_finer(aim), aim.what)]
    return apsw.carray(array("q", map(aim.symbol.series, numbers)))


def _finer(aim: PruneTarget) -> Sequence[str]:
    return IN_CHAIN[: IN_CHAIN.index(aim.what)] if aim.what in IN_CHAIN else ()


def _end_of_ticks(db: apsw.Connection, aim: PruneTarget, first: int, stop: int, rows: int) -> int:
    tick = ticks.time_after(db, aim.symbol, first * 1000, rows)
    if tick is None:
        return stop
    return min(stop, max(tick // 1000 // MINUTE * MINUTE, first + MINUTE))


COUNT = """
SELECT COUNT(*), COUNT(DISTINCT (time + 86400000000) / 86400)
FROM candle
WHERE series = :series AND time >= :start AND time < :stop AND time + :seconds + extra_s <= :until
"""
COUNT_TICKS = """
SELECT COUNT(*), COUNT(DISTINCT time_msc / 86400000)
FROM tick
WHERE symbol_id = :id AND time_msc >= :start_msc AND time_msc < :stop_msc
"""


def count_batch(db: apsw.Connection, aim: PruneTarget, piece: PruneBatch) -> PruneResult:
    """Return how many rows of a piece would go, and on how many days; none is settled."""
    if aim.what == TICKS:
        return PruneResult(*connection.query_one(db, COUNT_TICKS, _tick_bounds(aim.symbol, piece)))
    return PruneResult(*connection.query_one(db, COUNT, _bounds(aim, piece)))


def remove_batch(db: apsw.Connection, aim: PruneTarget, piece: PruneBatch) -> PruneResult:
    """Remove a piece, and settle what loses its base; inside a transaction.

    One change of the symbol is counted, for an answer that held the piece is another now; the log
    tells of it as what viewers are not told.
    """
    gone = count_batch(db, aim, piece)
    if not gone.rows or _holds_finer(db, aim, piece):
        return PruneResult()
    if aim.what == TICKS:
        settled = _remove_ticks(db, aim.symbol, piece)
    else:
        settled = _remove_candles(db, aim, piece)
    change = symbols.log_change(db, aim.symbol)
    change_log.append(
        db, change, aim.symbol.series(change_log.PRUNED), [Bucket(piece.start, piece.stop)]
    )
    return gone._replace(settled=settled)


def _holds_finer(db: apsw.Connection, aim: PruneTarget, piece: PruneBatch) -> bool:
    # Rules that were changed to and fro can leave some: what is derived from them has to stay.
    return any(
        count_batch(db, aim._replace(what=what), piece._replace(until=piece.stop)).rows
        for what in _finer(aim)
    )


def _bounds(aim: PruneTarget, piece: PruneBatch) -> dict[str, int]:
    timeframe = TIMEFRAMES[NUMBERS[aim.what]]
    bounds = {"series": aim.symbol.series(timeframe.number), "seconds": timeframe.seconds}
    return bounds | piece._asdict()


def _tick_bounds(symbol: Symbol, piece: PruneBatch) -> dict[str, int]:
    bounds = {"start_msc": max(piece.start, 0) * 1000, "stop_msc": piece.stop * 1000}
    return bounds | {"id": symbol.id}


DELETE_TICKS = """
DELETE FROM tick
WHERE symbol_id = :id AND time_msc >= :start_msc AND time_msc < :stop_msc
"""


def _remove_ticks(db: apsw.Connection, symbol: Symbol, piece: PruneBatch) -> int:
    bounds = _tick_bounds(symbol, piece)
    minutes = ticks.list_minutes(db, symbol, bounds["start_msc"], bounds["stop_msc"])
    settled = _settle(db, symbol.series(M1.number), [(minute, 0) for minute in minutes])
    # The broker's candle of a minute that lost its ticks does not give way to ticks that come late.
    ticks.mark_provisional(db, symbol, (), minutes)
    db.execute(DELETE_TICKS, bounds)
    return settled


GOING = """
SELECT time, extra_s
FROM candle
WHERE series = :series AND time >= :start AND time < :stop AND time + :seconds + extra_s <= :until
ORDER BY time, extra_s
"""
DELETE = """
DELETE FROM candle
WHERE series = :series AND time >= :start AND time < :stop AND time + :seconds + extra_s <= :until
"""
DELETE_SUPERSEDED = """
DELETE FROM superseded
WHERE series = :series AND time >= :start AND time < :stop AND time + :seconds + extra_s <= :until
"""
DELETE_PROVISIONAL = (
    "DELETE FROM provisional WHERE series = :series AND time >= :start AND time < :stop"
)


def _remove_candles(db: apsw.Connection, aim: PruneTarget, piece: PruneBatch) -> int:
    symbol, bounds = aim.symbol, _bounds(aim, piece)
    timeframe = TIMEFRAMES[NUMBERS[aim.what]]
    settled = 0
    if timeframe in CHAIN:
        going = connection.query_all(db, GOING, bounds)
        spans = derive.merge_spans(timeframe, *map(list, zip(*going, strict=True)))
        settled = _settle_above(db, symbol, timeframe, spans, bounds)
    db.execute(DELETE, bounds)
    db.execute(DELETE_SUPERSEDED, bounds)
    if timeframe == M1:
        db.execute(DELETE_PROVISIONAL, bounds)
    return settled


# The buckets whose tiles hold candles that go.
LOSING = """
SELECT DISTINCT tile.bucket, tile.length - :target_s
FROM temp.tile
CROSS JOIN candle
ON candle.series = :series AND candle.time >= tile.start AND candle.time < tile.stop
   AND candle.time >= :start AND candle.time < :stop
   AND candle.time + :seconds + candle.extra_s <= :until
   AND candle.extra_s = tile.base_s - :seconds
   AND (NOT :is_mixed OR (candle.time - tile.start) % tile.base_s = 0)
"""


def _settle_above(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    spans: Sequence[Bucket],
    bounds: dict[str, int],
) -> int:
    kept = symbols.kept_clocks(db, symbol)
    settled = 0
    for target in CHAIN[CHAIN.index(timeframe) + 1 :]:
        for clock in [UTC] if target.intraday else kept:
            runs = derive.disjoint_runs(clock, target, spans)
            tiles = plan_tiles(target, clock, kept, runs).get(timeframe)
            if not tiles:
                continue
            rollup.load_tiles(db, tiles)
            is_mixed = {"target_s": target.seconds, "is_mixed": timeframe != M1}
            keys = connection.query_all(db, LOSING, bounds | is_mixed)
            done = _settle(db, symbol.series(target.number), keys)
            settled += done
            if done and any(_is_own(target, *key) for key in keys):  # they count as stored ones
                symbols.keep_clock(db, symbol, clock)
    return settled


def _is_own(timeframe: Timeframe, time: int, extra_s: int) -> bool:
    return UTC.bucket(timeframe, time) != Bucket(time, time + timeframe.seconds + extra_s)


SETTLE = """
UPDATE candle SET kind = 2
WHERE series = ? AND time = ? AND extra_s = ? AND kind = 0
"""


def _settle(db: apsw.Connection, series: int, keys: Sequence[BucketKey]) -> int:
    before = db.total_changes()
    db.executemany(SETTLE, ((series, *key) for key in keys))
    settled = db.total_changes() - before
    if connection.query_one(db, derive.HAS_SUPERSEDED, {"series": series}):
        db.executemany(derive.DROP_SUPERSEDED, ((series, *key) for key in keys))
    return settled


NEWEST_TICK = "SELECT time_msc FROM tick WHERE symbol_id = :id ORDER BY time_msc DESC LIMIT 1"


def read_newest(db: apsw.Connection) -> int | None:
    """Return when the newest row of the whole database starts, or None."""
    newest = []
    for symbol in symbols.list_symbols(db):
        for timeframe in TIMEFRAMES:
            last = connection.query_one(
                db, derive.LAST, {"series": symbol.series(timeframe.number)}
            )
            newest += [last[0]] if last else []
        tick = connection.query_one(db, NEWEST_TICK, {"id": symbol.id})
        newest += [] if tick is None else [tick // 1000]
    return max(newest, default=None)


# A server whose clock was ahead wrote times that would keep these days for as long.
FORGET_RECEIVED = "DELETE FROM received_day WHERE symbol_id = :id AND time <= :since"
RECEIVED_NOW = "UPDATE received_day SET time = :now WHERE symbol_id = :id AND time > :now"
RECEIVED = """
SELECT day FROM received_day
WHERE symbol_id = :id AND day < :stop AND time > :since
  AND NOT EXISTS (
      SELECT 1 FROM carray(:series) AS wanted
      CROSS JOIN backdated_day
      ON backdated_day.series = wanted.value AND backdated_day.day = received_day.day
  )
ORDER BY day
"""


def forget_received(db: apsw.Connection, symbol: Symbol, now: int) -> None:
    """Forget which days of a symbol received rows more than 48 hours ago; inside a transaction."""
    db.execute(FORGET_RECEIVED, {"id": symbol.id, "since": now - RECEIVED_FOR_S - HOUR})
    db.execute(RECEIVED_NOW, {"id": symbol.id, "now": now})


def list_left(db: apsw.Connection, aim: PruneTarget) -> set[int]:
    """Return the days that would go, had they not received rows in the last 48 hours."""
    bounds = {
        "id": aim.symbol.id,
        "stop": aim.cutoff,
        "since": aim.now - RECEIVED_FOR_S - HOUR,
        "series": _own_and_finer(aim),
    }
    days = [day for (day,) in connection.query_all(db, RECEIVED, bounds)]
    return backdated_days.held_days(db, aim.symbol, NUMBERS[aim.what], days)


def release_pages(db: apsw.Connection, pages: int) -> int:
    """Hand so many free pages back to the file system; inside a transaction.

    Return how many bytes that is.
    """
    before = db.pragma("page_count")
    db.pragma("incremental_vacuum", pages)  # it gives a row for each, and ends with the reader
    return int((before - db.pragma("page_count")) * db.pragma("page_size"))


def count_free_pages(db: apsw.Connection) -> int:
    """Return how many pages of the file hold nothing."""
    return int(db.pragma("freelist_count"))
