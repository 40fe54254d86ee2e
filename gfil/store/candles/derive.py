"""The chain kept true: derived candles follow their base, stored ones win or give way."""

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
from gfil.store.candles import rollup
from gfil.store.candles.rollup import BucketKey, Ohlcv, TilePlan, plan_tiles, proves_forming
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, D1, H4, HOUR, Timeframe

DERIVED, STORED, SETTLED = 0, 1, 2
SPAN_GAP_MAX_S = HOUR  # spans nearer than this are derived as one


class StoredCandle(NamedTuple):
    """A candle as it lies in the database."""

    kind: int
    values: Ohlcv


def pick_candle(stored: Ohlcv | None, fold: Ohlcv | None) -> StoredCandle | None:
    """Choose what a bucket shows: the stored candle, unless its base proves it was forming."""
    if stored is not None and not (fold is not None and proves_forming(fold, stored)):
        return StoredCandle(STORED, stored)
    return None if fold is None else StoredCandle(DERIVED, fold)


READ_AT = """
SELECT candle.time, candle.extra_s, candle.kind,
       candle.open, candle.high, candle.low, candle.close, candle.volume
FROM carray(:times) AS wanted
CROSS JOIN candle
ON candle.series = :series AND candle.time = wanted.value
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


HAS_SUPERSEDED = "SELECT EXISTS (SELECT 1 FROM superseded WHERE series = :series)"
READ_SUPERSEDED_AT = """
SELECT superseded.time, superseded.extra_s,
       superseded.open, superseded.high, superseded.low, superseded.close, superseded.volume
FROM carray(:times) AS wanted
CROSS JOIN superseded
ON superseded.series = :series AND superseded.time = wanted.value
"""


def read_superseded_at(
    db: apsw.Connection, series: int, times: Iterable[int]
) -> dict[BucketKey, Ohlcv]:
    """Return the stored candles that gave way to finer ones and start at given times."""
    if not connection.query_one(db, HAS_SUPERSEDED, {"series": series}):
        return {}
    bindings = {"series": series, "times": apsw.carray(array("q", times))}
    return {
        (time, extra_s): Ohlcv(*values)
        for time, extra_s, *values in connection.query_all(db, READ_SUPERSEDED_AT, bindings)
    }


# Positional, because these run for every row of an import: a dict for each costs as much again.
INSERT = """
INSERT INTO candle (series, time, extra_s, open, high, low, close, volume, kind)
VALUES (?1, ?, ?, ?, ?, ?, ?, ?, 1)"""
INSERT_ROWS = 50  # of one statement: a third faster than one by one
INSERT_MANY = INSERT + ", (?1, ?, ?, ?, ?, ?, ?, ?, 1)" * (INSERT_ROWS - 1)
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
DROP_SUPERSEDED = "DELETE FROM superseded WHERE series = ?1 AND time = ?2 AND extra_s = ?3"


def insert_candles(
    db: apsw.Connection, one: str, many: str, head: int, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows by a statement for one and one for `INSERT_ROWS` of them; `head` is in each."""
    width = len(rows[0])
    values = [*join.from_iterable(rows)]
    step = width * INSERT_ROWS
    whole = len(values) // step * step
    db.executemany(many, ([head, *values[at : at + step]] for at in range(0, whole, step)))
    rest = range(whole, len(values), width)
    db.executemany(one, ([head, *values[at : at + width]] for at in rest))


