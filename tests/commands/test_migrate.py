"""Tests of gfil/commands/migrate.py."""

import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from gfil.cli import cli
from gfil.store.engine import connection
from tests.migration.legacy_samples import MONDAY, fold, minutes, objects, save

DAY = 86400


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "gfil.db"


@pytest.fixture
def klines(tmp_path: Path) -> Path:
    folder = tmp_path / "klines"
    rows = minutes(300)
    save(folder, "EURUSD_1m", objects([*rows, rows[-1]]))
    save(folder, "EURUSD_1h", objects(fold(rows, "1h")))
    return folder


def run(db: Path, *arguments: Any) -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner(env={"GFIL_DB": str(db)}).invoke(cli, words, prog_name="gfil")


def lines(done: Result) -> list[str]:
    """Lines of the report without warnings about backdated days."""
    return [line for line in done.stdout.splitlines() if "older than" not in line]


def test_report_has_a_line_for_each_file(db: Path, klines: Path) -> None:
    done = run(db, "migrate", klines)
    assert (done.exit_code, done.stderr) == (0, "")
    assert lines(done) == [
        "file                   rows     stored    covered  duplicate    refused",
        "EURUSD_1m.json          301        300          0          1          0",
        "EURUSD_1h.json            5          1          4          0          0",
        "2 files                 306        301          4          1          0",
        "verified: 306 rows = 301 stored + 4 covered + 1 duplicate",
        "the old files are kept; `gfil prune` deletes files without refused rows 72 h after "
        "verification, once a newer backup exists",
        f"{db}: change 2",
    ]


def test_report_as_json(db: Path, klines: Path) -> None:
    done = run(db, "migrate", klines, "--json")
    told = orjson.loads(done.stdout)
    assert {name: told[name] for name in told if name not in ("files", "weeks")} == {
        "db": str(db),
        "dry_run": False,
        "foreign": [],
        "rows": 306,
        "present": 301,
        "covered": 4,
        "different": 0,
        "kept": 0,
        "duplicates": 1,
        "rejected": 0,
        "inserted": 300,
        "updated": 1,
        "unchanged": 0,
        "reasons": {},
        "verified": True,
        "change": 2,
    }
    first = told["files"][0]
    assert {name: first[name] for name in ("file", "state", "symbol", "tf", "clock", "rows")} == {
        "file": "EURUSD_1m.json",
        "state": "migrated",
        "symbol": "EURUSD",
        "tf": "M1",
        "clock": "UTC",
        "rows": 301,
    }
    assert (first["from"], first["to"], first["truncated"]) == (MONDAY, MONDAY + 299 * 60, False)


def test_second_run_reports_files_migrated_before(db: Path, klines: Path) -> None:
    run(db, "migrate", klines)
    done = run(db, "migrate", klines)
    assert done.exit_code == 0
    assert lines(done)[1:3] == [
        "EURUSD_1m.json          301        300          0          1          0  migrated before",
        "EURUSD_1h.json            5          1          4          0          0  migrated before",
    ]


def test_refused_files_and_rows_are_named_and_exit_with_3(db: Path, klines: Path) -> None:
    save(klines, "GBPUSD_1m", objects(minutes(100)), cut=0.5)
    thursday = (MONDAY + 3 * DAY, 1.0, 2.0, 0.5, 1.5, 10.0)
    save(klines, "GBPUSD_1w", objects([thursday]))
    (klines / "GBPUSD_5m.json").write_bytes(b"")
    (klines / "notes.txt").write_text("mine")
    done = run(db, "migrate", klines)
    assert done.exit_code == 3
    assert done.stderr == "gfil: GBPUSD_5m.json: the file is empty\n"
    text = done.stdout
    assert (
        "GBPUSD_5m.json            0          0          0          0          0  refused" in text
    )
    assert "GBPUSD_1m.json: truncated: the last complete row is 2024-03-04T00:" in text
    assert 'GBPUSD_1w.json: row 0 off_bucket: {"ts":1709769600,' in text
    assert "ignored files: notes.txt" in text
    assert (klines / "notes.txt").read_text() == "mine"


