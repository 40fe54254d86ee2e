"""Candles: writing stored ones with all that follows from them, and reading any."""

from collections.abc import Mapping, Sequence
from itertools import islice
from math import inf
from operator import lt
from typing import Any, NamedTuple

import apsw

from gfil import clocks
from gfil.clocks import TIME_MAX, TIME_MIN, UTC, Bucket, Clock
from gfil.store import chain, ondemand, retention, symbols, ticks
from gfil.store import db as store
from gfil.store.chain import DERIVED, Edits
from gfil.store.rollup import Fold, Key, is_same, lay_tiles, proves_forming, roll_up
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, M1, Timeframe

REPRICED_MINUTES = 10_000  # of ticks that are derived at once


class Rows(NamedTuple):
    """Candles as equally long columns, in any order; each is one canonical bucket.

    `time` is the bucket's start, UNIX s; `stretch` its length less the timeframe's seconds.
    """

    time: list[int]
    stretch: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]


class Written(NamedTuple):
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


def write(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    rows: Rows,
    *,
    clock: Clock = UTC,
    fill: bool = False,
    now: float = inf,
) -> Written:
    """Store candles and derive all that is kept above them; inside a transaction.

    Of two rows in one bucket the larger volume wins, then the later. A later candle corrects an
    earlier one, unless that proves it was saved while forming. `fill` leaves stored ones alone.
    `clock` is that of the rows' source: where their buckets are not UTC's, it is kept from now on.
    M1 that end after `now`, when the rows came, may give way to ticks. Unless that is `inf`, it is
    remembered that their days received rows then.
    """
    rows, duplicates = _distinct(rows)
    if not rows.time:
        return Written(0, 0, 0, 0, duplicates, 0, [])
    imported = retention.find_imported(db, symbol, timeframe.name, rows.time, now)
    _keep_own_clock(db, symbol, timeframe, rows, clock)
    if _is_untouched(db, symbol, timeframe, rows):
        series = symbol.series(timeframe.number)
        values = list(zip(*rows, strict=True))
        chain.insert(db, chain.INSERT, chain.INSERT_MANY, series, values)
        if timeframe == M1:
            ticks.mark_early(db, symbol, _find_early(rows, now), ())
        written = Written(len(rows.time), 0, 0, 0, duplicates, 0, [])
        spans = chain.spans_of(timeframe, rows.time, rows.stretch)
    else:
        written, changed = _merge(db, symbol, timeframe, rows, clock, fill, now)
        written = written._replace(duplicates=duplicates)
        if not changed:
            return written
        spans = chain.spans_of(timeframe, *zip(*sorted(changed), strict=True))
    chain.derive(db, symbol, timeframe, spans)
    symbols.see_prices(db, symbol, *rows[2:6])
    retention.mark(db, symbol, timeframe.name, imported, spans, now)
    change = symbols.touch(db, symbol, timeframe, spans)
    return written._replace(change=change, imported=imported)


def _distinct(rows: Rows) -> tuple[Rows, int]:
    if all(map(lt, rows.time, islice(rows.time, 1, None))):
        return rows, 0
    best: dict[Key, int] = {}
    for index, key in enumerate(zip(rows.time, rows.stretch, strict=True)):
        rival = best.get(key)
        if rival is None or rows.volume[index] >= rows.volume[rival]:
            best[key] = index
    order = [index for _, index in sorted(best.items())]
    columns: list[list[Any]] = [[column[index] for index in order] for column in rows]
    return Rows(*columns), len(rows.time) - len(order)


def _keep_own_clock(
    db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, rows: Rows, clock: Clock
) -> None:
    if timeframe == M1 or clock == UTC or clock in symbols.own_clocks(db, symbol):
        return  # an M1 is the same minute on every clock
    on_utc = timeframe.intraday and not any(rows.stretch)
    if on_utc and not any(time % timeframe.seconds for time in rows.time):
        return
    for time, stretch in zip(rows.time, rows.stretch, strict=True):
        if UTC.bucket(timeframe, time) != Bucket(time, time + timeframe.seconds + stretch):
            is_new = clock not in symbols.kept_clocks(db, symbol)
            symbols.keep_clock(db, symbol, clock)
            if is_new:
                chain.derive_clock(db, symbol, clock)
            return


