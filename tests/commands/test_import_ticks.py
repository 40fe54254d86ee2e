"""Tests of the command `import` with ticks: arguments, exit status and output."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from gfil.cli import cli
from gfil.config import ROOT

SAMPLES = ROOT / "tests/data"
CSV, MT5 = SAMPLES / "TESTFX_ticks.csv", SAMPLES / "TESTFX_ticks_mt5.csv"
OLD = (
    "1 day older than the retention, 2024-03-01 to 2024-03-01: "
    "kept as imported until `gfil prune --imported`"
)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "gfil.db"


def run(db: Path, *arguments: Any, stdin: bytes | None = None) -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner(env={"GFIL_DB": str(db)}).invoke(cli, words, input=stdin, prog_name="gfil")


def test_second_import_of_ticks_counts_duplicates(db: Path) -> None:
    head = f"{CSV}: TESTFX, ticks, clock UTC, 2024-03-01T00:00:00Z to 2024-03-01T00:01:01Z\n"
    first, again = run(db, "import", CSV), run(db, "import", CSV)
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert first.stdout == (
        f"{head}  3 rows: 3 inserted\n  warning: TESTFX ticks: {OLD}\n{db}: change 1\n"
    )
    assert again.stdout == f"{head}  3 rows: 3 duplicates\n{db}: nothing changed\n"


def test_json_names_the_newest_tick(db: Path) -> None:
    data = MT5.read_bytes() + b"2024.03.01\t00:02:00.000\tx\t1\t\t\t6\r\n"
    done = run(db, "import", "-", "--symbol", "X", "--clock", "+02:00", "--json", stdin=data)
    assert done.exit_code == 3
    assert orjson.loads(done.stdout) == {
        "db": str(db),
        "file": "-",
        "format": "ticks",
        "symbol": "X",
        "clock": "+02:00",
        "rows": 4,
        "inserted": 3,
        "duplicates": 0,
        "rejected": 1,
        "reasons": {"not_a_number": 1},
        "errors": [
            {
                "row": 5,
                "reason": "not_a_number",
                "text": "2024.03.01\t00:02:00.000\tx\t1\t\t\t6",
            }
        ],
        "warnings": [f"X ticks: {OLD.replace('03-01', '02-29')}"],
        "last": {"X": 1709251261500 - 7_200_000},
        "change": 1,
    }


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        ([CSV, "--tf", "M1"], 2, "these are ticks, which have no timeframe: leave out --tf"),
        ([SAMPLES / "TESTFX1.csv", "--tf", "ticks"], 1, "these are candles, not ticks: over HTTP"),
        ([CSV, "--columns", "time,bid"], 2, "the columns lack ask"),
        ([CSV, "--columns", "time,bid,ask,open"], 2, "bid and open cannot be in the same rows"),
        ([CSV, "--columns", "time,open,high,low,close,flags"], 2, "open and flags cannot be in"),
    ],
)
def test_options_that_contradict_ticks_are_one_line(
    db: Path, arguments: list[Any], status: int, line: str
) -> None:
    wrong = run(db, "import", *arguments)
    assert wrong.exit_code == status
    assert line in wrong.stderr
    assert wrong.stderr.count("\n") == 1


def test_options_of_candles_are_ignored_for_ticks(db: Path) -> None:
    assert run(db, "import", CSV, "--tf", "ticks", "--fill", "--force-tf").exit_code == 0


def test_abort_stores_nothing_if_a_tick_is_bad(db: Path, tmp_path: Path) -> None:
    source = tmp_path / "X_ticks.csv"
    source.write_bytes(CSV.read_bytes() + b"1709251262000,1,\n1709251262000,0,0\n")
    refused = run(db, "import", source, "--on-error", "abort")
    assert (refused.exit_code, refused.stdout) == (1, f"{db}: nothing changed\n")
    assert "row 6 (missing_field): nothing of 5 rows was stored" in refused.stderr
    assert run(db, "import", CSV, "--on-error", "abort").exit_code == 0


def test_folder_with_candles_and_ticks_is_imported(db: Path, tmp_path: Path) -> None:
    for sample in (CSV, SAMPLES / "TESTFX1.csv"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / sample.name).write_bytes(sample.read_bytes())
    done = run(db, "import", tmp_path / "in", "--json")
    found = orjson.loads(done.stdout)
    assert [sorted(file)[0] for file in found["files"]] == ["change", "change"]
    assert (done.exit_code, found["rejected"]) == (0, 0)
