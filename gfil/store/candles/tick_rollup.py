"""Roll up (aggregate) ticks into M1 candles, and derive M1 again whenever their ticks change."""

from array import array
from collections.abc import Iterable, Sequence

import apsw

from gfil.clocks import Bucket
from gfil.store.candles import derive
from gfil.store.candles.derive import SETTLED, STORED, CandleChanges
from gfil.store.candles.rollup import Ohlcv
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import M1

# The price of a tick that counts; NULL if MetaTrader sent none: such a tick makes no candle.
PRICE = """
CASE :price
    WHEN 'bid'  THEN NULLIF(tick.bid, 0)
    WHEN 'ask'  THEN NULLIF(tick.ask, 0)
    WHEN 'mid'  THEN (NULLIF(tick.bid, 0) + NULLIF(tick.ask, 0)) / 2
    WHEN 'last' THEN NULLIF(tick.last, 0)
    ELSE IIF(tick.last <> 0, tick.last, NULLIF(tick.bid, 0))
END"""
# GROUP BY and two lookups take a quarter of the time of FIRST_VALUE and LAST_VALUE over all ticks.
ROLL_UP_TICKS = f"""
WITH priced AS (
    SELECT tick.symbol_id, tick.time_msc, tick.seq, tick.volume, {PRICE} AS price
    FROM tick
),
minute AS (
    SELECT given.value AS time, MAX(priced.price) AS high, MIN(priced.price) AS low,
           SUM(priced.volume) AS volume, COUNT(*) AS ticks
    FROM carray(:minutes) AS given
    CROSS JOIN priced
    ON priced.symbol_id = :symbol_id
       AND priced.time_msc >= given.value * 1000
       AND priced.time_msc < given.value * 1000 + 60000
       AND priced.price IS NOT NULL
    GROUP BY given.value
)
SELECT minute.time,
       (
           SELECT priced.price
           FROM priced
           WHERE priced.symbol_id = :symbol_id
             AND priced.time_msc >= minute.time * 1000
             AND priced.time_msc < minute.time * 1000 + 60000
             AND priced.price IS NOT NULL
           ORDER BY priced.time_msc, priced.seq
           LIMIT 1
       ) AS open,
       minute.high,
       minute.low,
       (
           SELECT priced.price
           FROM priced
           WHERE priced.symbol_id = :symbol_id
             AND priced.time_msc >= minute.time * 1000
             AND priced.time_msc < minute.time * 1000 + 60000
             AND priced.price IS NOT NULL
           ORDER BY priced.time_msc DESC, priced.seq DESC
           LIMIT 1
       ) AS close,
       IIF(minute.volume > 0, minute.volume, minute.ticks) AS volume
FROM minute
"""  # noqa: S608 (one constant inside another)


def roll_up_ticks(db: apsw.Connection, symbol: Symbol, minutes: Iterable[int]) -> dict[int, Ohlcv]:
    """Return the M1 that ticks make, by time; minutes without a priced tick are absent."""
    times = array("q", minutes)
    if not times:
        return {}
    bindings = {"symbol_id": symbol.id, "price": symbol.price, "minutes": apsw.carray(times)}
    rows = connection.query_all(db, ROLL_UP_TICKS, bindings)
    return {time: Ohlcv(*values) for time, *values in rows}


HAS_PROVISIONAL = """
SELECT EXISTS (SELECT 1 FROM provisional WHERE series = :series)
"""
FIND_PROVISIONAL = """
SELECT provisional.time
FROM carray(:times) AS given
CROSS JOIN provisional
ON provisional.series = :series AND provisional.time = given.value
"""


def find_provisional(db: apsw.Connection, symbol: Symbol, minutes: Iterable[int]) -> set[int]:
    """Return the minutes whose stored M1 is provisional: stored before the minute had ended."""
    series = {"series": symbol.series(M1.number)}
    if not connection.query_one(db, HAS_PROVISIONAL, series):
        return set()
    times = apsw.carray(array("q", minutes))
    return {
        time for (time,) in connection.query_all(db, FIND_PROVISIONAL, series | {"times": times})
    }


PUT_PROVISIONAL = """
INSERT INTO provisional (series, time)
VALUES (?, ?)
ON CONFLICT DO NOTHING
"""
DROP_PROVISIONAL = "DELETE FROM provisional WHERE series = ? AND time = ?"


def mark_provisional(
    db: apsw.Connection, symbol: Symbol, provisional: Iterable[int], final: Iterable[int]
) -> None:
    """Mark the stored M1 of some minutes as provisional, those of others as final."""
    series = symbol.series(M1.number)
    db.executemany(PUT_PROVISIONAL, ((series, time) for time in provisional))
    db.executemany(DROP_PROVISIONAL, ((series, time) for time in final))


def rederive_minutes(db: apsw.Connection, symbol: Symbol, minutes: Sequence[int]) -> list[int]:
    """Derive the M1 of ascending minutes again from their ticks; return the minutes that changed.

    A stored M1 stays, unless it is provisional and the ticks prove it was saved while forming.
    """
    if not minutes:
        return []
    changes = CandleChanges(symbol.series(M1.number))
    rolled_up = roll_up_ticks(db, symbol, minutes)
    present = derive.read_at(db, changes.series, minutes)
    superseded = derive.read_superseded_at(db, changes.series, minutes)
    provisional = find_provisional(db, symbol, minutes)
    changed = []
    for time in minutes:
        key = (time, 0)
        current, former = present.get(key), superseded.get(key)
        if current is not None and current.kind == SETTLED:
            continue
        stored = current.values if current and current.kind == STORED else former
        may_give_way = stored is None or time in provisional
        base = rolled_up.get(time) if may_give_way else None
        if changes.set_bucket(key, current, former, stored, base) != current:
            changed.append(time)
    changes.apply(db)
    return changed


def derive_minutes(
    db: apsw.Connection, symbol: Symbol, minutes: Sequence[int], *, shrunk: bool = False
) -> list[Bucket]:
    """Derive the M1 of ascending minutes from their ticks, and the materialised candles above.

    Return the spans that changed. Set `shrunk` if ticks were removed or lost their price.
    """
    changed = rederive_minutes(db, symbol, minutes)
    if not changed:
        return []
    spans = derive.merge_spans(M1, changed, [0] * len(changed))
    derive.derive_above(db, symbol, M1, spans, shrunk=shrunk)
    return spans


LIST_MINUTES = """
SELECT DISTINCT time_msc / 60000 * 60 AS time
FROM tick
WHERE symbol_id = :symbol_id AND time_msc >= :start_msc AND time_msc < :stop_msc
ORDER BY time
"""


def list_minutes(db: apsw.Connection, symbol: Symbol, start_msc: int, stop_msc: int) -> list[int]:
    """Return the minutes of a range that have ticks, ascending."""
    bindings = {"symbol_id": symbol.id, "start_msc": start_msc, "stop_msc": stop_msc}
    return [minute for (minute,) in connection.query_all(db, LIST_MINUTES, bindings)]
