"""Tests of gfil/commands/symbols.py."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from gfil import clocks, config, timeframes
from gfil.store import symbols
from gfil.store.candles import read, write
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection

DAY = 86400
MONDAY = 1735516800  # 2024-12-30T00:00Z


@pytest.fixture
def filled(db_path: Path) -> Path:
    """Two days of H1 of one symbol."""
    db = connection.connect(db_path)
    times = list(range(MONDAY, MONDAY + 2 * DAY, 3600))
    prices = [1.0 + 0.0001 * index for index in range(len(times))]
    rows = CandleColumns(times, [0] * 48, prices, prices, prices, prices, [10.0] * 48)
    with connection.transaction(db):
        symbol = symbols.ensure(db, "EURUSD")
        write.write_candles(db, symbol, timeframes.H1, rows)
    db.close()
    return db_path


def gfil(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command on a database."""
    return subprocess.run(
        [sys.executable, "-m", "gfil", *words],
        cwd=config.ROOT,
        env=os.environ | {"GFIL_DB": str(path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_list_names_every_symbol_and_its_last_candle(filled: Path) -> None:
    """The digits are the most decimals of its prices."""
    done = gfil(filled, "symbol", "list", "--json")
    assert done.returncode == 0
    (found,) = orjson.loads(done.stdout)["symbols"]
    assert (found["symbol"], found["digits"]) == ("EURUSD", 4)
    assert found["last_time"] == MONDAY + 2 * DAY - 3600


def test_set_changes_settings_and_derives_days_on_a_new_clock(filled: Path) -> None:
    """D1 on the new clock is derived at once."""
    done = gfil(filled, "symbol", "set", "eurusd", "--clock", "nyclose", "--description", "Euro")
    assert (done.returncode, done.stderr) == (0, "")
    db = connection.connect(filled, readonly=True)
    symbol = symbols.read(db, "EURUSD")
    assert (symbol.clock, symbol.description) == ("America/New_York+07:00", "Euro")
    clock = clocks.parse("nyclose")
    days = read.read_candles(db, symbol, timeframes.D1, clock).candles
    assert [day[0] for day in days] == [MONDAY - 7200, MONDAY + DAY - 7200, MONDAY + 2 * DAY - 7200]
    assert [day[5] for day in days] == [220.0, 240.0, 20.0]


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (("symbol", "set", "EURUSD"), 2, "give at least one setting"),
        (("symbol", "set", "NOPE", "--digits", "2"), 1, "unknown symbol 'NOPE'"),
        (("symbol", "set", "EURUSD", "--clock", "Mars/Base"), 2, "unknown clock 'Mars/Base'"),
        (("symbol", "set", "EURUSD", "--digits", "9"), 2, "9"),
        (("symbol", "set", "EURUSD", "--base", "E U R"), 2, "bad currency"),
        (("symbol", "rename", "EURUSD", "bad name"), 2, "bad symbol"),
        (("symbol", "delete", "NOPE"), 1, "unknown symbol"),
        (("delete", "--symbol", "EURUSD", "--from", "yesterday"), 2, "bad time"),
        (("delete", "--symbol", "EURUSD", "--from", "1735516800000"), 2, "milliseconds?"),
        (("delete", "--symbol", "EURUSD", "--tf", "M7"), 2, "unknown timeframe"),
    ],
)
def test_wrong_usage_is_one_line(
    filled: Path, words: tuple[str, ...], status: int, line: str
) -> None:
    """No data changes and no traceback is printed."""
    done = gfil(filled, *words)
    assert done.returncode == status
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert gfil(filled, "symbol", "list").stdout.count("EURUSD") == 1


def test_rename_refuses_a_taken_name_in_any_case(filled: Path) -> None:
    """Two symbols never differ only in case."""
    db = connection.connect(filled)
    with connection.transaction(db):
        symbols.ensure(db, "GBPUSD")
    assert "'GBPUSD' exists already" in gfil(filled, "symbol", "rename", "EURUSD", "gbpusd").stderr
    assert gfil(filled, "symbol", "rename", "EURUSD", "EURUSD.r").returncode == 0
    assert [symbol.name for symbol in symbols.list_symbols(db)] == ["EURUSD.r", "GBPUSD"]


def test_delete_dry_run_counts_what_delete_removes(filled: Path) -> None:
    """Candles derived from the deleted ones are deleted too."""
    words = ("delete", "--symbol", "EURUSD", "--from", "2024-12-31")
    assert orjson.loads(gfil(filled, *words, "--dry-run", "--json").stdout)["deleted"] == 24
    assert orjson.loads(gfil(filled, *words, "--json").stdout)["deleted"] == 24
    assert orjson.loads(gfil(filled, *words, "--json").stdout)["deleted"] == 0
    db = connection.connect(filled, readonly=True)
    symbol = symbols.read(db, "EURUSD")
    days = read.read_candles(db, symbol, timeframes.D1, clocks.UTC).candles
    assert [day[0] for day in days] == [MONDAY]


def test_deleted_symbol_leaves_no_rows(filled: Path) -> None:
    """Its rows are deleted with its name."""
    assert gfil(filled, "symbol", "delete", "EURUSD").returncode == 0
    db = connection.connect(filled, readonly=True)
    assert symbols.list_symbols(db) == []
    assert db.execute("SELECT COUNT(*) FROM candle").get == 0
    assert db.execute("SELECT COUNT(*) FROM deleted_symbol").get == 0