class CandleChanges:
    """What is to change in one series, gathered first and then applied."""

    def __init__(self, series: int) -> None:
        self.series = series
        self.put: dict[BucketKey, StoredCandle] = {}
        self.drop: list[BucketKey] = []
        self.put_superseded: dict[BucketKey, Ohlcv] = {}
        self.drop_superseded: list[BucketKey] = []

    def resolve(
        self,
        key: BucketKey,
        present: StoredCandle | None,
        spare: Ohlcv | None,
        stored: Ohlcv | None,
        fold: Ohlcv | None,
    ) -> StoredCandle | None:
        """Make one bucket show what `stored` and `fold` decide; return that.

        `present` is the candle there now, `spare` the stored one that had given way.
        """
        wanted = pick_candle(stored, fold)
        if wanted is None and present is not None:
            self.drop.append(key)
        elif wanted is not None and wanted != present:
            self.put[key] = wanted
        gives_way = stored if wanted is None or wanted.kind == DERIVED else None
        if gives_way is not None and gives_way != spare:
            self.put_superseded[key] = gives_way
        elif gives_way is None and spare is not None:
            self.drop_superseded.append(key)
        return wanted

    def apply(self, db: apsw.Connection) -> None:
        """Write it all; inside a transaction."""
        series = self.series
        for sql, rows in (
            (PUT, [(series, *key, *kept.values, kept.kind) for key, kept in self.put.items()]),
            (DROP, [(series, *key) for key in self.drop]),
            (PUT_SUPERSEDED, [(series, *key, *fold) for key, fold in self.put_superseded.items()]),
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
    """Derive all kept candles above a timeframe again where its own have changed.

    `spans` are ascending; `shrunk` says that candles have gone from them. Inside a transaction.
    """
    if timeframe not in CHAIN or not spans:
        return
    kept = symbols.kept_clocks(db, symbol)
    for target in CHAIN:
        if target.seconds > timeframe.seconds:
            for clock in [UTC] if target.intraday else kept:
                rederive(db, symbol, target, clock, kept, spans, shrunk=shrunk)


def derive_clock(db: apsw.Connection, symbol: Symbol, clock: Clock) -> None:
    """Derive the whole H4 and D1 of a clock on which they are kept from now on."""
    kept = symbols.kept_clocks(db, symbol)
    for target in (H4, D1):
        extent = read_extent(db, symbol)
        if extent is not None:
            rederive(db, symbol, target, clock, kept, [extent])


def drop_derived_clock(db: apsw.Connection, symbol: Symbol, clock: Clock) -> None:
    """Remove the derived H4 and D1 of a clock on which they are no longer kept."""
    kept = symbols.kept_clocks(db, symbol)
    extent = read_extent(db, symbol)
    if extent is None or clock in kept:
        return
    for target in (H4, D1):
        edits = CandleChanges(symbol.series(target.number))
        mine = clock.buckets(target, *extent)
        for key, kept_candle in read_at(
            db, edits.series, [bucket.start for bucket in mine]
        ).items():
            bucket = Bucket(key[0], key[0] + target.seconds + key[1])
            elsewhere = any(other.bucket(target, bucket.start) == bucket for other in kept)
            if kept_candle.kind == DERIVED and not elsewhere:
                edits.drop.append(key)
        edits.apply(db)


IS_CONTESTED = """
SELECT EXISTS (
    SELECT 1 FROM candle
    WHERE series = :series AND time >= :start AND time < :stop AND kind > 0
) OR EXISTS (SELECT 1 FROM superseded WHERE series = :series)
"""


def rederive(
    db: apsw.Connection,
    symbol: Symbol,
    target: Timeframe,
    clock: Clock,
    kept: Sequence[Clock],
    spans: Sequence[Bucket],
    *,
    shrunk: bool = False,
) -> None:
    """Make the candles of one kept timeframe and clock true wherever a span touches them."""
    lay = _plan_cached if len(spans) == 1 else _plan
    runs, laid = lay(target, clock, tuple(kept), tuple(spans))
    series = symbol.series(target.number)
    extent = {"series": series, "start": runs[0].start, "stop": runs[-1].stop}
    if shrunk or connection.query_one(db, IS_CONTESTED, extent):
        _rederive_one_by_one(db, symbol, target, runs, laid)
    else:
        rollup.derive_candles(db, symbol, target, laid)


def _plan(
    target: Timeframe, clock: Clock, kept: tuple[Clock, ...], spans: tuple[Bucket, ...]
) -> tuple[list[Run], TilePlan]:
    runs = list(disjoint_runs(clock, target, spans))
    return runs, plan_tiles(target, clock, kept, runs)


# Ticks touch the same buckets again and again, of one symbol after another.
_plan_cached = lru_cache(maxsize=256)(_plan)


def _rederive_one_by_one(
    db: apsw.Connection, symbol: Symbol, target: Timeframe, runs: Sequence[Run], laid: TilePlan
) -> None:
    starts = [(range(*run), run.length - target.seconds) for run in runs]
    times = [start for run_starts, _ in starts for start in run_starts]
    keys = {(start, extra_s) for run_starts, extra_s in starts for start in run_starts}
    edits = CandleChanges(symbol.series(target.number))
    folds = rollup.roll_up(db, symbol, target, laid)
    present = read_at(db, edits.series, times)
    spare = read_superseded_at(db, edits.series, times)
    for key in folds.keys() | ((present.keys() | spare.keys()) & keys):
        have = present.get(key)
        if have is None or have.kind != SETTLED:
            stored = have.values if have and have.kind == STORED else spare.get(key)
            edits.resolve(key, have, spare.get(key), stored, folds.get(key))
    edits.apply(db)


def disjoint_runs(clock: Clock, timeframe: Timeframe, spans: Sequence[Bucket]) -> Iterator[Run]:
    """Yield the runs of buckets that overlap ascending spans, no bucket twice."""
    done = 2 * TIME_MIN
    for start, stop in spans:
        for run in clock.runs(timeframe, max(start, done), stop):
            done = run.stop
            yield run


def merge_spans(
    timeframe: Timeframe, times: Sequence[int], extras_s: Sequence[int]
) -> list[Bucket]:
    """Return the spans that candles of a timeframe cover, near ones joined.

    `times` are ascending, as the spans are.
    """
    gap = timeframe.seconds + SPAN_GAP_MAX_S
    steps = map(sub, islice(times, 1, None), times)
    cuts = [0, *(index for index, step in enumerate(steps, 1) if step > gap), len(times)]
    return [
        Bucket(times[first], times[after - 1] + timeframe.seconds + extras_s[after - 1])
        for first, after in pairwise(cuts)
    ]


FIRST = "SELECT time FROM candle WHERE series = :series ORDER BY time LIMIT 1"
LAST = """
SELECT time, extra_s
FROM candle
WHERE series = :series
ORDER BY time DESC, extra_s DESC
LIMIT 1
"""


def read_extent(db: apsw.Connection, symbol: Symbol) -> Bucket | None:
    """Return the span from the first to the last candle of the whole chain, or None."""
    firsts, lasts = [], []
    for timeframe in CHAIN:
        bindings = {"series": symbol.series(timeframe.number)}
        first = connection.query_one(db, FIRST, bindings)
        last = connection.query_one(db, LAST, bindings)
        if first is not None:
            firsts.append(first)
            lasts.append(last[0] + timeframe.seconds + last[1])
    return Bucket(min(firsts), max(lasts)) if firsts else None


FIRST_FROM = (
    "SELECT time FROM candle WHERE series = :series AND time >= :time ORDER BY time LIMIT 1"
)


def read_first_time(db: apsw.Connection, series: int, time: int) -> int | None:
    """Return when the first candle of a series from an instant on starts, or None."""
    first: int | None = connection.query_one(db, FIRST_FROM, {"series": series, "time": time})
    return first
