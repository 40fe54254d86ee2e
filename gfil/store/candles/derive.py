"""Derive the candles of materialised timeframes from finer ones whenever those change.

`pick_candle` is the rule for each bucket: the stored candle wins, unless its base (the finer
candles) proves that it was saved while forming.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain as join
from itertools import islice, pairwise
from operator import sub
from typing import Any, NamedTuple

import apsw

from gfil.clocks import TIME_MIN, UTC, Bucket, Clock, Run
from gfil.store import symbols
from gfil.store.candles import extent, rollup
from gfil.store.candles.rollup import BucketKey, Ohlcv, TilePlan, plan_tiles, proves_forming
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, D1, H4, HOUR, Timeframe

DERIVED, STORED, SETTLED = 0, 1, 2  # candle.kind
SPAN_GAP_MAX_S = HOUR  # spans nearer than this are derived as one


class StoredCandle(NamedTuple):
    """A row of the table `candle`: its kind and values."""

    kind: int
    values: Ohlcv


def pick_candle(stored: Ohlcv | None, rolled_up: Ohlcv | None) -> StoredCandle | None:
    """Choose the candle of a bucket: the stored one, unless its base proves it was forming."""
    if stored is not None and not (rolled_up is not None and proves_forming(rolled_up, stored)):
        return StoredCandle(STORED, stored)
    return None if rolled_up is None else StoredCandle(DERIVED, rolled_up)


READ_AT = """
SELECT candle.time, candle.extra_s, candle.kind,
       candle.open, candle.high, candle.low, candle.close, candle.volume
FROM carray(:times) AS given
CROSS JOIN candle
ON candle.series = :series AND candle.time = given.value
"""


def read_at(
    db: apsw.Connection, series: int, times: Iterable[int]
) -> dict[BucketKey, StoredCandle]:
    """Return the candles of a series that start at given times."""
    bindings = {"series": series, "times": apsw.carray(array("q", times))}
    return {
        (time, extra_s): StoredCandle(kind, Ohlcv(*values))
        for time, extra_s, kind, *values in connection.query_all(db, READ_AT, bindings)
    }


HAS_SUPERSEDED = """
SELECT EXISTS (SELECT 1 FROM superseded WHERE series = :series)
"""


def has_superseded(db: apsw.Connection, series: int) -> bool:
    """Return whether any candle of a series is superseded."""
    return bool(connection.query_one(db, HAS_SUPERSEDED, {"series": series}))


READ_SUPERSEDED_AT = """
SELECT superseded.time, superseded.extra_s,
       superseded.open, superseded.high, superseded.low, superseded.close, superseded.volume
FROM carray(:times) AS given
CROSS JOIN superseded
ON superseded.series = :series AND superseded.time = given.value
"""


def read_superseded_at(
    db: apsw.Connection, series: int, times: Iterable[int]
) -> dict[BucketKey, Ohlcv]:
    """Return the superseded candles of a series that start at given times."""
    if not has_superseded(db, series):
        return {}
    bindings = {"series": series, "times": apsw.carray(array("q", times))}
    return {
        (time, extra_s): Ohlcv(*values)
        for time, extra_s, *values in connection.query_all(db, READ_SUPERSEDED_AT, bindings)
    }


DROP_SUPERSEDED = "DELETE FROM superseded WHERE series = ?1 AND time = ?2 AND extra_s = ?3"


def drop_superseded(db: apsw.Connection, series: int, keys: Iterable[BucketKey]) -> None:
    """Delete superseded candles of a series; inside a transaction."""
    db.executemany(DROP_SUPERSEDED, ((series, *key) for key in keys))


# Positional parameters: these statements run for every row of an import, and a dict for each row
# doubles the cost.
INSERT = """
INSERT INTO candle (series, time, extra_s, open, high, low, close, volume, kind)
VALUES (?1, ?, ?, ?, ?, ?, ?, ?, 1)"""
INSERT_ROWS = 50  # rows of one statement: a third faster than one by one
INSERT_MANY = INSERT + ", (?1, ?, ?, ?, ?, ?, ?, ?, 1)" * (INSERT_ROWS - 1)


def insert_candles(db: apsw.Connection, series: int, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert stored candles (time, extra_s, open, high, low, close, volume) into free buckets."""
    insert_rows(db, INSERT, INSERT_MANY, series, rows)


