"""Prune rows past their retention in batches, and settle the candles derived from them.

Pruning differs from deletion: the derived candles stay as they are, and live subscribers receive no
event.
"""

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import apsw

from gfil.clocks import UTC, Bucket
from gfil.store import change_log, symbols
from gfil.store.candles import derive, extent, rollup, tick_rollup
from gfil.store.candles.rollup import BucketKey, plan_tiles
from gfil.store.engine import connection
from gfil.store.retention import backdated_days, rules
from gfil.store.retention.backdated_days import RECEIVED_FOR_S
from gfil.store.retention.rules import IN_CHAIN, NUMBERS, TICKS
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, DAY, HOUR, M1, MINUTE, TIMEFRAMES, Timeframe

HORIZON_DAYS = 64  # of one search for protected days; longer than any candle and any batch
DAYS_MAX = 16  # of one batch


class PruneTarget(NamedTuple):
    """The rows to prune: `subject` of a symbol before `cutoff`, decided at `now`.

    `subject` is a timeframe or `ticks`. `removes_backdated` prunes backdated days too.
    """

    symbol: Symbol
    subject: str
    cutoff: int
    now: int
    removes_backdated: bool


class PruneBatch(NamedTuple):
    """One batch: rows that start in `[start, stop)`; candles must also end by `until`."""

    start: int
    stop: int
    until: int


class PruneResult(NamedTuple):
    """The outcome of a batch: removed rows, the days they were on, and settled candles."""

    rows: int = 0
    days: int = 0
    settled: int = 0


def read_target(
    db: apsw.Connection,
    symbol: Symbol,
    subject: str,
    *,
    until: int,
    now: int,
    removes_backdated: bool = False,
) -> PruneTarget:
    """Return the target of a subject by the rules stored now; retention counts back from `until`.

    Raises:
        SymbolUnknown: the symbol was deleted meanwhile.
    """
    symbol = symbols.reload(db, symbol)
    cutoff = rules.cutoffs(rules.read_rules(db, symbol), until)[subject]
    return PruneTarget(symbol, subject, cutoff, now, removes_backdated)


READ_PROTECTED_DAYS = """
SELECT day
FROM received_day
WHERE symbol_id = :id AND day >= :start AND day < :stop AND time > :since
  AND NOT (
      :removes_backdated
      AND EXISTS (
          SELECT 1
          FROM backdated_day
          WHERE series = :own AND backdated_day.day = received_day.day
      )
  )
UNION
SELECT backdated_day.day
FROM carray(:series) AS given
CROSS JOIN backdated_day
ON backdated_day.series = given.value AND backdated_day.day >= :start AND backdated_day.day < :stop
WHERE NOT :removes_backdated
ORDER BY 1
"""


def find_batch(
    db: apsw.Connection, target: PruneTarget, start: int, *, days: int, rows: int
) -> PruneBatch | None:
    """Return the first batch from `start` on, or None if no rows are left to prune.

    A batch has at most `days` days, of ticks at most `rows` rows. Days that received rows in the
    last 48 hours are skipped, and so are backdated days of the subject or of a finer one.
    """
    while (first := _first_time(db, target, start)) is not None and first < target.cutoff:
        day = first - first % DAY
        horizon = min(target.cutoff, day + HORIZON_DAYS * DAY)
        protected = _read_protected_days(db, target, day, horizon)
        start = day
        while start in protected:
            start += DAY
        if start > day:
            continue
        until = protected[0] if protected else horizon
        stop = min(until, day + days * DAY)
        if target.subject == TICKS:
            return PruneBatch(first, _end_of_ticks(db, target, first, stop, rows), until)
        return PruneBatch(day, stop, until)
    return None


def _first_time(db: apsw.Connection, target: PruneTarget, start: int) -> int | None:
    if target.subject == TICKS:
        tick_msc = extent.read_tick_msc_from(db, target.symbol, max(start, 0) * 1000)
        return None if tick_msc is None else tick_msc // 1000 // MINUTE * MINUTE
    return extent.read_first_time_from(db, target.symbol.series(NUMBERS[target.subject]), start)


