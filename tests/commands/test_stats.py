"""Tests of gfil/commands/stats.py: the hourly statistics as a table and as JSON."""

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from freezegun import freeze_time

from gfil.cli import cli
from gfil.store import hourly_stats
from gfil.store.engine import connection
from gfil.store.hourly_stats import HourlyStat

HOUR = 1_700_006_400  # 2023-11-15T00:00Z


def run(path: Path, *arguments: str) -> Result:
    with freeze_time("2023-11-15T00:30:00Z"):
        return CliRunner(env={"GFIL_DB": str(path)}).invoke(cli, ["stats", *arguments])


@pytest.fixture
def busy(db_path: Path) -> Path:
    """Two hours of ticks with refused rows, and some pages."""
    made = (
        HourlyStat(HOUR - 3600, "ticks", "took", 40, 600),
        HourlyStat(HOUR, "ticks", "took", 44, 30),
        HourlyStat(HOUR, "ticks", "inserted", 0, 1_200_000),
        HourlyStat(HOUR, "ticks", "rejected", 0, 1_001),
        HourlyStat(HOUR, "ticks", "future", 0, 1_000),
        HourlyStat(HOUR, "ticks", "low_high", 0, 1),
        HourlyStat(HOUR, "pages", "took", 44, 90_000),
    )
    db = connection.connect(db_path)
    with connection.transaction(db):
        hourly_stats.add(db, made)
    db.close()
    return db_path


def test_table_has_rates_latencies_and_refusals(busy: Path) -> None:
    done = run(busy)
    assert done.exit_code == 0
    assert done.stdout == (
        "         requests  per s       rows  per s  p50 ms  p95 ms  p99 ms\n"
        "ticks         630   0.12  1,201,001    222   0.943    1.02    1.97\n"
        "candles         0      0\n"
        "reads           0      0\n"
        "pages      90,000     17                      1.88    2.03    2.04\n"
        "ticks refused: 1,000 future, 1 low_high\n"
        f"{busy}: since 2023-11-14T23:00:00Z\n"
    )


def test_json_has_the_same_numbers(busy: Path) -> None:
    told = orjson.loads(run(busy, "--since", "1h", "--json").stdout)
    assert (told["db"], told["since"]) == (str(busy), HOUR - 3600)
    kinds = {each.pop("kind"): each for each in told["kinds"]}
    assert list(kinds) == ["ticks", "candles", "reads", "pages"]
    ticks = kinds["ticks"]
    assert (ticks["requests"], ticks["requests_s"]) == (630, 630 / 5400)
    assert ticks["rows"] == {"inserted": 1_200_000, "rejected": 1_001}
    assert ticks["reasons"] == {"future": 1_000, "low_high": 1}
    assert kinds["reads"] == {
        "requests": 0,
        "requests_s": 0.0,
        "rows": {},
        "rows_s": 0.0,
        "reasons": {},
        "p50_ms": None,
        "p95_ms": None,
        "p99_ms": None,
    }


def test_empty_database_gives_an_empty_table(db_path: Path) -> None:
    done = run(db_path, "--since", "30d")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == f"{db_path}: since 2023-11-15T00:30:00Z"


@pytest.mark.parametrize("since", ["", "7", "d", "0d", "31d", "721h", "-1d", "1w", "1.5d", "٣d"])
def test_since_accepts_hours_and_days_only(db_path: Path, since: str) -> None:
    done = run(db_path, "--since", since)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        "gfil: Invalid value for --since: must be hours or days such as 24h or 7d, at most 30d "
        "(see `cli stats --help`)\n"
    )


def test_stats_needs_a_database(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    done = run(path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"gfil: no database at {path}: `scripts/gfil init` makes one, GFIL_DB names another\n"
    )
    assert not path.exists()
