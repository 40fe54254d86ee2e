"""Ticks: writing them with the M1 and all that follows from them, and reading them."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import inf
from typing import NamedTuple

import apsw
import orjson

from gfil.clocks import TIME_MAX, Bucket
from gfil.store import symbols
from gfil.store.candles import derive
from gfil.store.candles.derive import SETTLED, STORED, CandleChanges
from gfil.store.candles.rollup import Ohlcv
from gfil.store.engine import connection
from gfil.store.retention import backdated_days, rules
from gfil.store.symbols import Symbol
from gfil.timeframes import CHAIN, DAY, M1, MINUTE

LIMIT_DEFAULT = 500
LIMIT_MAX = 100_000
MINUTE_MSC = MINUTE * 1000

Tick = tuple[int, float, float, float, float, int]
"""time_msc, bid, ask, last, volume, flags."""

TickPosition = tuple[int, int]
"""Where a tick stands among those of its symbol: time_msc, and its seq in that millisecond."""


class Ticks(NamedTuple):
    """Ticks as equally long columns, in any order; those of one millisecond as they came.

    `time_msc` is UNIX ms UTC; a missing number is 0.
    """

    time_msc: Sequence[int]
    bid: Sequence[float]
    ask: Sequence[float]
    last: Sequence[float]
    volume: Sequence[float]
    flags: Sequence[int]


class TickWriteResult(NamedTuple):
    """What became of the ticks of one write.

    `settled` are the indices of those refused, for their minute can no longer be derived;
    `change` is 0 where nothing changed. `imported` are the days they were the first ticks of, when
    these were older than they are kept.
    """

    inserted: int
    duplicates: int
    settled: list[int]
    change: int
    imported: Sequence[int] = ()


# Positional, because it runs for every tick: a dict for each costs as much again.
INSERT = """
INSERT INTO tick (symbol_id, time_msc, seq, bid, ask, last, volume, flags)
VALUES (?1, ?, ?, ?, ?, ?, ?, ?)"""
INSERT_MANY = INSERT + ", (?1, ?, ?, ?, ?, ?, ?, ?)" * (derive.INSERT_ROWS - 1)


def write_ticks(
    db: apsw.Connection, symbol: Symbol, ticks: Ticks, *, now: float = inf
) -> TickWriteResult:
    """Store ticks, and derive their M1 and all that is kept above; inside a transaction.

    A tick that is there already, in all its fields, is a duplicate. Different ones of a millisecond
    stand in the order in which they came. Unless `now` is `inf`, it is remembered that their days
    received ticks then.
    """
    settled = _find_settled(db, symbol, ticks.time_msc)
    given = list(zip(*ticks, strict=True))
    for index in reversed(settled):
        del given[index]
    given.sort(key=lambda tick: tick[0])  # stable
    new = _leave_out_known(db, symbol, given)
    duplicates = len(given) - len(new)
    if not new:
        return TickWriteResult(0, duplicates, settled, 0)
    minutes = list(dict.fromkeys(tick[0] // MINUTE_MSC * MINUTE for tick in new))
    imported = backdated_days.find_backdated(db, symbol, rules.TICKS, minutes, now)
    derive.insert_candles(db, INSERT, INSERT_MANY, symbol.id, new)
    spans = derive_minutes(db, symbol, minutes)
    symbols.record_digits(db, symbol, ticks.bid, ticks.ask, ticks.last)
    days = backdated_days.spans_of_days(minutes)
    backdated_days.record_days(db, symbol, rules.TICKS, imported, days, now)
    change = symbols.log_change(db, symbol, M1, spans)
    return TickWriteResult(len(new), duplicates, settled, change, imported)


KNOWN = """
SELECT tick.time_msc, tick.bid, tick.ask, tick.last, tick.volume, tick.flags
FROM carray(:times) AS wanted
CROSS JOIN tick
ON tick.symbol_id = :symbol_id AND tick.time_msc = wanted.value
"""


def _leave_out_known(
    db: apsw.Connection, symbol: Symbol, given: Sequence[Tick]
) -> list[tuple[int, int, float, float, float, float, int]]:
    known: dict[int, set[tuple[float, ...]]] = {}
    newest = read_last(db, symbol)
    if newest is not None and given and given[0][0] <= newest[0]:
        times = array("q", dict.fromkeys(tick[0] for tick in given if tick[0] <= newest[0]))
        bindings = {"symbol_id": symbol.id, "times": apsw.carray(times)}
        for time_msc, *fields in connection.query_all(db, KNOWN, bindings):
            known.setdefault(time_msc, set()).add(tuple(fields))
    new = []
    current = -1
    mates: set[tuple[float, ...]] = set()
    for time_msc, *fields in given:
        if time_msc != current:
            current, mates = time_msc, known.get(time_msc, set())
        values = tuple(fields)
        if values not in mates:
            new.append((time_msc, len(mates), *values))
            mates.add(values)  # places have no holes: a range that is deleted has whole ones
    return new


SETTLED_OVER = """
SELECT candle.time, candle.time + (span.value ->> 1) + candle.extra_s AS stop
FROM json_each(:spans) AS span
CROSS JOIN candle
ON candle.series = span.value ->> 0 AND candle.kind = 2
   AND candle.time > span.value ->> 2 AND candle.time < span.value ->> 3
