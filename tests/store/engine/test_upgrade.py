"""Upgrades of older database files: schema, rows, laws, and the copy made before."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from flask.testing import FlaskClient

from gfil import config, create_app
from gfil.config import ROOT
from gfil.maintenance import prune
from gfil.store import (
    api_keys,
    hourly_stats,
    idempotency,
    maintenance_runs,
    migrated_files,
    symbol_settings,
    symbols,
)
from gfil.store.candles import integrity
from gfil.store.engine import connection, file_copy, upgrade
from gfil.store.hourly_stats import HourlyStat
from gfil.store.idempotency import RequestIdentity, StoredAnswer
from gfil.store.migrated_files import MigratedFile
from gfil.store.retention import rules
from gfil.timeframes import DAY, HOUR, MINUTE
from tests.conftest import gfil
from tests.store.engine.test_connection import CREATE, python, schema
from tests.store.model import read, write, write_ticks
from tests.store.old_schema import OLD_SCHEMAS, contents, copy_to_old, make_old

NOON = 1_700_049_600
NOW = NOON + 10 * MINUTE
REQUEST = RequestIdentity("aaaaaaaa", "POST /api/v1/ticks", "1", b"d" * 32)
ANSWER = StoredAnswer(200, b'{"rows":1}')
NEW_IN = {  # tables by the schema that brought them
    "tick": 2, "provisional": 2, "idempotency_record": 2, "hourly_stat": 2, "change_log": 3,
    "retention_rule": 4, "backdated_day": 4, "received_day": 4, "maintenance_run": 4,
    "migrated_file": 4,
}  # fmt: skip
COMMENT = re.compile(r"--[^\n]*")

each_old_schema = pytest.mark.parametrize("version", OLD_SCHEMAS)


def minute(time: int, volume: float = 5.0) -> tuple[tuple[int, int], tuple[float, ...]]:
    return (time, time + MINUTE), (1.1, 1.3, 1.0, 1.2, volume)


def fill_candles(db: apsw.Connection) -> None:
    """Two symbols with M1, a superseded H1, a D1 of another clock, and a deleted symbol."""
    write(db, "EURUSD", "M1", [minute(NOON + MINUTE * n) for n in range(10)], now=NOW)
    write(db, "EURUSD", "H1", [((NOON, NOON + HOUR), (1.1, 1.2, 1.05, 1.15, 3.0))], now=NOW)
    write(db, "EURUSD", "M1", [minute(NOON - 400 * DAY)], now=NOW)
    midnight = NOON - 14 * HOUR  # in Athens
    write(db, "XAUUSD", "D1", [((midnight, midnight + DAY), (7.0, 9.0, 6.0, 8.0, 1.0))],
          "Europe/Athens", now=NOW)  # fmt: skip
    write(db, "GONE", "M1", [minute(NOON)], now=NOW)
    with connection.transaction(db):
        symbols.delete(db, symbols.read(db, "GONE"))
        symbol_settings.update_settings(db, symbols.read(db, "XAUUSD"), {"description": "gold"})
        api_keys.create(db, "pump", "write", now=NOW)


def fill_the_rest(db: apsw.Connection) -> None:
    """Ticks, a provisional M1, and rows of the tables that came after schema 1."""
    ticks = [((NOON + HOUR) * 1000 + n, 1.5 + n, 1.6 + n, 0.0, 0.0, 6) for n in range(3)]
    write_ticks(db, "EURUSD", ticks)
    write(db, "XAUUSD", "M1", [minute(NOON)], now=NOON + 30)
    with connection.transaction(db):
        idempotency.store_answer(db, REQUEST, ANSWER, now=NOW)
        hourly_stats.add(db, [HourlyStat(NOON, "ticks", "inserted", 0, 3)])
        week = rules.parse_period("7d")
        rules.set_rules(db, symbols.read(db, "EURUSD"), {"ticks": week, "M1": week})
        maintenance_runs.record_run(db, "backup", {"bytes": 5}, now=NOW)
        migrated_files.record_file(db, MigratedFile(b"f" * 32, "/old/a.db", NOON, NOW, {"rows": 1}))


@pytest.fixture
def source(tmp_path: Path) -> Iterator[apsw.Connection]:
    """A database of the current schema, to take rows from."""
    connection.create(tmp_path / "source.db")
    with closing(connection.connect(tmp_path / "source.db")) as db:
        fill_candles(db)
        yield db


@pytest.fixture
def upgraded(source: apsw.Connection, tmp_path: Path, version: int) -> Iterator[apsw.Connection]:
    """An upgraded database, from a file of schema `version` with rows in all its tables."""
    if version > 1:
        fill_the_rest(source)
    path = tmp_path / "gfil.db"
    copy_to_old(source, path, version)
    assert connection.create(path) == connection.Upgrade(
        version, tmp_path / f"gfil.schema-{version}.db"
    )
    with closing(connection.connect(path)) as db:
        yield db


def plain_schema(path: Path) -> set[str]:
    """Every statement of a schema, without comments and blanks."""
    return {" ".join(COMMENT.sub("", row[2] or "").split()) for row in schema(path)}


@each_old_schema
def test_upgraded_file_has_schema_of_fresh_one(tmp_path: Path, db_path: Path, version: int) -> None:
    """Also if four processes upgrade it at once."""
    path = tmp_path / "old.db"
    make_old(path, version)
    started = [python(CREATE, path) for _ in range(4)]
    ended = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 4, ended
    assert plain_schema(path) == plain_schema(db_path)
    db = connection.connect(path)
    assert connection.read_state(db) == ("old", 7)
    db.close()


@each_old_schema
def test_upgrade_keeps_rows_of_every_table(
    upgraded: apsw.Connection, source: apsw.Connection, version: int
) -> None:
    """Tables that the old schema lacks are empty; change_log starts with a reset of each symbol."""
    before, after = contents(source), contents(upgraded)
    held = {name for name in before if NEW_IN.get(name, 1) <= version}
    assert {name: after[name] for name in held} == {name: before[name] for name in held}
    assert [name for name in held if not before[name][1]] == []
    lacked = {name: rows for name, (_, rows) in after.items() if name not in held}
    if version < 3:
        _, change = connection.read_state(source)
        series = [symbol.series(0) for symbol in symbols.list_symbols(source)]
        assert lacked.pop("change_log") == [(change, each, 0, 0) for each in sorted(series)]
    assert not any(lacked.values())


@each_old_schema
def test_upgraded_rows_obey_the_laws(upgraded: apsw.Connection) -> None:
    integrity.check(upgraded)


@each_old_schema
def test_upgraded_file_with_rows_has_schema_of_fresh_one(
    upgraded: apsw.Connection, db_path: Path
) -> None:
    assert plain_schema(Path(upgraded.filename)) == plain_schema(db_path)


@each_old_schema
def test_upgrade_leaves_copy_of_old_file(
    upgraded: apsw.Connection, source: apsw.Connection, tmp_path: Path, version: int
) -> None:
    """The copy upgrades to the same rows."""
    copy = tmp_path / f"gfil.schema-{version}.db"
    assert state(copy) == (version, upgrade.APPLICATION_ID, connection.read_state(source))
    connection.create(copy, keep_copy=False)
    with closing(connection.connect(copy)) as db:
        assert contents(db) == contents(upgraded)


@pytest.fixture
def client(upgraded: apsw.Connection) -> FlaskClient:
    """A client of the application on the upgraded file."""
    path = Path(upgraded.filename)
    environment = {"GFIL_DB": str(path), "GFIL_READ": "public"}
    return create_app(config.read(environment, path.parent)).test_client()


@each_old_schema
def test_application_works_on_upgraded_file(
    upgraded: apsw.Connection, source: apsw.Connection, client: FlaskClient, version: int
) -> None:
    """It reads candles, stores ticks, answers a repeated request and prunes."""
    with connection.transaction(upgraded):
        _, secret = api_keys.create(upgraded, "test", "write", now=NOW)
    for symbol, tf in (("EURUSD", "M1"), ("EURUSD", "H1"), ("EURUSD", "D1"), ("XAUUSD", "D1")):
        answer = client.get(f"/api/v1/candles?symbol={symbol}&tf={tf}&limit=100")
        assert answer.json is not None
        expected = [list(row) for row in read(source, symbol, tf).candles]
        assert answer.json["candles"] == expected
    athens = client.get("/api/v1/candles?symbol=XAUUSD&tf=D1&clock=Europe/Athens")
    assert athens.json is not None
    assert athens.json["candles"][0] == [NOON - 14 * HOUR, 7.0, 9.0, 6.0, 8.0, 1.0]
    tick = {"symbol": "EURUSD", "time_msc": (NOON + 2 * HOUR) * 1000, "bid": 2.5, "ask": 2.6}
    headers = {"X-API-Key": secret, "Idempotency-Key": "new"}
    for replayed in (None, "true"):
        posted = client.post("/api/v1/ticks", json={"ticks": [tick]}, headers=headers)
        assert (posted.status_code, posted.headers.get("Idempotent-Replayed")) == (200, replayed)
    assert read(upgraded, "EURUSD", "M1").candles[-1] == (NOON + 2 * HOUR, *[2.5] * 4, 1.0)
    kept = idempotency.find_answer(upgraded, REQUEST, now=NOW)
    assert kept == (ANSWER if version > 1 else None)
    with connection.transaction(upgraded):
        upgraded.execute("DELETE FROM received_day")  # the post above protects its day
    report = prune.prune(upgraded, now=NOON + 200 * DAY, imported=True, rest=lambda seconds: None)
    assert report.rows["M1"] == 1
    integrity.check(upgraded)


def state(path: Path) -> tuple[int, int, tuple[str, int]]:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return db.pragma("user_version"), db.pragma("application_id"), connection.read_state(db)
    finally:
        db.close()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix not in (".db-shm", ".db-wal")}


def test_old_database_is_copied_before_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "gfil.db"
    make_old(path)
    assert connection.create(path) == connection.Upgrade(1, tmp_path / "gfil.schema-1.db")
    assert state(tmp_path / "gfil.schema-1.db") == (1, upgrade.APPLICATION_ID, ("old", 7))
    assert state(path) == (upgrade.SCHEMA_VERSION, upgrade.APPLICATION_ID, ("old", 7))
    assert connection.create(path) is None


def test_four_upgrading_processes_make_one_copy(tmp_path: Path) -> None:
    """UPGRADE-ATOMIC: no incomplete copy has the final name."""
    make_old(tmp_path / "gfil.db")
    code = CREATE.replace(
        "connection.create(Path(sys.argv[1]))",
        "print(connection.create(Path(sys.argv[1])))",
    )
    started = [python(code, tmp_path / "gfil.db") for _ in range(4)]
    output = sorted(process.communicate(timeout=120)[0].strip() for process in started)
    assert output[:3] == ["None"] * 3
    assert output[3].startswith("Upgrade(schema_before=1, copy=")
    assert names(tmp_path) == {"gfil.db", "gfil.schema-1.db"}
    assert state(tmp_path / "gfil.schema-1.db") == (1, upgrade.APPLICATION_ID, ("old", 7))


def test_new_or_current_database_is_not_copied(tmp_path: Path) -> None:
    for _ in range(2):
        assert connection.create(tmp_path / "gfil.db") is None
    assert names(tmp_path) == {"gfil.db"}


def test_init_reports_upgrade_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "gfil.db"
    make_old(path)
    status, output, error = gfil(tmp_path / "gfil.db", "init")
    assert (status, output.count("\n"), error.count("\n")) == (0, 1, 1)
    assert f"{path}: upgraded from schema 1" in error
    assert str(tmp_path / "gfil.schema-1.db") in error
    assert gfil(tmp_path / "gfil.db", "init") == (0, output, "")


def test_upgrade_without_room_for_copy_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_copy, "RESERVE_BYTES", 10**18)
    make_old(tmp_path / "gfil.db")
    assert connection.create(tmp_path / "gfil.db") == connection.Upgrade(1, None)
    assert names(tmp_path) == {"gfil.db"}
    assert state(tmp_path / "gfil.db")[0] == upgrade.SCHEMA_VERSION


OLD_NAME = re.compile(r"\b(yielded|imported_day)\b|`(early|upkeep|stretch|figure|place)`")


def test_documents_and_comments_use_names_of_the_current_schema() -> None:
    """Old table and column names stay in the upgrade texts only."""
    files = [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "gfil" / "store").rglob("*.py"),
    ]
    files += [ROOT / "gfil/store/schema/schema.sql"]
    found = {
        str(path.relative_to(ROOT)): names
        for path in files
        if (names := [match[0] for match in OLD_NAME.finditer(path.read_text("utf-8"))])
    }
    assert found == {}
