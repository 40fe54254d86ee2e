"""Tests of gfil/commands/import_export.py: arguments, exit status and output."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from gfil.cli import cli

ROWS = b"1709251200,1,2,0.5,1,7\n1709251260,1,2,0.5,1.25,7\n1709251320,1,2,0.5,1,7.5\n"
CSV = (
    "time,open,high,low,close,volume\n"
    "2024-03-01T00:00:00Z,1.0,2.0,0.5,1.0,7\n"
    "2024-03-01T00:01:00Z,1.0,2.0,0.5,1.25,7\n"
    "2024-03-01T00:02:00Z,1.0,2.0,0.5,1.0,7.5\n"
)
OLD = (
    "1 day older than the retention, 2024-03-01 to 2024-03-01: "
    "kept as imported until `gfil prune --imported`"
)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "gfil.db"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "EURUSD_M1.csv"
    path.write_bytes(ROWS)
    return path


def run(db: Path, *arguments: Any, stdin: bytes | None = None) -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner(env={"GFIL_DB": str(db)}).invoke(cli, words, input=stdin, prog_name="gfil")


def test_import_creates_the_database_and_names_it(db: Path, source: Path) -> None:
    done = run(db, "import", source)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        f"{source}: EURUSD M1, plain, clock UTC, 2024-03-01T00:00:00Z to 2024-03-01T00:02:00Z\n"
        "  3 rows: 3 inserted\n"
        f"  warning: EURUSD M1: {OLD}\n"
        f"{db}: change 1\n"
    )


def test_import_prints_json_with_the_names_of_http(db: Path, source: Path) -> None:
    done = run(db, "import", source, "--json")
    assert orjson.loads(done.stdout) == {
        "db": str(db),
        "file": str(source),
        "format": "plain",
        "symbol": "EURUSD",
        "tf": "M1",
        "clock": "UTC",
        "rows": 3,
        "inserted": 3,
        "updated": 0,
        "unchanged": 0,
        "kept": 0,
        "duplicates": 0,
        "rejected": 0,
        "reasons": {},
        "errors": [],
        "warnings": [f"EURUSD M1: {OLD}"],
        "from": 1709251200,
        "to": 1709251320,
        "change": 1,
    }


def test_import_reads_standard_input(db: Path) -> None:
    done = run(db, "import", "-", "--symbol", "X", "--tf", "1m", "--clock", "nyclose", stdin=ROWS)
    assert done.exit_code == 0
    assert "-: X M1, plain, clock America/New_York+07:00, 2024-02-29T22:00:00Z" in done.stdout


def test_refused_rows_exit_with_3(db: Path, source: Path) -> None:
    source.write_bytes(ROWS + b"1709251380,3,2,0.5,1,7\n")
    done = run(db, "import", source)
    assert done.exit_code == 3
    assert "  row 4 low_high: 1709251380,3,2,0.5,1,7\n" in done.stdout


def test_abort_stores_nothing_and_names_the_bad_row(db: Path, source: Path) -> None:
    source.write_bytes(ROWS + b"1709251380,3,2,0.5,1,7\n")
    done = run(db, "import", source, "--on-error", "abort")
    assert (done.exit_code, done.stdout) == (1, f"{db}: nothing changed\n")
    assert done.stderr == (
        f"gfil: {source}: 1 row is refused, the first is row 4 (low_high): "
        "nothing of 4 rows was stored\n"
    )
    report = orjson.loads(run(db, "import", source, "--on-error", "abort", "--json").stdout)
    assert (report["rows"], report["rejected"], report["errors"][0]["row"]) == (4, 4, 4)


def test_wrong_timeframe_is_refused_unless_forced(db: Path, source: Path) -> None:
    source.write_bytes(ROWS.replace(b"260,", b"500,").replace(b"320,", b"800,"))
    refused = run(db, "import", source, "--tf", "M1")
    assert (refused.exit_code, refused.stderr) == (
        1,
        f"gfil: {source}: rows are 5 minutes apart; --tf says M1\n",
    )
    assert run(db, "import", source, "--tf", "M1", "--force-tf").exit_code == 0


def test_dry_run_creates_no_database(db: Path, source: Path) -> None:
    done = run(db, "import", source, "--dry-run")
    assert (done.exit_code, db.exists()) == (0, False)
    assert done.stdout.endswith(f"  3 rows: 3 inserted\n{db}: nothing stored\n")


def test_columns_and_format_options(db: Path, source: Path) -> None:
    source.write_bytes(b"1709251200;1;1.5;2;0.5\n")
    names = "time,open,close,high,low"
    assert run(db, "import", source, "--format", "csv", "--columns", names).exit_code == 0
    exported = run(db, "export", "--symbol", "EURUSD", "--tf", "M1").stdout
    assert exported.splitlines()[1] == "2024-03-01T00:00:00Z,1.0,2.0,0.5,1.5,0"


def test_fill_keeps_stored_candles(db: Path, source: Path) -> None:
    run(db, "import", source)
    source.write_bytes(ROWS.replace(b"1.25", b"1.5"))
    assert "3 rows: 2 unchanged, 1 kept" in run(db, "import", source, "--fill").stdout
    assert "3 rows: 1 updated, 2 unchanged" in run(db, "import", source).stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere.csv"], "nowhere.csv: no such file"),
        (["EURUSD_M1.csv", "--tf", "M7"], "unknown timeframe 'M7'"),
        (["EURUSD_M1.csv", "--clock", "Mars"], "unknown clock 'Mars'"),
        (["EURUSD_M1.csv", "--format", "xls"], "unknown format 'xls'"),
        (["EURUSD_M1.csv", "--columns", "time,open"], "the columns lack high low close"),
        (["EURUSD_M1.csv", "--columns", "open,open"], "column open is given twice"),
        (["EURUSD_M1.csv", "--columns", "when"], "unknown column 'when'"),
        (["EURUSD_M1.csv", "--on-error", "panic"], "Invalid value for '--on-error'"),
        (["EURUSD_M1.csv", "--symbol", "A/B"], "EURUSD_M1.csv: bad symbol 'A/B'"),
        ([], "Missing argument 'FILE...'"),
    ],
)
def test_wrong_usage_of_import_is_one_line(
    db: Path, source: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    monkeypatch.chdir(source.parent)
    wrong = run(db, "import", *arguments)
    assert wrong.exit_code == 2
    assert wrong.stderr.startswith(f"gfil: {line}")
    assert wrong.stderr.count("\n") == 1


class TestExport:
    @pytest.fixture(autouse=True)
    def filled(self, db: Path, source: Path) -> None:
        run(db, "import", source)

    def test_export_writes_one_series_to_stdout(self, db: Path) -> None:
        done = run(db, "export", "--symbol", "eurusd", "--tf", "M1")
        assert (done.exit_code, done.stdout, done.stderr) == (0, CSV, f"{db}: 3 candles exported\n")

    def test_export_takes_a_range_and_a_clock(self, db: Path) -> None:
        range_ = ["--from", "2024-03-01T00:01:00Z", "--to", "1709251320"]
        done = run(db, "export", "--symbol", "EURUSD", "--tf", "M1", *range_)
        assert done.stdout.splitlines()[1:] == CSV.splitlines()[2:3]
        done = run(db, "export", "--symbol", "EURUSD", "--tf", "D1", "--clock", "+05:30")
        assert done.stdout.splitlines()[1] == "2024-02-29T18:30:00Z,1.0,2.0,0.5,1.0,21.5"

    def test_export_writes_many_series_to_a_folder(self, db: Path, tmp_path: Path) -> None:
        folder = tmp_path / "out"
        done = run(db, "export", "--all", "--tf", "M1", "--tf", "H1,D1", "-o", folder)
        assert done.exit_code == 0
        assert sorted(path.name for path in folder.iterdir()) == [
            *("EURUSD_D1.csv", "EURUSD_H1.csv", "EURUSD_M1.csv"),
        ]
        assert (folder / "EURUSD_M1.csv").read_text() == CSV
        assert done.stdout.splitlines()[-1] == f"{db}: 3 files exported"

    def test_export_prints_json(self, db: Path, tmp_path: Path) -> None:
        target = tmp_path / "x.ndjson"
        arguments = ["--symbol", "EURUSD", "--tf", "M1", "--format", "ndjson", "-o", target]
        assert orjson.loads(run(db, "export", *arguments, "--json").stdout) == {
            "db": str(db),
            "files": [{"file": str(target), "symbol": "EURUSD", "tf": "M1", "candles": 3}],
        }

    def test_export_of_many_series_as_ndjson_is_one_stream(self, db: Path) -> None:
        done = run(db, "export", "--all", "--tf", "M1,H1", "--format", "ndjson")
        assert [orjson.loads(line)["tf"] for line in done.stdout.splitlines()] == ["M1"] * 3 + [
            "H1"
        ]

    @pytest.mark.parametrize(
        ("arguments", "status", "line"),
        [
            (["--tf", "M1"], 2, "name symbols with --symbol, or --all"),
            (["--tf", "M1", "--all", "--symbol", "EURUSD"], 2, "name symbols with --symbol, or"),
            (["--all"], 2, "Missing option '--tf'"),
            (["--all", "--tf", "M1,H1"], 2, "more than one file needs -o to name a folder"),
            (
                ["--all", "--tf", "M1", "--json"],
                2,
                "--json and Parquet need -o to name a file or folder",
            ),
            (
                ["--all", "--tf", "M1", "--format", "parquet"],
                2,
                "--json and Parquet need -o to name",
            ),
            (["--all", "--tf", "M1", "--format", "xls"], 2, "Invalid value for '--format'"),
            (["--all", "--tf", "M7"], 2, "unknown timeframe 'M7'"),
            (["--all", "--tf", "M1", "--from", "soon"], 2, "bad time 'soon'"),
            (["--symbol", "XAUUSD", "--tf", "M1"], 1, "unknown symbol 'XAUUSD'"),
        ],
    )
    def test_wrong_usage_is_one_line(
        self, db: Path, arguments: list[str], status: int, line: str
    ) -> None:
        wrong = run(db, "export", *arguments)
        assert (wrong.exit_code, wrong.stdout) == (status, "")
        assert wrong.stderr.startswith(f"gfil: {line}")

    def test_export_needs_a_database(self, tmp_path: Path) -> None:
        wrong = run(tmp_path / "none.db", "export", "--all", "--tf", "M1")
        assert wrong.exit_code == 1
        assert wrong.stderr.startswith(
            f"gfil: no database at {tmp_path}/none.db: `scripts/gfil init`"
        )


def test_help_names_the_default_clock(db: Path) -> None:
    assert "[default: (UTC)]" in " ".join(run(db, "import", "--help").stdout.split())
    assert "same --clock" in " ".join(run(db, "export", "--help").stdout.split())
