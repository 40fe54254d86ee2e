"""Remove the rows of deleted symbols in small batches."""

from collections.abc import Callable
from time import monotonic, sleep

import apsw

from gfil import clocks
from gfil.store.engine import connection
from gfil.store.symbols import SERIES_PER_SYMBOL

SWEEP_ROWS = 20_000


READ_DELETED_SYMBOL = """
SELECT id
FROM deleted_symbol
ORDER BY id
LIMIT 1
"""


def is_swept(db: apsw.Connection) -> bool:
    """Return whether no rows of deleted symbols are left."""
    return _read_deleted_symbol(db) is None


def _read_deleted_symbol(db: apsw.Connection) -> int | None:
    symbol_id: int | None = connection.query_one(db, READ_DELETED_SYMBOL)
    return symbol_id


SWEEP_BACKDATED = "DELETE FROM backdated_day WHERE series >= :first AND series < :after"
SWEEP_PROVISIONAL = "DELETE FROM provisional WHERE series >= :first AND series < :after"
SWEEP_SUPERSEDED = "DELETE FROM superseded WHERE series >= :first AND series < :after"
SWEEP_RECEIVED = "DELETE FROM received_day WHERE symbol_id = :id"
SWEEP_RETENTION = "DELETE FROM retention_rule WHERE symbol_id = :id"
FORGET_SYMBOL = "DELETE FROM deleted_symbol WHERE id = :id"


def sweep(db: apsw.Connection, rows: int = SWEEP_ROWS) -> bool:
    """Remove up to `rows` ticks or candles of a deleted symbol; inside a transaction.

    Returns:
        Whether more rows may be left.
    """
    symbol_id = _read_deleted_symbol(db)
    if symbol_id is None:
        return False
    if _sweep_ticks(db, symbol_id, rows) or _sweep_candles(db, symbol_id, rows):
        return True
    for sql in (SWEEP_SUPERSEDED, SWEEP_PROVISIONAL, SWEEP_BACKDATED):
        db.execute(sql, _bounds(symbol_id))
    for sql in (SWEEP_RECEIVED, SWEEP_RETENTION, FORGET_SYMBOL):
        db.execute(sql, {"id": symbol_id})
    return True


def _bounds(symbol_id: int) -> dict[str, int]:
    return {"first": symbol_id * SERIES_PER_SYMBOL, "after": (symbol_id + 1) * SERIES_PER_SYMBOL}


SWEEP_TICKS_UNTIL = """
SELECT time_msc
FROM tick
WHERE symbol_id = :id
ORDER BY time_msc
LIMIT 1 OFFSET :rows
"""
SWEEP_TICKS = "DELETE FROM tick WHERE symbol_id = :id AND time_msc < :time_msc"


def _sweep_ticks(db: apsw.Connection, symbol_id: int, rows: int) -> bool:
    until = connection.query_one(db, SWEEP_TICKS_UNTIL, {"id": symbol_id, "rows": rows})
    time_msc = clocks.TIME_MAX * 1000 if until is None else until + 1
    db.execute(SWEEP_TICKS, {"id": symbol_id, "time_msc": time_msc})
    return until is not None


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


def _sweep_candles(db: apsw.Connection, symbol_id: int, rows: int) -> bool:
    bounds = _bounds(symbol_id)
    until = connection.query_one(db, SWEEP_UNTIL, bounds | {"rows": rows})
    series, time = until or (bounds["after"], clocks.TIME_MIN)
    db.execute(SWEEP, {"first": bounds["first"], "series": series, "time": time})
    return until is not None


def sweep_all(
    db: apsw.Connection, rows: int = SWEEP_ROWS, *, rest: Callable[[float], object] = sleep
) -> None:
    """Remove all rows of deleted symbols in batches.

    After each batch `rest` is called with its duration, to let other writers in; a true result
    stops the sweep.
    """
    more = True
    while more:
        with connection.transaction(db):
            began = monotonic()
            more = sweep(db, rows)
        if more and rest(monotonic() - began):
            return
