"""Tests of gfil/bench: every row is measured; no value is asserted."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from gfil import bench
from gfil.bench import market, report, results
from gfil.bench.results import Goal, Result
from gfil.bench.workspace import FULL, QUICK
from gfil.timeframes import DAY, MINUTE
from tests.conftest import clean_environment

FRIDAY_CLOSE = 1751058000  # 2025-06-27T21:00Z
FIELDS = [
    *("row", "what", "value", "unit", "target", "reached", "stretch", "stretch_reached"),
    *("peers", "note"),
]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "gfil", "bench", *arguments],
        cwd=folder,
        env=clean_environment(GFIL_DB=str(folder / "gfil.db")),
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_quick_run_measures_every_row(tmp_path: Path) -> None:
    done = run(tmp_path, "--quick", "--json")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stderr
    told = orjson.loads(done.stdout)
    assert list(told) == ["machine", "sizes", "rows"]
    assert list(dict.fromkeys(row["row"] for row in told["rows"])) == list(bench.ROWS)
    assert {tuple(row) for row in told["rows"]} == {tuple(FIELDS)}
    unmeasured = {row["row"] for row in told["rows"] if row["value"] is None}
    assert unmeasured <= {"browser"}
    for number, row in enumerate(bench.ROWS, start=1):
        assert f"{number} of {len(bench.ROWS)}: {row} …\n" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_table_is_printed_and_kept_databases_are_reused(tmp_path: Path) -> None:
    arguments = ("--quick", "--only", "h1", "--keep", str(tmp_path / "kept"))
    first, second = run(tmp_path, *arguments), run(tmp_path, *arguments)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    machine, blank, head, rule, kept, demanded = second.stdout.splitlines()
    assert machine.startswith("Measured on ")
    assert "Other sizes than usual: candles 40,000," in machine
    assert (blank, set(rule)) == ("", {"|", "-", " "})
    assert len({len(line) for line in (head, rule, kept, demanded)}) == 1
    assert "charts.db" in first.stderr
    assert "charts.db" not in second.stderr
    kept_files = {path.name for path in (tmp_path / "kept").iterdir()}
    assert kept_files == {"charts.db", "charts.db.EURUSD.GBPUSD"}


def test_unknown_row_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "--only", "dice")
    assert (done.returncode, done.stdout) == (2, "")
    names = " ".join(bench.ROWS)
    assert done.stderr == f"gfil: unknown row 'dice': use {names}\n"
    assert list(tmp_path.iterdir()) == []


def test_database_of_another_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "charts.db").write_text("somebody's")
    done = run(tmp_path, "--quick", "--only", "h1", "--keep", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"gfil: {tmp_path}/charts.db exists and is of another run: use another folder with --keep"
    )
    assert (tmp_path / "charts.db").read_text() == "somebody's"


def test_generated_prices_obey_the_candle_law_and_stop_at_weekends() -> None:
    part = market.minutes(20_000, "EURUSD")
    weeks = [*map(market.rows, market.walk(part, 20_000))]
    assert sum(len(rows.time) for rows in weeks) == 20_000
    for rows in weeks:
        assert rows.time == sorted(set(rows.time))
        assert rows.time[-1] - rows.time[0] < 5 * DAY
        for low, open_, close, high in zip(rows.low, rows.open, rows.close, rows.high, strict=True):
            assert 0 < low <= min(open_, close) <= max(open_, close) <= high
            assert (low, high) == (round(low, 5), round(high, 5))
        assert all(volume == int(volume) > 0 for volume in rows.volume)


def test_prices_depend_on_the_seed() -> None:
    first, again, other = (
        next(market.walk(market.minutes(1000, seed))) for seed in ("a", "a", "b")
    )
    assert first == again
    assert first.close != other.close


def test_minutes_end_at_the_close_and_hours_precede_them() -> None:
    minutes = market.minutes(7000, "a")
    hours = market.hours_before(minutes, 1)
    assert (minutes.stop, hours.stop) == (FRIDAY_CLOSE, minutes.start)
    assert 0 <= minutes.start - 365 * DAY - hours.start + (FRIDAY_CLOSE - minutes.start) < 7 * DAY
    last = [*market.walk(hours)][-1].time[-1]
    assert last == next(market.walk(minutes)).time[0] // DAY * DAY - 2 * DAY + 20 * 60 * MINUTE


def test_files_have_the_formats_of_export_and_metatrader(tmp_path: Path) -> None:
    part = market.minutes(3, "a")
    market.write_csv(tmp_path / "plain", part, 3)
    market.write_mt5(tmp_path / "mt5", part, 3)
    plain, mt5 = ((tmp_path / name).read_text().splitlines() for name in ("plain", "mt5"))
    assert (len(plain), len(mt5)) == (4, 4)
    assert plain[0] == "time,open,high,low,close,volume"
    assert mt5[0] == "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>"
    time, rest = plain[1].split(",", 1)
    assert time == "2025-06-22T21:00:00Z"
    assert mt5[1] == "2025.06.22\t21:00:00\t" + rest.replace(",", "\t")


@pytest.mark.parametrize(
    ("goal", "value", "reached"),
    [
        (Goal("<", 2), 1.9, True),
        (Goal("<", 2), 2.0, False),
        (Goal("≤", 2), 2.0, True),
        (Goal("≤", 2), 2.1, False),
        (Goal("≥", 2), 2.0, True),
        (Goal("≥", 2), 1.9, False),
        (Goal("≥", 2), None, None),
        (None, 1.0, None),
    ],
)
def test_goal_is_reached_or_not(
    goal: Goal | None, value: float | None, reached: bool | None
) -> None:
    assert Result("row", "what", value, "ms").reaches(goal) is reached


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1), (1, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)]
)
def test_percentile_is_one_of_the_values(percent: float, value: int) -> None:
    assert results.percentile([*range(100, 0, -1)], percent) == value


def test_numbers_have_three_significant_digits() -> None:
    figure = Result(
        "row", "what", 1234567.8, "/s", Goal("≥", 0.5), Goal("<", 1.25, "x"), {"p": 0.0123}, "note"
    )
    table = report.describe(report.machine(), FULL, [figure]).splitlines()
    cells = [cell.strip() for cell in table[-1].strip("|").split("|")]
    assert cells == [
        *("row", "what", "1,234,568/s", "≥ 0.5/s", "yes", "< 1.25/s (x)", "no"),
        "p 0.0123; note",
    ]
    assert "Other sizes than usual" not in table[0]
    assert "Other sizes than usual" in report.describe(report.machine(), QUICK, [figure])