def _read_protected_days(
    db: apsw.Connection, target: PruneTarget, start: int, stop: int
) -> list[int]:
    bindings = {
        "id": target.symbol.id,
        "start": start,
        "stop": stop,
        "since": target.now - RECEIVED_FOR_S - HOUR,
        "removes_backdated": target.removes_backdated,
        "own": target.symbol.series(NUMBERS[target.subject]),
        "series": _own_and_finer(target),
    }
    return [day for (day,) in connection.query_all(db, READ_PROTECTED_DAYS, bindings)]


def _own_and_finer(target: PruneTarget) -> Any:
    numbers = [NUMBERS[subject] for subject in (*_finer(target), target.subject)]
    return apsw.carray(array("q", map(target.symbol.series, numbers)))


def _finer(target: PruneTarget) -> Sequence[str]:
    return IN_CHAIN[: IN_CHAIN.index(target.subject)] if target.subject in IN_CHAIN else ()


def _end_of_ticks(
    db: apsw.Connection, target: PruneTarget, first: int, stop: int, rows: int
) -> int:
    tick_msc = extent.read_tick_msc_from(db, target.symbol, first * 1000, rows)
    if tick_msc is None:
        return stop
    return min(stop, max(tick_msc // 1000 // MINUTE * MINUTE, first + MINUTE))


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


def count_batch(db: apsw.Connection, target: PruneTarget, batch: PruneBatch) -> PruneResult:
    """Count the rows of a batch and the days they are on; `settled` stays 0."""
    if target.subject == TICKS:
        return PruneResult(
            *connection.query_one(db, COUNT_TICKS, _tick_bounds(target.symbol, batch))
        )
    return PruneResult(*connection.query_one(db, COUNT, _bounds(target, batch)))


def remove_batch(db: apsw.Connection, target: PruneTarget, batch: PruneBatch) -> PruneResult:
    """Remove a batch and settle the candles that lose their base; inside a transaction.

    The change log gets one change of the symbol, because pages that contained the batch have
    changed. The log entry has the series `PRUNED`, which subscribers ignore.
    """
    result = count_batch(db, target, batch)
    if not result.rows or _holds_finer(db, target, batch):
        return PruneResult()
    if target.subject == TICKS:
        settled = _remove_ticks(db, target.symbol, batch)
    else:
        settled = _remove_candles(db, target, batch)
    change = symbols.log_change(db, target.symbol)
    change_log.append(
        db, change, target.symbol.series(change_log.PRUNED), [Bucket(batch.start, batch.stop)]
    )
    return result._replace(settled=settled)


def _holds_finer(db: apsw.Connection, target: PruneTarget, batch: PruneBatch) -> bool:
    # After changed rules, finer rows may be left: the candles derived from them must stay.
    return any(
        count_batch(db, target._replace(subject=subject), batch._replace(until=batch.stop)).rows
        for subject in _finer(target)
    )


def _bounds(target: PruneTarget, batch: PruneBatch) -> dict[str, int]:
    timeframe = TIMEFRAMES[NUMBERS[target.subject]]
    bounds = {"series": target.symbol.series(timeframe.number), "seconds": timeframe.seconds}
    return bounds | batch._asdict()


def _tick_bounds(symbol: Symbol, batch: PruneBatch) -> dict[str, int]:
    bounds = {"start_msc": max(batch.start, 0) * 1000, "stop_msc": batch.stop * 1000}
    return bounds | {"id": symbol.id}


DELETE_TICKS = """
DELETE FROM tick
WHERE symbol_id = :id AND time_msc >= :start_msc AND time_msc < :stop_msc
"""


def _remove_ticks(db: apsw.Connection, symbol: Symbol, batch: PruneBatch) -> int:
    bounds = _tick_bounds(symbol, batch)
    minutes = tick_rollup.list_minutes(db, symbol, bounds["start_msc"], bounds["stop_msc"])
    settled = _settle(db, symbol.series(M1.number), [(minute, 0) for minute in minutes])
    # A stored M1 whose ticks were pruned does not give way to late ticks.
    tick_rollup.mark_provisional(db, symbol, (), minutes)
    db.execute(DELETE_TICKS, bounds)
    return settled


READ_KEYS = """
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
DELETE_PROVISIONAL = """
DELETE FROM provisional
WHERE series = :series AND time >= :start AND time < :stop
"""


def _remove_candles(db: apsw.Connection, target: PruneTarget, batch: PruneBatch) -> int:
    symbol, bounds = target.symbol, _bounds(target, batch)
    timeframe = TIMEFRAMES[NUMBERS[target.subject]]
    settled = 0
    if timeframe in CHAIN:
        keys = connection.query_all(db, READ_KEYS, bounds)
        spans = derive.merge_spans(timeframe, *map(list, zip(*keys, strict=True)))
        settled = _settle_above(db, symbol, timeframe, spans, bounds)
    db.execute(DELETE, bounds)
    db.execute(DELETE_SUPERSEDED, bounds)
    if timeframe == M1:
        db.execute(DELETE_PROVISIONAL, bounds)
    return settled


# The buckets whose base candles (by `temp.tile`) are pruned.
READ_LOSING_BUCKETS = """
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
    materialised_on = symbols.materialised_clocks(db, symbol)
    settled = 0
    for coarser in CHAIN[CHAIN.index(timeframe) + 1 :]:
        for clock in [UTC] if coarser.intraday else materialised_on:
            runs = derive.disjoint_runs(clock, coarser, spans)
            tiles = plan_tiles(coarser, clock, materialised_on, runs).get(timeframe)
            if not tiles:
                continue
            rollup.load_tiles(db, tiles)
            is_mixed = {"target_s": coarser.seconds, "is_mixed": timeframe != M1}
            keys = connection.query_all(db, READ_LOSING_BUCKETS, bounds | is_mixed)
            newly_settled = _settle(db, symbol.series(coarser.number), keys)
            settled += newly_settled
            if newly_settled and any(_differs_from_utc(coarser, *key) for key in keys):
                symbols.add_stored_clock(db, symbol, clock)
    return settled


def _differs_from_utc(timeframe: Timeframe, time: int, extra_s: int) -> bool:
    return UTC.bucket(timeframe, time) != Bucket(time, time + timeframe.seconds + extra_s)


SETTLE = """
UPDATE candle
SET kind = 2
WHERE series = ? AND time = ? AND extra_s = ? AND kind = 0
"""


def _settle(db: apsw.Connection, series: int, keys: Sequence[BucketKey]) -> int:
    before = db.total_changes()
    db.executemany(SETTLE, ((series, *key) for key in keys))
    settled = db.total_changes() - before
    if derive.has_superseded(db, series):
        derive.drop_superseded(db, series, keys)
    return settled


FORGET_RECEIVED = "DELETE FROM received_day WHERE symbol_id = :id AND time <= :since"
# A server whose clock was ahead wrote future times, which would protect these days for too long.
LIMIT_RECEIVED = "UPDATE received_day SET time = :now WHERE symbol_id = :id AND time > :now"


def forget_received(db: apsw.Connection, symbol: Symbol, now: int) -> None:
    """Delete the records of days that received rows over 48 hours ago; inside a transaction."""
    db.execute(FORGET_RECEIVED, {"id": symbol.id, "since": now - RECEIVED_FOR_S - HOUR})
    db.execute(LIMIT_RECEIVED, {"id": symbol.id, "now": now})


READ_RECEIVED = """
SELECT day
FROM received_day
WHERE symbol_id = :id AND day < :stop AND time > :since
  AND NOT EXISTS (
      SELECT 1
      FROM carray(:series) AS given
      CROSS JOIN backdated_day
      ON backdated_day.series = given.value AND backdated_day.day = received_day.day
  )
ORDER BY day
"""


def list_recent_days(db: apsw.Connection, target: PruneTarget) -> set[int]:
    """Return the days that prune skips only because they received rows in the last 48 hours."""
    bounds = {
        "id": target.symbol.id,
        "stop": target.cutoff,
        "since": target.now - RECEIVED_FOR_S - HOUR,
        "series": _own_and_finer(target),
    }
    days = [day for (day,) in connection.query_all(db, READ_RECEIVED, bounds)]
    return backdated_days.find_days_with_rows(db, target.symbol, NUMBERS[target.subject], days)


def release_pages(db: apsw.Connection, pages: int) -> int:
    """Return up to `pages` free pages to the file system; inside a transaction.

    Returns:
        The number of bytes released.
    """
    before = db.pragma("page_count")
    db.pragma("incremental_vacuum", pages)  # yields a row for each page; `pragma` reads them all
    return int((before - db.pragma("page_count")) * db.pragma("page_size"))


def count_free_pages(db: apsw.Connection) -> int:
    """Return the number of free pages in the file."""
    return int(db.pragma("freelist_count"))