def insert_rows(
    db: apsw.Connection, one: str, many: str, owner: int, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows with two statements: `many` for `INSERT_ROWS` rows each, `one` for the rest.

    Both take `owner` (a series or symbol id) as their first parameter.
    """
    width = len(rows[0])
    values = [*join.from_iterable(rows)]
    step = width * INSERT_ROWS
    whole = len(values) // step * step
    db.executemany(many, ([owner, *values[at : at + step]] for at in range(0, whole, step)))
    rest = range(whole, len(values), width)
    db.executemany(one, ([owner, *values[at : at + width]] for at in rest))


PUT = """
INSERT INTO candle (series, time, extra_s, open, high, low, close, volume, kind)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (series, time, extra_s) DO UPDATE
SET open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume, kind = excluded.kind
"""
DROP = "DELETE FROM candle WHERE series = ?1 AND time = ?2 AND extra_s = ?3"
PUT_SUPERSEDED = """
INSERT INTO superseded (series, time, extra_s, open, high, low, close, volume)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (series, time, extra_s) DO UPDATE
SET open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume
"""


class CandleChanges:
    """Changes to one series: collected first, then applied together."""

    def __init__(self, series: int) -> None:
        self.series = series
        self.put: dict[BucketKey, StoredCandle] = {}
        self.drop: list[BucketKey] = []
        self.put_superseded: dict[BucketKey, Ohlcv] = {}
        self.drop_superseded: list[BucketKey] = []

    def set_bucket(
        self,
        key: BucketKey,
        present: StoredCandle | None,
        superseded: Ohlcv | None,
        stored: Ohlcv | None,
        rolled_up: Ohlcv | None,
    ) -> StoredCandle | None:
        """Collect the changes that leave one bucket with the candle `pick_candle` chooses.

        Args:
            key: the bucket.
            present: its candle in the database now.
            superseded: its superseded candle in the database now.
            stored: the stored candle to choose from.
            rolled_up: the candle that its base makes.

        Returns:
            The chosen candle.
        """
        chosen = pick_candle(stored, rolled_up)
        if chosen is None and present is not None:
            self.drop.append(key)
        elif chosen is not None and chosen != present:
            self.put[key] = chosen
        gives_way = stored if chosen is None or chosen.kind == DERIVED else None
        if gives_way is not None and gives_way != superseded:
            self.put_superseded[key] = gives_way
        elif gives_way is None and superseded is not None:
            self.drop_superseded.append(key)
        return chosen

    def apply(self, db: apsw.Connection) -> None:
        """Write the collected changes; inside a transaction."""
        series = self.series
        for sql, rows in (
            (PUT, [(series, *key, *new.values, new.kind) for key, new in self.put.items()]),
            (DROP, [(series, *key) for key in self.drop]),
            (PUT_SUPERSEDED, [(series, *key, *new) for key, new in self.put_superseded.items()]),
            (DROP_SUPERSEDED, [(series, *key) for key in self.drop_superseded]),
        ):
            if rows:
                db.executemany(sql, rows)


def derive_above(
    db: apsw.Connection,
    symbol: Symbol,
    timeframe: Timeframe,
    spans: Sequence[Bucket],
    *,
    shrunk: bool = False,
) -> None:
    """Derive all materialised candles above a timeframe again; inside a transaction.

    Args:
        db: the database.
        symbol: the symbol.
        timeframe: the timeframe whose candles changed.
        spans: where they changed, ascending.
        shrunk: candles were removed from the spans.
    """
    if timeframe not in CHAIN or not spans:
        return
    materialised_on = symbols.materialised_clocks(db, symbol)
    for target in CHAIN:
        if target.seconds > timeframe.seconds:
            for clock in [UTC] if target.intraday else materialised_on:
                rederive(db, symbol, target, clock, materialised_on, spans, shrunk=shrunk)


def derive_clock(db: apsw.Connection, symbol: Symbol, clock: Clock) -> None:
    """Derive all H4 and D1 of a clock on which they are materialised from now on."""
    materialised_on = symbols.materialised_clocks(db, symbol)
    for target in (H4, D1):
        span = extent.read_extent(db, symbol)
        if span is not None:
            rederive(db, symbol, target, clock, materialised_on, [span])


def drop_derived_clock(db: apsw.Connection, symbol: Symbol, clock: Clock) -> None:
    """Delete the derived H4 and D1 of a clock on which they are no longer materialised."""
    materialised_on = symbols.materialised_clocks(db, symbol)
    span = extent.read_extent(db, symbol)
    if span is None or clock in materialised_on:
        return
    for target in (H4, D1):
        changes = CandleChanges(symbol.series(target.number))
        starts = [bucket.start for bucket in clock.buckets(target, *span)]
        for key, candle in read_at(db, changes.series, starts).items():
            bucket = Bucket(key[0], key[0] + target.seconds + key[1])
            is_shared = any(
                other.bucket(target, bucket.start) == bucket for other in materialised_on
            )
            if candle.kind == DERIVED and not is_shared:
                changes.drop.append(key)
        changes.apply(db)


IS_CONTESTED = """
SELECT EXISTS (
    SELECT 1
    FROM candle
    WHERE series = :series AND time >= :start AND time < :stop AND kind > 0
) OR EXISTS (
    SELECT 1
    FROM superseded
    WHERE series = :series
)
"""


def rederive(
    db: apsw.Connection,
    symbol: Symbol,
    target: Timeframe,
    clock: Clock,
    materialised_on: Sequence[Clock],
    spans: Sequence[Bucket],
    *,
    shrunk: bool = False,
) -> None:
    """Derive the candles of one materialised timeframe and clock again that overlap any span."""
    plan_runs = _plan_runs_cached if len(spans) == 1 else _plan_runs
    runs, plan = plan_runs(target, clock, tuple(materialised_on), tuple(spans))
    series = symbol.series(target.number)
    bounds = {"series": series, "start": runs[0].start, "stop": runs[-1].stop}
    if shrunk or connection.query_one(db, IS_CONTESTED, bounds):
        _rederive_one_by_one(db, symbol, target, runs, plan)
    else:
        rollup.derive_candles(db, symbol, target, plan)


def _plan_runs(
    target: Timeframe, clock: Clock, materialised_on: tuple[Clock, ...], spans: tuple[Bucket, ...]
) -> tuple[list[Run], TilePlan]:
    runs = list(disjoint_runs(clock, target, spans))
    return runs, plan_tiles(target, clock, materialised_on, runs)


# Ticks of all symbols fall into the same few buckets.
_plan_runs_cached = lru_cache(maxsize=256)(_plan_runs)


def _rederive_one_by_one(
    db: apsw.Connection, symbol: Symbol, target: Timeframe, runs: Sequence[Run], plan: TilePlan
) -> None:
    starts = [(range(*run), run.length - target.seconds) for run in runs]
    times = [start for run_starts, _ in starts for start in run_starts]
    keys = {(start, extra_s) for run_starts, extra_s in starts for start in run_starts}
    changes = CandleChanges(symbol.series(target.number))
    rolled_up = rollup.roll_up(db, symbol, target, plan)
    present = read_at(db, changes.series, times)
    superseded = read_superseded_at(db, changes.series, times)
    for key in rolled_up.keys() | ((present.keys() | superseded.keys()) & keys):
        current, former = present.get(key), superseded.get(key)
        if current is None or current.kind != SETTLED:
            stored = current.values if current and current.kind == STORED else former
            changes.set_bucket(key, current, former, stored, rolled_up.get(key))
    changes.apply(db)


def disjoint_runs(clock: Clock, timeframe: Timeframe, spans: Sequence[Bucket]) -> Iterator[Run]:
    """Yield the runs of buckets that overlap ascending spans, each bucket once."""
    done = 2 * TIME_MIN
    for start, stop in spans:
        for run in clock.runs(timeframe, max(start, done), stop):
            done = run.stop
            yield run


def merge_spans(
    timeframe: Timeframe, times: Sequence[int], extras_s: Sequence[int]
) -> list[Bucket]:
    """Return the spans that candles of a timeframe cover; near spans are joined.

    `times` must be ascending; so are the spans.
    """
    gap = timeframe.seconds + SPAN_GAP_MAX_S
    steps = map(sub, islice(times, 1, None), times)
    cuts = [0, *(index for index, step in enumerate(steps, 1) if step > gap), len(times)]
    return [
        Bucket(times[first], times[after - 1] + timeframe.seconds + extras_s[after - 1])
        for first, after in pairwise(cuts)
    ]