"""


def _find_settled(db: apsw.Connection, symbol: Symbol, times_msc: Sequence[int]) -> list[int]:
    minutes = [time_msc // MINUTE_MSC * MINUTE for time_msc in times_msc]
    distinct = sorted(set(minutes))
    touched = derive.merge_spans(M1, distinct, [0] * len(distinct)) if distinct else []
    spans = [
        # A bucket is longer than usual where a clock goes back, by less than a day.
        (symbol.series(tf.number), tf.seconds, start - tf.seconds - (not tf.intraday) * DAY, stop)
        for tf in CHAIN
        for start, stop in touched
    ]
    settled = connection.query_all(db, SETTLED_OVER, {"spans": orjson.dumps(spans).decode()})
    closed: set[int] = set()
    for start, stop in settled:
        closed.update(distinct[bisect_left(distinct, start) : bisect_left(distinct, stop)])
    return [index for index, minute in enumerate(minutes if closed else ()) if minute in closed]


# What a tick is worth, NULL where MetaTrader gives no such price: then it makes no candle.
PRICE = """
CASE :price
    WHEN 'bid'  THEN NULLIF(tick.bid, 0)
    WHEN 'ask'  THEN NULLIF(tick.ask, 0)
    WHEN 'mid'  THEN (NULLIF(tick.bid, 0) + NULLIF(tick.ask, 0)) / 2
    WHEN 'last' THEN NULLIF(tick.last, 0)
    ELSE IIF(tick.last <> 0, tick.last, NULLIF(tick.bid, 0))
END"""
# Group for group, which takes a quarter of what FIRST_VALUE and LAST_VALUE over all ticks take.
FOLD = f"""
WITH priced AS (
    SELECT tick.symbol_id, tick.time_msc, tick.seq, tick.volume, {PRICE} AS price
    FROM tick
),
fold AS (
    SELECT wanted.value AS time, MAX(priced.price) AS high, MIN(priced.price) AS low,
           SUM(priced.volume) AS volume, COUNT(*) AS ticks
    FROM carray(:minutes) AS wanted
    CROSS JOIN priced
    ON priced.symbol_id = :symbol_id
       AND priced.time_msc >= wanted.value * 1000
       AND priced.time_msc < wanted.value * 1000 + 60000
       AND priced.price IS NOT NULL
    GROUP BY wanted.value
)
SELECT fold.time,
       (
           SELECT priced.price FROM priced
           WHERE priced.symbol_id = :symbol_id
             AND priced.time_msc >= fold.time * 1000 AND priced.time_msc < fold.time * 1000 + 60000
             AND priced.price IS NOT NULL
           ORDER BY priced.time_msc, priced.seq
           LIMIT 1
       ) AS open,
       fold.high,
       fold.low,
       (
           SELECT priced.price FROM priced
           WHERE priced.symbol_id = :symbol_id
             AND priced.time_msc >= fold.time * 1000 AND priced.time_msc < fold.time * 1000 + 60000
             AND priced.price IS NOT NULL
           ORDER BY priced.time_msc DESC, priced.seq DESC
           LIMIT 1
       ) AS close,
       IIF(fold.volume > 0, fold.volume, fold.ticks) AS volume
