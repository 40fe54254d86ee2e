"""Tests of gfil/commands/retention.py."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from freezegun import freeze_time

from gfil.cli import cli
from gfil.store import maintenance_runs
from gfil.store.engine import connection

NOW = "2025-03-01T00:00:00Z"
HEAD = "time,open,high,low,close,volume"


def run(db: Path, *words: str | Path, stdin: str | None = None, now: str = NOW) -> Result:
    with freeze_time(now):
        runner = CliRunner(env={"GFIL_DB": str(db), "GFIL_MIN_FREE_MB": "0"})
        return runner.invoke(cli, [*map(str, words)], input=stdin, prog_name="gfil")


def days(first: str, count: int) -> str:
    """CSV file with one minute per day."""
    start = datetime.fromisoformat(first).replace(tzinfo=UTC)
    stamps = (start + timedelta(days=day) for day in range(count))
    return "\n".join([HEAD, *(f"{stamp:%Y-%m-%dT%H:%M:%SZ},1,2,1,2,3" for stamp in stamps), ""])


def load(db: Path, text: str, now: str = NOW) -> Result:
    return run(
        db, "import", "-", "--symbol", "EURUSD", "--tf", "M1", "--force-tf", stdin=text, now=now
    )


@pytest.fixture
def filled(db_path: Path) -> Path:
    """One minute of each day from October to February, written month by month."""
    firsts = [f"{month}-01" for month in ("2024-10", "2024-11", "2024-12", "2025-01", "2025-02")]
    for first, following in pairwise([*firsts, "2025-03-01"]):
        count = (datetime.fromisoformat(following) - datetime.fromisoformat(first)).days
        assert load(db_path, days(first, count), now=following).exit_code == 0
    return db_path


def test_rules_are_shown_and_set(db_path: Path) -> None:
    shown = run(db_path, "retention")
    assert (shown.exit_code, shown.stdout) == (
        0,
        f"{db_path}: every symbol: ticks=7d M1=3months, all else forever\n",
    )
    done = run(db_path, "retention", "1m=1y", "TICKS=2w", "M5=10y")
    assert (done.exit_code, done.stdout) == (
        0,
        f"{db_path}: every symbol: ticks=14d M1=1y M5=10y, all else forever\n"
        "`gfil prune --dry-run` shows what the next prune would remove\n",
    )
    assert run(db_path, "retention", "M1=default").exit_code == 0
    assert orjson.loads(run(db_path, "retention", "--json").stdout)["retention"]["M1"] == "3months"


def test_symbol_has_its_own_rules(filled: Path) -> None:
    done = run(filled, "retention", "--symbol", "eurusd", "M1=1y")
    assert done.stdout.startswith(f"{filled}: EURUSD: ticks=7d M1=1y, all else forever\n")
    assert run(filled, "retention").stdout == (
        f"{filled}: every symbol: ticks=7d M1=3months, all else forever\nEURUSD: M1=1y\n"
    )
    told = orjson.loads(run(filled, "retention", "--json").stdout)
    assert told["symbols"] == {"EURUSD": {"M1": "1y"}}
    told = orjson.loads(run(filled, "retention", "--symbol", "EURUSD", "--json").stdout)
    assert (told["symbol"], told["retention"]["M1"]) == ("EURUSD", "1y")
    assert run(filled, "prune", "--dry-run").stdout.startswith(f"{filled}: dry run: 0 days")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("M1",), "gfil: bad rule 'M1': use TF=KEEP, such as M1=3months or ticks=7d"),
        (("M1=3m",), "gfil: bad time '3m': use whole 7d, 2w, 3months, 1y or forever"),
        (("M7=1y",), "gfil: unknown timeframe 'M7'"),
        (("M1=2y", "M5=1y"), "gfil: M1 would be kept 2y and M5 only 1y"),
        (("--symbol", "NONE", "M1=1y"), "gfil: unknown symbol 'NONE'"),
    ],
)
def test_bad_rule_is_one_line_and_changes_nothing(
    db_path: Path, words: tuple[str, ...], told: str
) -> None:
    before = run(db_path, "retention").stdout
    done = run(db_path, "retention", *words)
    assert done.exit_code in (1, 2)
    assert done.stderr.startswith(told), done.stderr
    assert done.stderr.count("\n") == 1
    assert run(db_path, "retention").stdout == before


def test_global_rule_must_not_contradict_a_symbol(filled: Path) -> None:
    assert run(filled, "retention", "--symbol", "EURUSD", "M1=2y").exit_code == 0
    done = run(filled, "retention", "M5=1y")
    assert (done.exit_code, "M1 of EURUSD would be kept 2y" in done.stderr) == (2, True)


@pytest.mark.parametrize("command", [("retention",), ("retention", "M1=1y"), ("prune",)])
def test_commands_need_a_database(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run(tmp_path / "none.db", *command)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"no database at {tmp_path / 'none.db'}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_prune_reports_in_one_line(filled: Path) -> None:
    done = run(filled, "prune", now="2025-03-04T00:00:00Z")
    assert (done.exit_code, done.stderr) == (0, "")
    line, *more = done.stdout.splitlines()
    assert line.startswith(f"{filled}: 58 days pruned (58 M1); ")
    assert more == []
    again = run(filled, "prune", now="2025-03-04T00:00:00Z")
    assert again.stdout == f"{filled}: 0 days pruned; 0 B returned to the disk\n"


def test_prune_dry_run_reports_the_same_and_removes_nothing(filled: Path) -> None:
    for _ in range(2):
        done = run(filled, "prune", "--dry-run", "--json", now="2025-03-04T00:00:00Z")
        told = orjson.loads(done.stdout)
        assert (told["dry_run"], told["rows"], told["days"]) == (True, {"M1": 58}, 58)


def test_prune_report_as_json_is_recorded(filled: Path) -> None:
    told = orjson.loads(run(filled, "prune", "--json", now="2025-03-04T00:00:00Z").stdout)
    assert told["db"] == str(filled)
    db = connection.connect(filled, readonly=True)
    done = maintenance_runs.read_last_run(db, "prune")
    db.close()
    assert done is not None
    assert (done.time, done.report["rows"]) == (1741046400, {"M1": 58})
    assert told.items() >= done.report.items()


def test_prune_reports_days_with_recent_rows(filled: Path) -> None:
    late = days("2024-10-03", 2).replace("T00:00", "T00:01")
    load(filled, late, now="2025-03-03T20:00:00Z")
    done = run(filled, "prune", now="2025-03-04T00:00:00Z")
    assert "56 days pruned (56 M1)" in done.stdout
    assert "2 days kept with rows of the last 48 hours" in done.stdout
    later = run(filled, "prune", now="2025-03-05T21:00:00Z")
    assert f"{filled}: 2 days pruned (4 M1)" in later.stdout


def test_imported_years_stay_and_are_reported(
    db_path: Path,
) -> None:
    """25 years of minutes, reduced to one per day."""
    count = 9192
    done = load(db_path, days("2000-01-01", count))
    assert done.stdout.splitlines()[2:-1] == [
        "  warning: EURUSD M1: 9,101 days older than the retention, 2000-01-01 to 2024-11-30: "
        "kept as imported until `gfil prune --imported`"
    ]
    for now in (NOW, "2025-06-01T00:00:00Z"):
        line, named = run(db_path, "prune", now=now).stdout.splitlines()
        assert line.startswith(f"{db_path}: 0 days pruned; ")
        assert line.endswith("; 9,101 backdated days kept")
        assert named == (
            "EURUSD M1: 9,101 backdated days from 2000-01-01 to 2024-11-30 kept; "
            "only `gfil prune --imported` removes them"
        )
    db = connection.connect(db_path, readonly=True)
    assert connection.query_one(db, "SELECT COUNT(*) FROM candle WHERE series = 32") == count
    db.close()
    done = run(db_path, "prune", "--imported", "--dry-run")
    told = f"{db_path}: dry run: 9,101 days pruned (9,101 M1); "
    assert done.stdout.startswith(told)


def test_backdated_days_are_removed_with_imported(filled: Path) -> None:
    assert load(filled, days("2000-01-01", 30)).exit_code == 0
    assert "30 backdated days kept" in run(filled, "prune").stdout
    done = run(filled, "prune", "--imported")
    assert done.stdout.startswith(f"{filled}: 30 days pruned (30 M1); ")


def test_prune_creates_the_ballast_next_to_the_database(filled: Path) -> None:
    run(filled, "prune")
    ballast = filled.with_suffix(".ballast")
    assert ballast.stat().st_size > 1_000_000
    assert ballast.stat().st_mode & 0o777 == 0o600
