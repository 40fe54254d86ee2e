"""Write ticks, derive their candles in the same transaction, and read ticks."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from math import inf
from typing import NamedTuple

import apsw
import orjson

from gfil.clocks import TIME_MAX
from gfil.store import symbols
from gfil.store.candles import derive, tick_rollup
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
"""The position of a tick within its symbol: time_msc, and its seq in that millisecond."""


class Ticks(NamedTuple):
    """Ticks as equally long columns, in any order; within a millisecond in order of arrival.

    `time_msc` is UNIX ms UTC; a missing number is 0.
    """

    time_msc: Sequence[int]
    bid: Sequence[float]
    ask: Sequence[float]
    last: Sequence[float]
    volume: Sequence[float]
    flags: Sequence[int]


class TickWriteResult(NamedTuple):
    """The outcome of one write of ticks.

    `settled` are the indices of refused ticks: a settled candle covers their minute. `change` is 0
    if nothing changed. `backdated` are the days that were past their retention when these ticks,
    the first ones, arrived.
    """

    inserted: int
    duplicates: int
    settled: list[int]
    change: int
    backdated: Sequence[int] = ()


# Positional parameters: the statement runs for every tick, and a dict for each doubles the cost.
INSERT = """
INSERT INTO tick (symbol_id, time_msc, seq, bid, ask, last, volume, flags)
VALUES (?1, ?, ?, ?, ?, ?, ?, ?)"""
INSERT_MANY = INSERT + ", (?1, ?, ?, ?, ?, ?, ?, ?)" * (derive.INSERT_ROWS - 1)


def write_ticks(
    db: apsw.Connection, symbol: Symbol, ticks: Ticks, *, now: float = inf
) -> TickWriteResult:
    """Store ticks, derive their M1 and the materialised candles above; inside a transaction.

    A tick whose fields all equal those of a stored tick is a duplicate. Different ticks of one
    millisecond keep their order of arrival. `now` is the time of arrival: it is recorded for their
    days, unless it is `inf`.
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
    backdated = backdated_days.find_backdated(db, symbol, rules.TICKS, minutes, now)
    derive.insert_rows(db, INSERT, INSERT_MANY, symbol.id, new)
    spans = tick_rollup.derive_minutes(db, symbol, minutes)
    symbols.record_digits(db, symbol, ticks.bid, ticks.ask, ticks.last)
    days = backdated_days.spans_of_days(minutes)
    backdated_days.record_days(db, symbol, rules.TICKS, backdated, days, now)
    change = symbols.log_change(db, symbol, M1, spans)
    return TickWriteResult(len(new), duplicates, settled, change, backdated)


READ_KNOWN = """
SELECT tick.time_msc, tick.bid, tick.ask, tick.last, tick.volume, tick.flags
FROM carray(:times) AS given
CROSS JOIN tick
ON tick.symbol_id = :symbol_id AND tick.time_msc = given.value
"""


def _leave_out_known(
    db: apsw.Connection, symbol: Symbol, given: Sequence[Tick]
) -> list[tuple[int, int, float, float, float, float, int]]:
    known: dict[int, set[tuple[float, ...]]] = {}
    newest = read_last(db, symbol)
    if newest is not None and given and given[0][0] <= newest[0]:
        times = array("q", dict.fromkeys(tick[0] for tick in given if tick[0] <= newest[0]))
        bindings = {"symbol_id": symbol.id, "times": apsw.carray(times)}
        for time_msc, *fields in connection.query_all(db, READ_KNOWN, bindings):
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
            mates.add(values)  # seq has no gaps: deletion removes whole milliseconds
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
    minute_spans = derive.merge_spans(M1, distinct, [0] * len(distinct)) if distinct else []
    spans = [
        # A bucket is longer than usual where a clock goes back, by less than a day.
        (symbol.series(tf.number), tf.seconds, start - tf.seconds - (not tf.intraday) * DAY, stop)
        for tf in CHAIN
        for start, stop in minute_spans
    ]
    settled = connection.query_all(db, SETTLED_OVER, {"spans": orjson.dumps(spans).decode()})
    closed: set[int] = set()
    for start, stop in settled:
        closed.update(distinct[bisect_left(distinct, start) : bisect_left(distinct, stop)])
    return [index for index, minute in enumerate(minutes if closed else ()) if minute in closed]


class TickSlice(NamedTuple):
    """Ticks in ascending order; `next` is the start of the following page, None at the end."""

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
    """Return up to `limit` ticks from `start` on, before `stop`; `(time_msc, 0)` is an instant."""
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


READ_POSITION_BEFORE = """
SELECT time_msc, seq
FROM tick
WHERE symbol_id = :symbol_id AND (time_msc, seq) < (:time_msc, :seq)
ORDER BY time_msc DESC, seq DESC
LIMIT 1 OFFSET :ticks
"""


def position_before(
    db: apsw.Connection, symbol: Symbol, stop: TickPosition, ticks: int
) -> TickPosition | None:
    """Return the position of the n-th last tick before `stop` (n = `ticks`), or None."""
    bindings = {"symbol_id": symbol.id, "time_msc": stop[0], "seq": stop[1], "ticks": ticks - 1}
    position: TickPosition | None = connection.query_one(db, READ_POSITION_BEFORE, bindings)
    return position


READ_LAST = """
SELECT time_msc, bid, ask, last, volume, flags
FROM tick
WHERE symbol_id = :symbol_id
ORDER BY time_msc DESC, seq DESC
LIMIT 1
"""


def read_last(db: apsw.Connection, symbol: Symbol) -> Tick | None:
    """Return the newest tick of a symbol, or None."""
    tick: Tick | None = connection.query_one(db, READ_LAST, {"symbol_id": symbol.id})
    return tick