IS_OCCUPIED = """
SELECT EXISTS (SELECT 1 FROM candle WHERE series = :series AND time BETWEEN :first AND :last)
    OR EXISTS (SELECT 1 FROM yielded WHERE series = :series AND time BETWEEN :first AND :last)
"""


def _is_untouched(db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, rows: Rows) -> bool:
    if timeframe in CHAIN and timeframe != M1 and chain.read_extent(db, symbol):
        return False  # what lies below may prove that rows were saved while forming
    span = {"first": min(rows.time), "last": max(rows.time)}
    series = symbol.series(timeframe.number)
    return not store.value(db, IS_OCCUPIED, {"series": series, **span})


def _find_early(rows: Rows, now: float) -> set[int]:
    return {time for time in rows.time if time + M1.seconds > now}


def _merge(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    rows: Rows,
    clock: Clock,
    fill: bool,
    now: float,
) -> tuple[Written, list[Key]]:
    edits = Edits(symbol.series(timeframe.number))
    present = chain.read_at(db, edits.series, rows.time)
    spare = chain.read_yielded_at(db, edits.series, rows.time)
    early = _find_early(rows, now) if timeframe == M1 else set()
    closed = ticks.early_at(db, symbol, rows.time) - early if timeframe == M1 else set()
    folds = _fold_below(db, symbol, timeframe, rows, clock, early)
    changed: list[Key] = []
    taken: set[int] = set()
    inserted = unchanged = kept = 0
    protected: list[int] = []
    for time, stretch, *values in zip(*rows, strict=True):
        key, new = (time, stretch), Fold(*values)
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
    ticks.mark_early(db, symbol, early & taken, closed & taken)
    updated = len(rows.time) - inserted - unchanged - kept
    return Written(inserted, updated, unchanged, kept, 0, 0, _warn(timeframe, protected)), changed


def _fold_below(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    rows: Rows,
    clock: Clock,
    early: set[int],
) -> dict[Key, Fold]:
    if timeframe == M1:  # the broker's stays, unless it came early
        return {(time, 0): fold for time, fold in ticks.fold(db, symbol, early).items()}
    if timeframe not in CHAIN:
        return {}
    kept = symbols.kept_clocks(db, symbol)
    folds: dict[Key, Fold] = {}
    spans = chain.spans_of(timeframe, rows.time, rows.stretch)
    for on in (UTC,) if timeframe.intraday or clock == UTC else (UTC, clock):
        runs = chain.disjoint_runs(on, timeframe, spans)
        folds |= roll_up(db, symbol, timeframe, lay_tiles(timeframe, on, kept, runs))
    return folds


def _protects(stored: Fold, new: Fold) -> bool:
    return stored.volume > 0 and new.volume > 0 and proves_forming(stored, new)


def _warn(timeframe: Timeframe, protected: list[int]) -> list[str]:
    if not protected:
        return []
    return [
        f"{len(protected)} {timeframe.name} candles kept, the first at {min(protected)}: "
        "those stored are fuller than the new ones, which look as if saved while forming; "
        "delete first to force"
    ]


def set_facts(db: apsw.Connection, symbol: Symbol, facts: Mapping[str, Any]) -> Symbol:
    """Set facts of a symbol by the names of its fields, and derive again what depends on them.

    Inside a transaction.

    Raises:
        BadParameter: a fact is out of range, the clock is none.
    """
    plain = {fact: value for fact, value in facts.items() if fact not in ("clock", "price")}
    clock = clocks.parse(facts.get("clock", symbol.clock))
    if symbol != symbol._replace(**plain):
        symbol = symbols.update(db, symbol._replace(**plain))
    return set_clock(db, set_price(db, symbol, facts.get("price", symbol.price)), clock)


