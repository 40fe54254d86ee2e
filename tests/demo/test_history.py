"""Tests of gfil/demo/history.py."""

from itertools import pairwise
from pathlib import Path

from gfil import clocks, timeframes
from gfil.demo import history
from gfil.store import symbols
from gfil.store.candles import read
from gfil.store.engine import connection

FRIDAY = 1791576000  # 2026-10-09T20:00Z, an hour before New York closes
DAY = 86400


def test_every_demo_symbol_is_labelled_and_reaches_now(db_path: Path) -> None:
    """A screenshot shows that the prices are generated."""
    history.fill(db_path, now=FRIDAY)
    db = connection.connect(db_path, readonly=True)
    for symbol in symbols.list_symbols(db):
        assert symbol.name.endswith(".demo")
        assert history.LABEL in symbol.description
        newest = read.read_candles(db, symbol, timeframes.M1, clocks.UTC, limit=1).candles
        assert newest[0][0] == FRIDAY - 60
        months = read.read_candles(db, symbol, timeframes.MN1, clocks.parse(symbol.clock))
        assert len(months.candles) == 97  # eight years and the current month
    assert len(symbols.list_symbols(db)) == len(history.INSTRUMENTS)


def test_second_start_extends_the_history(db_path: Path) -> None:
    """Existing candles stay unchanged."""
    history.fill(db_path, now=FRIDAY)
    db = connection.connect(db_path)
    symbol = symbols.read(db, "BTCUSD.demo")
    before = read.read_candles(db, symbol, timeframes.M1, clocks.UTC, limit=10_000).candles
    history.fill(db_path, now=FRIDAY + 2 * DAY)
    after = read.read_candles(db, symbol, timeframes.M1, clocks.UTC, limit=10_000).candles
    assert after[: 10_000 - 2 * 1440] == before[2 * 1440 :]
    assert after[-1][0] == FRIDAY + 2 * DAY - 60
    assert [b[0] - a[0] for a, b in pairwise(after)] == [60] * 9_999


def test_closing_market_has_no_candles_at_the_weekend(db_path: Path) -> None:
    """Days follow the New York close."""
    history.fill(db_path, now=FRIDAY + 2 * DAY)
    db = connection.connect(db_path, readonly=True)
    symbol = symbols.read(db, "EURUSD.demo")
    newest = read.read_candles(db, symbol, timeframes.M1, clocks.UTC, limit=1).candles
    assert newest[0][0] == FRIDAY + 3600 - 60
