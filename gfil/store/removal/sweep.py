"""Remove the rows of deleted symbols in small batches."""

from collections.abc import Callable
from time import monotonic, sleep

import apsw

from gfil import clocks
from gfil.store.engine import connection
from gfil.store.symbols import SERIES_PER_SYMBOL

SWEEP_ROWS = 20_000


SWEEPABLE = "SELECT id FROM deleted_symbol ORDER BY id LIMIT 1"
SWEEP_UNTIL = """
SELECT series, time
FROM candle
WHERE series >= :first AND series < :after
ORDER BY series, time
LIMIT 1 OFFSET :rows
"""
SWEEP = """
DELETE FROM candle
WHERE series >= :first AND series <= :series AND (series, time) < (:series, :time)
"""
SWEEP_TICKS_UNTIL = """
SELECT time_msc
FROM tick
WHERE symbol_id = :id
ORDER BY time_msc
LIMIT 1 OFFSET :rows
"""
SWEEP_TICKS = "DELETE FROM tick WHERE symbol_id = :id AND time_msc < :time_msc"
SWEEP_PROVISIONAL = "DELETE FROM provisional WHERE series >= :first AND series < :after"
SWEEP_BACKDATED = "DELETE FROM backdated_day WHERE series >= :first AND series < :after"
SWEEP_RECEIVED = "DELETE FROM received_day WHERE symbol_id = :id"
SWEEP_RETENTION = "DELETE FROM retention_rule WHERE symbol_id = :id"
SWEEP_SUPERSEDED = "DELETE FROM superseded WHERE series >= :first AND series < :after"
SWEPT = "DELETE FROM deleted_symbol WHERE id = :id"


def is_swept(db: apsw.Connection) -> bool:
    """Say whether no deleted symbol has left anything behind."""
    return connection.query_one(db, SWEEPABLE) is None


def sweep(db: apsw.Connection, rows: int = SWEEP_ROWS) -> bool:
    """Remove some rows of a deleted symbol; in a transaction. Say whether there may be more."""
    symbol_id = connection.query_one(db, SWEEPABLE)
    if symbol_id is None:
        return False
    if _sweep_ticks(db, symbol_id, rows):
        return True
    first, after = symbol_id * SERIES_PER_SYMBOL, (symbol_id + 1) * SERIES_PER_SYMBOL
    bounds = {"first": first, "after": after}
    until = connection.query_one(db, SWEEP_UNTIL, bounds | {"rows": rows})
    series, time = until or (after, clocks.TIME_MIN)
    db.execute(SWEEP, {"first": first, "series": series, "time": time})
    if until is None:
        db.execute(SWEEP_SUPERSEDED, bounds)
        db.execute(SWEEP_PROVISIONAL, bounds)
        db.execute(SWEEP_BACKDATED, bounds)
        db.execute(SWEEP_RECEIVED, {"id": symbol_id})
        db.execute(SWEEP_RETENTION, {"id": symbol_id})
        db.execute(SWEPT, {"id": symbol_id})
    return True


def _sweep_ticks(db: apsw.Connection, symbol_id: int, rows: int) -> bool:
    until = connection.query_one(db, SWEEP_TICKS_UNTIL, {"id": symbol_id, "rows": rows})
    time_msc = clocks.TIME_MAX * 1000 if until is None else until + 1
    db.execute(SWEEP_TICKS, {"id": symbol_id, "time_msc": time_msc})
    return until is not None


def sweep_all(
    db: apsw.Connection, rows: int = SWEEP_ROWS, *, rest: Callable[[float], object] = sleep
) -> None:
    """Remove every row that deleted symbols left behind, batch by batch.

    Between them it rests for as long as they take, as `delete_range` does; it ends early when
    `rest` returns something true.
    """
    more = True
    while more:
        with connection.transaction(db):
            began = monotonic()
            more = sweep(db, rows)
        if more and rest(monotonic() - began):
            return
