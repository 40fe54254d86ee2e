"""Write stored candles and derive every coarser candle in the same transaction."""

from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple

import apsw

from gfil.clocks import UTC, Bucket, Clock, format_instant
from gfil.store import symbols
from gfil.store.candles import derive, duplicates, extent, tick_rollup
from gfil.store.candles.derive import DERIVED, CandleChanges
from gfil.store.candles.rollup import BucketKey, Ohlcv, is_same, plan_tiles, proves_forming, roll_up
from gfil.store.engine import connection
from gfil.store.retention import backdated_days
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, M1, Timeframe
from gfil.wording import format_count


class CandleColumns(NamedTuple):
    """Candles as equally long columns, in any order; each is one canonical bucket.

    `time` is the start of the bucket, UNIX s; `extra_s` its length minus the timeframe's seconds.
    """

    time: list[int]
    extra_s: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]


class WriteResult(NamedTuple):
    """The outcome of one write of candles. `change` is 0 if nothing changed.

    `kept` counts rows that left the candle of their bucket as it was. `backdated` are the days that
    were past their retention when these rows, the first ones, arrived.
    """

    inserted: int
    updated: int
    unchanged: int
    kept: int
    duplicates: int
    change: int
    warnings: list[str]
    backdated: Sequence[int] = ()


def write_candles(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    rows: CandleColumns,
    *,
    clock: Clock = UTC,
    fill: bool = False,
    now: float = inf,
) -> WriteResult:
    """Store candles and derive the materialised candles above them; inside a transaction.

    Of two rows in one bucket the larger volume wins, then the later row. A later write corrects a
    stored candle, unless that candle proves the new one was saved while forming.

    Args:
        db: the database.
        symbol: the symbol.
        timeframe: the timeframe of the rows.
        rows: the candles.
        clock: clock of the source. If the buckets are not UTC's, H4 and D1 are materialised on it.
        fill: leave stored candles unchanged.
        now: time of arrival. M1 that end later are provisional. The time is recorded for the days
            of the rows, unless it is `inf`.
    """
    rows, duplicate_rows = _distinct(rows)
    if not rows.time:
        return WriteResult(0, 0, 0, 0, duplicate_rows, 0, [])
    backdated = backdated_days.find_backdated(db, symbol, timeframe.name, rows.time, now)
    _record_clock(db, symbol, timeframe, rows, clock)
    if _are_buckets_free(db, symbol, timeframe, rows):
        series = symbol.series(timeframe.number)
        values = list(zip(*rows, strict=True))
        derive.insert_candles(db, series, values)
        if timeframe == M1:
            tick_rollup.mark_provisional(db, symbol, _find_provisional(rows, now), ())
        written = WriteResult(len(rows.time), 0, 0, 0, duplicate_rows, 0, [])
        spans = derive.merge_spans(timeframe, rows.time, rows.extra_s)
    else:
        written, changed = _merge(db, symbol, timeframe, rows, clock, fill, now)
        written = written._replace(duplicates=duplicate_rows)
        if not changed:
            return written
        spans = derive.merge_spans(timeframe, *zip(*sorted(changed), strict=True))
    derive.derive_above(db, symbol, timeframe, spans)
    symbols.record_digits(db, symbol, *rows[2:6])
    backdated_days.record_days(db, symbol, timeframe.name, backdated, spans, now)
    change = symbols.log_change(db, symbol, timeframe, spans)
    return written._replace(change=change, backdated=backdated)


def _distinct(rows: CandleColumns) -> tuple[CandleColumns, int]:
    if duplicates.is_ascending(rows.time):
        return rows, 0
    winners = list(duplicates.find_winners(rows.time, rows.extra_s, rows.volume))
    columns: list[list[Any]] = [list(map(column.__getitem__, winners)) for column in rows]
    return CandleColumns(*columns), len(rows.time) - len(winners)


def _record_clock(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, rows: CandleColumns, clock: Clock
) -> None:
    if timeframe == M1 or clock == UTC or clock in symbols.stored_clocks(db, symbol):
        return  # an M1 is the same minute on every clock
    on_utc = timeframe.intraday and not any(rows.extra_s)
    if on_utc and not any(time % timeframe.seconds for time in rows.time):
        return
    for time, extra_s in zip(rows.time, rows.extra_s, strict=True):
        if UTC.bucket(timeframe, time) != Bucket(time, time + timeframe.seconds + extra_s):
            is_new = clock not in symbols.materialised_clocks(db, symbol)
            symbols.add_stored_clock(db, symbol, clock)
            if is_new:
                derive.derive_clock(db, symbol, clock)
            return


