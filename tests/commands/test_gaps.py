"""Tests of gfil/commands/gaps.py."""

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from freezegun import freeze_time

from gfil.cli import cli
from gfil.timeframes import MINUTE, WEEK
from tests.web.walks import store, walk

OPENS = 1735548300  # 2024-12-30T08:45Z, a Monday
NOW = "2025-03-01T00:00:00Z"


@pytest.fixture
def filled(db_path: Path) -> Path:
    """Nine Mondays of two symbols; one symbol lacks 15 minutes of the third."""
    for week in range(9):
        minutes = walk(f"{week}", OPENS + week * WEEK, 60)
        store(db_path, "DAX", minutes)
        store(db_path, "CAC", minutes[:5] + minutes[20:] if week == 2 else minutes)
    return db_path


def run(db: Path, *words: str) -> Result:
    with freeze_time(NOW):
        return CliRunner(env={"GFIL_DB": str(db)}).invoke(cli, ["gaps", *words], prog_name="gfil")


def test_gaps_lists_every_symbol_and_counts(filled: Path) -> None:
    done = run(filled)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        "CAC: 2025-01-13T08:50:00Z to 2025-01-13T09:05:00Z, 15 minutes\n"
        f"{filled}: 1 gap, 15 minutes\n"
    )


def test_gaps_of_one_symbol_as_json(filled: Path) -> None:
    start = OPENS + 2 * WEEK + 5 * MINUTE
    gap = {"symbol": "CAC", "from": start + 300, "to": start + 900, "minutes": 10}
    words = ("--symbol", "cac", "--from", str(start + 300), "--to", "2025-01-13T09:05:00Z")
    assert orjson.loads(run(filled, *words, "--json").stdout) == {
        "db": str(filled),
        "gaps": [gap],
    }
    assert orjson.loads(run(filled, "--symbol", "DAX", "--json").stdout)["gaps"] == []


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (("--symbol", "NOPE"), 1, "gfil: unknown symbol 'NOPE'\n"),
        (("--from", "soon"), 2, "gfil: bad time 'soon': use UNIX seconds or ISO 8601\n"),
        (("--from", "2", "--to", "1"), 2, "gfil: from is after to\n"),
    ],
)
def test_wrong_usage_is_one_line(
    filled: Path, words: tuple[str, ...], status: int, line: str
) -> None:
    done = run(filled, *words)
    assert (done.exit_code, done.stdout, done.stderr) == (status, "", line)


def test_gaps_needs_a_database(tmp_path: Path) -> None:
    done = run(tmp_path / "gfil.db")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"gfil: no database at {tmp_path / 'gfil.db'}")