FROM fold
"""  # noqa: S608 (one constant inside another)


def fold_ticks(db: apsw.Connection, symbol: Symbol, minutes: Iterable[int]) -> dict[int, Ohlcv]:
    """Return the M1 that ticks make, by their time; minutes without a priced tick are left out."""
    wanted = array("q", minutes)
    if not wanted:
        return {}
    bindings = {"symbol_id": symbol.id, "price": symbol.price, "minutes": apsw.carray(wanted)}
    return {time: Ohlcv(*values) for time, *values in connection.query_all(db, FOLD, bindings)}


HAS_PROVISIONAL = "SELECT EXISTS (SELECT 1 FROM provisional WHERE series = :series)"
PROVISIONAL_AT = """
SELECT provisional.time
FROM carray(:times) AS wanted
CROSS JOIN provisional
ON provisional.series = :series AND provisional.time = wanted.value
"""


def provisional_at(db: apsw.Connection, symbol: Symbol, minutes: Iterable[int]) -> set[int]:
    """Return those minutes whose stored M1 came before they had ended."""
    series = {"series": symbol.series(M1.number)}
    if not connection.query_one(db, HAS_PROVISIONAL, series):
        return set()
    times = apsw.carray(array("q", minutes))
    return {time for (time,) in connection.query_all(db, PROVISIONAL_AT, series | {"times": times})}


PUT_PROVISIONAL = "INSERT INTO provisional (series, time) VALUES (?, ?) ON CONFLICT DO NOTHING"
DROP_PROVISIONAL = "DELETE FROM provisional WHERE series = ? AND time = ?"


def mark_provisional(
    db: apsw.Connection, symbol: Symbol, early: Iterable[int], closed: Iterable[int]
) -> None:
    """Remember which stored M1 came before their minute had ended, and which have come since."""
    series = symbol.series(M1.number)
    db.executemany(PUT_PROVISIONAL, ((series, time) for time in early))
    db.executemany(DROP_PROVISIONAL, ((series, time) for time in closed))


def rederive_minutes(db: apsw.Connection, symbol: Symbol, minutes: Sequence[int]) -> list[int]:
    """Make the M1 of ascending minutes true to their ticks; return those that changed.

    The broker's M1 stays, unless it came early and the ticks prove it was still forming.
    """
    if not minutes:
        return []
    edits = CandleChanges(symbol.series(M1.number))
    folds = fold_ticks(db, symbol, minutes)
    present = derive.read_at(db, edits.series, minutes)
    spare = derive.read_superseded_at(db, edits.series, minutes)
    early = provisional_at(db, symbol, minutes)
    changed = []
    for time in minutes:
        key = (time, 0)
        have = present.get(key)
        if have is not None and have.kind == SETTLED:
            continue
        stored = have.values if have and have.kind == STORED else spare.get(key)
        may_give_way = stored is None or time in early
        base = folds.get(time) if may_give_way else None
        if edits.resolve(key, have, spare.get(key), stored, base) != have:
            changed.append(time)
    edits.apply(db)
    return changed


def derive_minutes(
    db: apsw.Connection, symbol: Symbol, minutes: Sequence[int], *, shrunk: bool = False
) -> list[Bucket]:
    """Derive the M1 of ascending minutes from their ticks, and all that is kept above.

    Return the spans in which they changed. `shrunk` says that ticks have gone, or count no longer.
    """
    changed = rederive_minutes(db, symbol, minutes)
    if not changed:
        return []
    spans = derive.merge_spans(M1, changed, [0] * len(changed))
    derive.derive_above(db, symbol, M1, spans, shrunk=shrunk)
    return spans


MINUTES = """
SELECT DISTINCT time_msc / 60000 * 60 AS time
FROM tick
WHERE symbol_id = :symbol_id AND time_msc >= :start_msc AND time_msc < :stop_msc
ORDER BY time
"""


def list_minutes(db: apsw.Connection, symbol: Symbol, start_msc: int, stop_msc: int) -> list[int]:
    """Return the minutes of a range that have ticks, ascending."""
    bindings = {"symbol_id": symbol.id, "start_msc": start_msc, "stop_msc": stop_msc}
    return [minute for (minute,) in connection.query_all(db, MINUTES, bindings)]


class TickSlice(NamedTuple):
    """Ticks in ascending order; `next` is where the following page starts, None at the end."""

    ticks: list[Tick]
    next: TickPosition | None


READ = """
SELECT time_msc, bid, ask, last, volume, flags, seq
FROM tick
WHERE symbol_id = :symbol_id AND (time_msc, seq) >= (:start_msc, :start_seq)
  AND (time_msc, seq) < (:stop_msc, :stop_seq)
