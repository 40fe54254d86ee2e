"""Tests of the SQLite file of the old system: gfil/store/legacy_kline_db.py and its migration."""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from gfil.errors import BadParameter, DatabaseError
from gfil.migration import legacy_files, migrate
from gfil.migration.migrate import MigrationOptions
from gfil.migration.report import MigrationReport
from gfil.store import legacy_kline_db, migrated_files
from tests.migration.legacy_samples import NOW, minutes
from tests.store.model import read

NOTE_001 = """
CREATE TABLE kline_1m (
symbol TEXT NOT NULL, ts INTEGER NOT NULL, open REAL NOT NULL, high REAL NOT NULL,
low REAL NOT NULL, close REAL NOT NULL, volume INTEGER DEFAULT 0, PRIMARY KEY (symbol, ts));
CREATE INDEX idx_kline_symbol_ts ON kline_1m(symbol, ts);
"""
LOOSE = "CREATE TABLE kline_1m (symbol, ts, open, high, low, close, volume)"
INSERT = "INSERT INTO kline_1m VALUES (?, ?, ?, ?, ?, ?, ?)"


def make(path: Path, rows: Sequence[Sequence[Any]], schema: str = NOTE_001) -> apsw.Connection:
    """Write the old file; return the open connection."""
    old = apsw.Connection(str(path))
    old.pragma("journal_mode", "WAL")
    old.execute(schema).fetchall()
    with old:
        old.executemany(INSERT, rows)
    return old


def move(db_path: Path, source: Path) -> MigrationReport:
    """Migrate the file; return the report."""
    found = legacy_files.find(str(source))
    moved = MigrationReport(db_path)
    migrate.migrate(db_path, found, MigrationOptions(keep_hours=72), moved, read_time=lambda: NOW)
    return moved


def test_every_symbol_of_the_old_table_is_migrated(
    db: apsw.Connection, db_path: Path, tmp_path: Path
) -> None:
    source = tmp_path / "klines.db"
    euro, gold = minutes(9000, seed=1), minutes(50, seed=2)
    rows = [("EURUSD", *row) for row in euro] + [("XAUUSD", *row) for row in gold]
    make(source, rows).close()
    before = hashlib.sha256(source.read_bytes()).digest()
    moved = move(db_path, source)
    assert read(db, "EURUSD", "M1").candles == euro
    assert read(db, "XAUUSD", "M1").candles == gold
    assert hashlib.sha256(source.read_bytes()).digest() == before
    (file,) = moved.files
    assert (file.state, file.counts["present"], moved.exit_status) == ("migrated", 9050, 0)
    assert migrated_files.list_files(db)[0].delete_after is None, "only JSON files are deleted"
    assert move(db_path, source).files[0].state == "migrated before"
    assert [week["symbol"] for week in moved.weeks] == ["EURUSD", "XAUUSD"]


def test_wal_of_the_running_old_system_is_read(
    db: apsw.Connection, db_path: Path, tmp_path: Path
) -> None:
    source = tmp_path / "klines.db"
    rows = minutes(30)
    with closing(make(source, [("EURUSD", *row) for row in rows[:20]])) as old:
        assert move(db_path, source).files[0].counts["present"] == 20
        old.executemany(INSERT, [("EURUSD", *row) for row in rows[20:]])
        assert move(db_path, source).files[0].counts["present"] == 30
    assert read(db, "EURUSD", "M1").candles == rows


def test_read_only_folder_is_read_without_writing(
    db_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "klines.db"
    make(source, [("EURUSD", *row) for row in minutes(20)]).close()
    monkeypatch.setattr(legacy_kline_db.os, "access", lambda *_: False)  # type: ignore[attr-defined]
    assert move(db_path, source).files[0].counts["present"] == 20
    assert [path.name for path in tmp_path.glob("klines.db*")] == ["klines.db"]
    with closing(make(tmp_path / "b.db", [("EURUSD", *row) for row in minutes(20)])):
        (refused,) = move(db_path, tmp_path / "b.db").files
    assert refused.state == "refused"
    assert "b.db-wal belongs to it" in refused.error


def test_invalid_cell_refuses_its_row_only(
    db: apsw.Connection, db_path: Path, tmp_path: Path
) -> None:
    source = tmp_path / "klines.db"
    rows = minutes(30)
    bad: list[tuple[Any, ...]] = [
        (None, *rows[0]),
        ("EURUSD", None, *rows[1][1:]),
        ("EURUSD", "soon", *rows[2][1:]),
        ("EURUSD", rows[3][0], None, *rows[3][2:]),
        ("EURUSD", rows[4][0], b"\xff", *rows[4][2:]),
        ("EURUSD", rows[5][0], 1.0, 0.5, 2.0, 1.0, 1),
        ("'; drop", *rows[6]),
    ]
    good = [("EURUSD", *row[:5], None) for row in rows[10:]]
    make(source, [*bad, *good], LOOSE).close()
    moved = move(db_path, source)
    assert moved.files[0].counts["present"] == 20
    assert moved.files[0].counts["reasons"] == {
        "bad_time": 1,
        "bad_symbol": 1,
        "low_high": 1,
        "missing_field": 3,
        "not_a_number": 1,
    }
    assert moved.exit_status == 3
    assert {candle[-1] for candle in read(db, "EURUSD", "M1").candles} == {0}


def test_database_of_gfil_or_another_program_is_refused(db_path: Path, tmp_path: Path) -> None:
    (own,) = move(db_path, db_path).files
    assert "file is a database of GFIL" in own.error
    other = tmp_path / "other.db"
    with closing(apsw.Connection(str(other))) as old:
        old.execute("CREATE TABLE other (a)")
    assert "it has no table kline_1m" in move(db_path, other).files[0].error


def test_old_table_is_read_in_order_and_in_pages(tmp_path: Path) -> None:
    rows = [("EURUSD", *row) for row in minutes(legacy_kline_db.PAGE_ROWS + 1)]
    make(tmp_path / "k.db", rows[::-1]).close()
    with closing(legacy_kline_db.connect(tmp_path / "k.db")) as old:
        pieces = [*legacy_kline_db.read_pages(old)]
    assert [len(piece) for piece in pieces] == [legacy_kline_db.PAGE_ROWS, 1]
    assert [row for piece in pieces for row in piece] == rows


def test_damaged_old_file_is_named(db_path: Path, tmp_path: Path) -> None:
    source = tmp_path / "broken.db"
    make(source, [("EURUSD", *row) for row in minutes(2000)]).close()
    content = bytearray(source.read_bytes())
    content[3 * 4096 : 20 * 4096] = bytes(17 * 4096)
    source.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"broken\.db: .*malformed"):
        move(db_path, source)


@pytest.mark.parametrize("name", ["nothing.db", "text.db"])
def test_file_that_is_no_database_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.db").write_text("SQLite")
    with pytest.raises(BadParameter):
        legacy_files.find(str(tmp_path / name))
