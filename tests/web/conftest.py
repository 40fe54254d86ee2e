"""A database with one symbol whose candles are known by heart."""

from pathlib import Path

import pytest

from gfil import timeframes
from gfil.store import symbols
from gfil.store.candles import write
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection

MONDAY = 1735516800  # 2024-12-30T00:00Z
HOURS = 72


@pytest.fixture
def hours(db_path: Path) -> Path:
    """Three days of hours: hour n opens and closes at n, and has one more of volume."""
    db = connection.connect(db_path)
    times = [MONDAY + 3600 * hour for hour in range(HOURS)]
    prices = [float(hour) for hour in range(HOURS)]
    volumes = [hour + 1.0 for hour in range(HOURS)]
    rows = CandleColumns(times, [0] * HOURS, prices, prices, prices, prices, volumes)
    with connection.transaction(db):
        symbol = symbols.ensure(db, "EUR_USD")
        write.write_candles(db, symbol, timeframes.H1, rows)
    db.close()
    return db_path