def test_dry_run_reports_and_stores_nothing(db: Path, klines: Path) -> None:
    done = run(db, "migrate", klines, "--dry-run", "--clock", "Europe/Athens")
    assert done.exit_code == 0
    assert not db.exists()
    assert lines(done) == [
        "file                   rows  duplicate    refused",
        "EURUSD_1m.json          301          1          0",
        "EURUSD_1h.json            5          0          0",
        "2 files                 306          1          0",
        "EURUSD_1m.json: 2024-03-03 22:00 to 2024-03-04 02:59 UTC, "
        "2024-03-04 00:00 to 2024-03-04 04:59 on clock Europe/Athens",
        "EURUSD_1h.json: 2024-03-03 22:00 to 2024-03-04 02:00 UTC, "
        "2024-03-04 00:00 to 2024-03-04 04:00 on clock Europe/Athens",
        "EURUSD: trading week in UTC: Mon 00-03; Sun 22-24",
        f"{db}: dry run, nothing stored",
    ]


def test_dry_run_knows_migrated_files_and_changes_no_byte(db: Path, klines: Path) -> None:
    run(db, "migrate", klines)
    before = db.read_bytes()
    done = run(db, "migrate", klines, "--dry-run", "--json")
    assert {file["state"] for file in orjson.loads(done.stdout)["files"]} == {"migrated before"}
    assert db.read_bytes() == before


def broker_week(folder: Path) -> None:
    """Symbol that trades Monday 00:00 to Friday 24:00, as on the clock of a broker."""
    rows = [row for n in range(5) for row in minutes(5 * 24 * 60, MONDAY + n * 7 * DAY, n)]
    save(folder, "XAUUSD_1m", objects(rows))


def test_broker_times_read_as_utc_are_warned_about(db: Path, tmp_path: Path) -> None:
    broker_week(tmp_path / "klines")
    warning = (
        "WARNING: XAUUSD: trading week in UTC: Mon-Fri 00-24; no market trades so on clock UTC; "
        "--clock nyclose or "
    )
    assert warning in run(db, "migrate", tmp_path / "klines", "--dry-run").stdout
    assert warning in run(db, "migrate", tmp_path / "klines").stdout
    told = orjson.loads(run(db, "migrate", tmp_path / "klines", "--dry-run", "--json").stdout)
    (week,) = told["weeks"]
    assert (week["symbol"], week["market"], week["clocks"][0]) == ("XAUUSD", False, "nyclose")


def test_right_clock_gives_no_warning(db: Path, tmp_path: Path) -> None:
    broker_week(tmp_path / "klines")
    done = run(db, "migrate", tmp_path / "klines", "--clock", "nyclose")
    assert (done.exit_code, "WARNING" in done.stdout) == (0, False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "gfil: nowhere: no such file or folder\n"),
        (["."], "gfil: .: the folder has no file named like XAUUSD_1m.json\n"),
        (
            [".", "--keep-hours", "soon"],
            "gfil: --keep-hours must be a number from 0 to 8784, or never, not 'soon'",
        ),
        (
            [".", "--keep-hours", "-1"],
            "gfil: --keep-hours must be a number from 0 to 8784, or never, not '-1'",
        ),
        ([".", "--clock", "Mars"], "gfil: unknown clock 'Mars'"),
    ],
)
def test_wrong_usage_is_one_line_and_creates_no_database(
    db: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(db, "migrate", *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert not db.exists()


def test_keep_hours_never_keeps_the_files(db: Path, klines: Path) -> None:
    done = run(db, "migrate", klines, "--keep-hours", "never")
    assert "the old files are kept\n" in done.stdout
    with connection.connect(db, readonly=True) as second:
        kept = connection.query_all(second, "SELECT delete_after FROM migrated_file")
    assert kept == [(None,), (None,)]


def test_prune_deletes_migrated_files_after_a_backup(
    db: Path, klines: Path, tmp_path: Path
) -> None:
    run(db, "migrate", klines, "--keep-hours", "0")
    assert "no verified backup was made since" in run(db, "prune").stdout
    with connection.connect(db) as second:
        text = orjson.dumps({"path": str(db)}).decode()
        second.execute("UPDATE migrated_file SET time = time - 60")
        backup = ("backup", int(time.time()) - 30, text)
        second.execute("INSERT INTO maintenance_run VALUES (?, ?, ?)", backup)
    told = orjson.loads(run(db, "prune", "--dry-run", "--json").stdout)
    assert len(told["migrated"]["deleted"]) == 2
    assert "2 migrated files deleted" in run(db, "prune").stdout
    assert [*klines.iterdir()] == []
