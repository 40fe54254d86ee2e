"""Write stored candles and derive every coarser candle in the same transaction."""

from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple

import apsw

from gfil.clocks import UTC, Bucket, Clock
from gfil.store import symbols
from gfil.store.candles import derive, duplicates, ticks
from gfil.store.candles.derive import DERIVED, CandleChanges
from gfil.store.candles.rollup import BucketKey, Ohlcv, is_same, plan_tiles, proves_forming, roll_up
from gfil.store.engine import connection
from gfil.store.retention import backdated_days
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, M1, Timeframe


class CandleColumns(NamedTuple):
    """Candles as equally long columns, in any order; each is one canonical bucket.

    `time` is the bucket's start, UNIX s; `extra_s` its length less the timeframe's seconds.
    """

    time: list[int]
    extra_s: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]


class WriteResult(NamedTuple):
    """What became of the rows of one write. `change` is 0 where nothing changed.

    `imported` are the days they were the first rows of, when these were older than they are kept.
    """

    inserted: int
    updated: int
    unchanged: int
    kept: int
    duplicates: int
    change: int
    warnings: list[str]
    imported: Sequence[int] = ()


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
    """Store candles and derive all that is kept above them; inside a transaction.

    Of two rows in one bucket the larger volume wins, then the later. A later candle corrects an
    earlier one, unless that proves it was saved while forming. `fill` leaves stored ones alone.
    `clock` is that of the rows' source: where their buckets are not UTC's, it is kept from now on.
    M1 that end after `now`, when the rows came, may give way to ticks. Unless that is `inf`, it is
    remembered that their days received rows then.
    """
    rows, duplicate_rows = _distinct(rows)
    if not rows.time:
        return WriteResult(0, 0, 0, 0, duplicate_rows, 0, [])
    imported = backdated_days.find_backdated(db, symbol, timeframe.name, rows.time, now)
    _keep_own_clock(db, symbol, timeframe, rows, clock)
    if _is_untouched(db, symbol, timeframe, rows):
        series = symbol.series(timeframe.number)
        values = list(zip(*rows, strict=True))
        derive.insert_candles(db, derive.INSERT, derive.INSERT_MANY, series, values)
        if timeframe == M1:
            ticks.mark_provisional(db, symbol, _find_early(rows, now), ())
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
    backdated_days.record_days(db, symbol, timeframe.name, imported, spans, now)
    change = symbols.log_change(db, symbol, timeframe, spans)
    return written._replace(change=change, imported=imported)


def _distinct(rows: CandleColumns) -> tuple[CandleColumns, int]:
    if duplicates.is_ascending(rows.time):
        return rows, 0
    winners = list(duplicates.find_winners(rows.time, rows.extra_s, rows.volume))
    columns: list[list[Any]] = [list(map(column.__getitem__, winners)) for column in rows]
    return CandleColumns(*columns), len(rows.time) - len(winners)


def _keep_own_clock(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, rows: CandleColumns, clock: Clock
) -> None:
    if timeframe == M1 or clock == UTC or clock in symbols.own_clocks(db, symbol):
        return  # an M1 is the same minute on every clock
    on_utc = timeframe.intraday and not any(rows.extra_s)
    if on_utc and not any(time % timeframe.seconds for time in rows.time):
        return
    for time, extra_s in zip(rows.time, rows.extra_s, strict=True):
        if UTC.bucket(timeframe, time) != Bucket(time, time + timeframe.seconds + extra_s):
            is_new = clock not in symbols.kept_clocks(db, symbol)
            symbols.keep_clock(db, symbol, clock)
            if is_new:
                derive.derive_clock(db, symbol, clock)
            return


IS_OCCUPIED = """
SELECT EXISTS (SELECT 1 FROM candle WHERE series = :series AND time BETWEEN :first AND :last)
    OR EXISTS (SELECT 1 FROM superseded WHERE series = :series AND time BETWEEN :first AND :last)
"""


def _is_untouched(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, rows: CandleColumns
) -> bool:
    if timeframe in CHAIN and timeframe != M1 and derive.read_extent(db, symbol):
        return False  # what lies below may prove that rows were saved while forming
    span = {"first": min(rows.time), "last": max(rows.time)}
    series = symbol.series(timeframe.number)
    return not connection.query_one(db, IS_OCCUPIED, {"series": series, **span})


def _find_early(rows: CandleColumns, now: float) -> set[int]:
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
    edits = CandleChanges(symbol.series(timeframe.number))
    present = derive.read_at(db, edits.series, rows.time)
    spare = derive.read_superseded_at(db, edits.series, rows.time)
    early = _find_early(rows, now) if timeframe == M1 else set()
    closed = ticks.provisional_at(db, symbol, rows.time) - early if timeframe == M1 else set()
    folds = _fold_below(db, symbol, timeframe, rows, clock, early)
    changed: list[BucketKey] = []
    taken: set[int] = set()
    inserted = unchanged = kept = 0
    protected: list[int] = []
    for time, extra_s, *values in zip(*rows, strict=True):
        key, new = (time, extra_s), Ohlcv(*values)
        have = present.get(key)
        stored = have.values if have and have.kind != DERIVED else spare.get(key)
        same = is_same(new, stored)
        if same and time not in closed:
            unchanged += 1
        elif fill and not same and have is not None and have.kind != DERIVED:
            kept += 1
        elif stored is not None and _protects(stored, new):
            kept += 1
            protected.append(time)
        else:
            taken.add(time)
            wanted = edits.resolve(key, have, spare.get(key), new, folds.get(key))
            if wanted is not None and wanted.kind == DERIVED:
                kept += 1  # the finer candles know better; it comes back should they go
            elif same and wanted == have:
                unchanged += 1
            else:
                inserted += have is None
            if wanted != have:
                changed.append(key)
    edits.apply(db)
    ticks.mark_provisional(db, symbol, early & taken, closed & taken)
    updated = len(rows.time) - inserted - unchanged - kept
    return WriteResult(
        inserted, updated, unchanged, kept, 0, 0, _warn(timeframe, protected)
    ), changed


def _fold_below(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    rows: CandleColumns,
    clock: Clock,
    early: set[int],
) -> dict[BucketKey, Ohlcv]:
    if timeframe == M1:  # the broker's stays, unless it came early
        return {(time, 0): fold for time, fold in ticks.fold_ticks(db, symbol, early).items()}
    if timeframe not in CHAIN:
        return {}
    kept = symbols.kept_clocks(db, symbol)
    folds: dict[BucketKey, Ohlcv] = {}
    spans = derive.merge_spans(timeframe, rows.time, rows.extra_s)
    for on in (UTC,) if timeframe.intraday or clock == UTC else (UTC, clock):
        runs = derive.disjoint_runs(on, timeframe, spans)
        folds |= roll_up(db, symbol, timeframe, plan_tiles(timeframe, on, kept, runs))
    return folds


def _protects(stored: Ohlcv, new: Ohlcv) -> bool:
    return stored.volume > 0 and new.volume > 0 and proves_forming(stored, new)


def _warn(timeframe: Timeframe, protected: list[int]) -> list[str]:
    if not protected:
        return []
    return [
        f"{len(protected)} {timeframe.name} candles kept, the first at {min(protected)}: "
        "those stored are fuller than the new ones, which look as if saved while forming; "
        "delete first to force"
    ]