def set_clock(db: apsw.Connection, symbol: Symbol, clock: Clock) -> Symbol:
    """Draw a symbol on another clock and keep H4 and D1 on it; inside a transaction."""
    before = clocks.parse(symbol.clock)
    if clock == before:
        return symbol
    changed = symbols.update(db, symbol._replace(clock=clock.name))
    chain.derive_clock(db, changed, clock)
    chain.drop_clock(db, changed, before)
    return changed


def set_price(db: apsw.Connection, symbol: Symbol, price: str | None) -> Symbol:
    """Say which price of a tick counts, and derive all M1 of ticks again; inside a transaction.

    None is `last` where it is not 0, else `bid`.

    Raises:
        BadParameter: it is no such price.
    """
    if price == symbol.price:
        return symbol
    changed = symbols.update(db, symbol._replace(price=price))
    minutes = ticks.minutes_of(db, changed, 0, TIME_MAX * 1000)
    for at in range(0, len(minutes), REPRICED_MINUTES):
        ticks.derive(db, changed, minutes[at : at + REPRICED_MINUTES], shrunk=True)
    return changed._replace(change=symbols.touch_all(db, changed))


class Page(NamedTuple):
    """Candles in ascending order. `next` is where the following page starts (for pages forward),
    or before which it stops (for pages backward); None where there is nothing more.
    """

    candles: list[tuple[int, float, float, float, float, float]]
    next: int | None


# A candle of a timeframe and clock that is kept: the hot path, one query and no Python.
READ_NEWEST = """
SELECT time, open, high, low, close, volume
FROM candle
WHERE series = :series AND time < :stop AND time >= :start AND stretch = 0 AND time % :seconds = 0
ORDER BY time DESC
LIMIT :limit
"""
READ_OLDEST = """
SELECT time, open, high, low, close, volume
FROM candle
WHERE series = :series AND time >= :start AND time < :stop AND stretch = 0 AND time % :seconds = 0
ORDER BY time
LIMIT :limit
"""


def read(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    clock: Clock,
    start: int | None = None,
    stop: int | None = None,
    limit: int = 500,
) -> Page:
    """Return up to `limit` candles whose time lies in `[start, stop)`, each from its full bucket.

    With `start` the oldest of them, without it the newest. Several reads that must agree belong
    into one `db.snapshot`.
    """
    forward = start is not None
    # No candle lies outside: this bounds the arithmetic, not the answer.
    first = TIME_MIN if start is None else min(max(start, TIME_MIN), TIME_MAX)
    last = TIME_MAX if stop is None else min(max(stop, TIME_MIN), TIME_MAX)
    if is_kept_on_utc(db, symbol, timeframe, clock):
        bindings = {"series": symbol.series(timeframe.number), "seconds": timeframe.seconds}
        bindings |= {"start": first, "stop": last, "limit": limit + 1}
        found = store.query(db, READ_OLDEST if forward else READ_NEWEST, bindings)
        if not forward:
            found.reverse()
    else:
        found = ondemand.read(db, symbol, timeframe, clock, first, last, limit + 1, forward)
    if len(found) <= limit:
        return Page(found, None)
    return Page(found[:-1], found[-1][0]) if forward else Page(found[1:], found[1][0])


def is_kept_on_utc(db: apsw.Connection, symbol: Symbol, timeframe: Timeframe, clock: Clock) -> bool:
    """Say whether a read is one query: the candles are kept as UTC's buckets are."""
    if timeframe not in CHAIN or clock == UTC:
        return timeframe in CHAIN
    if not timeframe.intraday:
        return False
    first = store.value(db, chain.FIRST, {"series": symbol.series(timeframe.number)})
    return clock.cuts_like_utc(timeframe, TIME_MAX if first is None else first)