ORDER BY time_msc, seq
LIMIT :limit
"""
START: TickPosition = (0, 0)
STOP: TickPosition = (TIME_MAX * 1000 + 1, 0)


def read_ticks(
    db: apsw.Connection,
    symbol: Symbol,
    start: TickPosition = START,
    stop: TickPosition = STOP,
    *,
    limit: int,
) -> TickSlice:
    """Return up to `limit` ticks from a seq on, before another; `(time_msc, 0)` is an instant."""
    bindings = {
        "symbol_id": symbol.id,
        "start_msc": start[0],
        "start_seq": start[1],
        "stop_msc": stop[0],
        "stop_seq": stop[1],
        "limit": limit + 1,
    }
    found = connection.query_all(db, READ, bindings)
    following = (found[limit][0], found[limit][6]) if len(found) > limit else None
    return TickSlice([row[:6] for row in found[:limit]], following)


PLACE_BEFORE = """
SELECT time_msc, seq
FROM tick
WHERE symbol_id = :symbol_id AND (time_msc, seq) < (:time_msc, :seq)
ORDER BY time_msc DESC, seq DESC
LIMIT 1 OFFSET :ticks
"""


def position_before(
    db: apsw.Connection, symbol: Symbol, stop: TickPosition, ticks: int
) -> TickPosition | None:
    """Return where the last so many ticks before a seq begin; None where there are fewer."""
    bindings = {"symbol_id": symbol.id, "time_msc": stop[0], "seq": stop[1], "ticks": ticks - 1}
    seq: TickPosition | None = connection.query_one(db, PLACE_BEFORE, bindings)
    return seq


TIME_AFTER = """
SELECT time_msc
FROM tick
WHERE symbol_id = :symbol_id AND time_msc >= :time_msc
ORDER BY time_msc
LIMIT 1 OFFSET :ticks
"""


def time_after(db: apsw.Connection, symbol: Symbol, time_msc: int, ticks: int) -> int | None:
    """Return when the tick comes that follows so many from an instant on; None: none does."""
    bindings = {"symbol_id": symbol.id, "time_msc": time_msc, "ticks": ticks}
    found: int | None = connection.query_one(db, TIME_AFTER, bindings)
    return found


LAST = """
SELECT time_msc, bid, ask, last, volume, flags
FROM tick
WHERE symbol_id = :symbol_id
ORDER BY time_msc DESC, seq DESC
LIMIT 1
"""


def read_last(db: apsw.Connection, symbol: Symbol) -> Tick | None:
    """Return the newest tick of a symbol, or None."""
    tick: Tick | None = connection.query_one(db, LAST, {"symbol_id": symbol.id})
    return tick