IS_OCCUPIED = """
SELECT EXISTS (SELECT 1 FROM candle WHERE series = :series AND time BETWEEN :first AND :last)
    OR EXISTS (SELECT 1 FROM superseded WHERE series = :series AND time BETWEEN :first AND :last)
"""


def _are_buckets_free(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, rows: CandleColumns
) -> bool:
    if timeframe in CHAIN and timeframe != M1 and extent.read_extent(db, symbol):
        return False  # finer candles may prove that rows were saved while forming
    span = {"first": min(rows.time), "last": max(rows.time)}
    series = symbol.series(timeframe.number)
    return not connection.query_one(db, IS_OCCUPIED, {"series": series, **span})


def _find_provisional(rows: CandleColumns, now: float) -> set[int]:
    return {time for time in rows.time if time + M1.seconds > now}


def _merge(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    rows: CandleColumns,
    clock: Clock,
    fill: bool,
    now: float,
) -> tuple[WriteResult, list[BucketKey]]:
    changes = CandleChanges(symbol.series(timeframe.number))
    present = derive.read_at(db, changes.series, rows.time)
    superseded = derive.read_superseded_at(db, changes.series, rows.time)
    provisional, finished = _split_minutes(db, symbol, timeframe, rows, now)
    rolled_up = _roll_up_below(db, symbol, timeframe, rows, clock, provisional)
    changed: list[BucketKey] = []
    accepted: set[int] = set()
    inserted = unchanged = kept = 0
    protected: list[int] = []
    for time, extra_s, *values in zip(*rows, strict=True):
        key, new = (time, extra_s), Ohlcv(*values)
        current, former = present.get(key), superseded.get(key)
        stored = current.values if current and current.kind != DERIVED else former
        same = is_same(new, stored)
        if same and time not in finished:
            unchanged += 1
        elif fill and not same and current is not None and current.kind != DERIVED:
            kept += 1
        elif stored is not None and _protects(stored, new):
            kept += 1
            protected.append(time)
        else:
            accepted.add(time)
            chosen = changes.set_bucket(key, current, former, new, rolled_up.get(key))
            if chosen is not None and chosen.kind == DERIVED:
                kept += 1  # superseded by finer candles; it returns if those are deleted
            elif same and chosen == current:
                unchanged += 1
            else:
                inserted += current is None
            if chosen != current:
                changed.append(key)
    changes.apply(db)
    tick_rollup.mark_provisional(db, symbol, provisional & accepted, finished & accepted)
    updated = len(rows.time) - inserted - unchanged - kept
    warnings = _warn(timeframe, protected)
    return WriteResult(inserted, updated, unchanged, kept, 0, 0, warnings), changed


def _split_minutes(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, rows: CandleColumns, now: float
) -> tuple[set[int], set[int]]:
    # The minutes that are provisional, and the minutes that were provisional and become final.
    if timeframe != M1:
        return set(), set()
    provisional = _find_provisional(rows, now)
    return provisional, tick_rollup.find_provisional(db, symbol, rows.time) - provisional


def _roll_up_below(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    rows: CandleColumns,
    clock: Clock,
    provisional: set[int],
) -> dict[BucketKey, Ohlcv]:
    if timeframe == M1:  # a stored M1 stays, unless it is provisional
        return {
            (time, 0): minute
            for time, minute in tick_rollup.roll_up_ticks(db, symbol, provisional).items()
        }
    if timeframe not in CHAIN:
        return {}
    materialised_on = symbols.materialised_clocks(db, symbol)
    rolled_up: dict[BucketKey, Ohlcv] = {}
    spans = derive.merge_spans(timeframe, rows.time, rows.extra_s)
    for on in (UTC,) if timeframe.intraday or clock == UTC else (UTC, clock):
        runs = derive.disjoint_runs(on, timeframe, spans)
        rolled_up |= roll_up(
            db, symbol, timeframe, plan_tiles(timeframe, on, materialised_on, runs)
        )
    return rolled_up


def _protects(stored: Ohlcv, new: Ohlcv) -> bool:
    return stored.volume > 0 and new.volume > 0 and proves_forming(stored, new)


def _warn(timeframe: Timeframe, protected: list[int]) -> list[str]:
    if not protected:
        return []
    return [
        f"{format_count(len(protected), f'{timeframe.name} candle')} kept, the first at "
        f"{format_instant(min(protected))}: the stored candles are fuller than the new ones, which "
        "look as if saved while forming; delete stored candles first to replace them"
    ]
