"""Tests of gfil/ingest/file_import.py: several files, and the exit status of all."""

import gzip
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from gfil.errors import Refused
from gfil.ingest import file_import
from gfil.ingest.file_import import Outcome
from gfil.ingest.options import Options
from gfil.store.engine import connection
from gfil.timeframes import M1

NOW = 1740000000
GOOD = b"1709251200,1,2,0.5,1,7\n1709251260,1,2,0.5,1,7\n1709251320,1,2,0.5,1,7\n"
BAD = GOOD + b"1709251380,1,2,3,1,7\n"

Put = Callable[..., str]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def write(name: str, data: bytes = GOOD) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    return write


def load_all(path: Path, *sources: str, **options: Any) -> Outcome:
    outcome = Outcome(path, bool(options.get("dry_run")))
    file_import.load_all(path, sources, Options(**options), outcome, now=NOW)
    return outcome


def change(path: Path) -> int:
    db = connection.connect(path)
    try:
        return connection.read_state(db)[1]
    finally:
        db.close()


def test_refused_file_does_not_stop_the_others(put: Put, tmp_path: Path) -> None:
    path = tmp_path / "gfil.db"
    sources = [put("A_M1.csv"), put("B.csv"), put("C_M1.csv", b"hello\n"), put("D_M1.csv", BAD)]
    outcome = load_all(path, *sources)
    assert outcome.failures == [
        f"{sources[1]}: the timeframe is unknown: name it with --tf; "
        "rows are 1 minute apart, like those of M1",
        f"{sources[2]}: unknown format: the input begins with 'hello'; "
        "--columns can name its cells",
    ]
    assert [report.symbols for report in outcome.reports] == [["A"], ["D"]]
    assert (outcome.exit_status, change(path)) == (3, 2)
    totals = outcome.as_json()
    assert [entry["file"] for entry in totals["files"]] == [sources[0], sources[3], *sources[1:3]]
    assert {name: totals[name] for name in ("db", "rows", "inserted", "rejected", "reasons")} == {
        "db": path,
        "rows": 7,
        "inserted": 6,
        "rejected": 1,
        "reasons": {"low_high": 1},
    }
    assert outcome.describe()[-2:] == [
        "2 files, 2 files refused: 7 rows: 6 inserted, 1 rejected (1 low_high)",
        f"{path}: change 2",
    ]


@pytest.mark.parametrize(
    ("data", "options", "status"),
    [
        (GOOD, {"timeframe": M1, "symbol": "A"}, 0),
        (BAD, {"timeframe": M1, "symbol": "A"}, 3),
        (GOOD, {"timeframe": M1}, 2),
        (GOOD, {"symbol": "A"}, 2),
        (b"hello\n", {"timeframe": M1, "symbol": "A"}, 1),
        (GOOD.replace(b"1709251", b"17092512"), {"timeframe": M1, "symbol": "A"}, 3),
        (BAD, {"timeframe": M1, "symbol": "A", "abort": True}, 1),
    ],
)
def test_exit_status_of_one_file(
    put: Put, tmp_path: Path, data: bytes, options: dict[str, Any], status: int
) -> None:
    assert load_all(tmp_path / "gfil.db", put("x.csv", data), **options).exit_status == status


def test_outcome_is_described_in_a_few_lines(put: Put, tmp_path: Path) -> None:
    path = tmp_path / "gfil.db"
    source = put("A_M1.csv", BAD * 1 + b"x\n" * 12)
    assert load_all(path, source).describe() == [
        f"{source}: A M1, plain, clock UTC, 2024-03-01T00:00:00Z to 2024-03-01T00:02:00Z",
        "  16 rows: 3 inserted, 13 rejected (12 missing_field, 1 low_high)",
        *[f"  row {row} missing_field: x" for row in range(5, 15)],
        "  and 3 more rows",
        "  warning: A M1: 1 day older than the retention, 2024-03-01 to 2024-03-01: "
        "kept as imported until `gfil prune --imported`",
        f"{path}: change 1",
    ]
    assert load_all(path, put("A_M1.csv")).describe()[1:] == [
        "  3 rows: 3 unchanged",
        f"{path}: nothing changed",
    ]


def test_dry_run_is_described_and_creates_no_database(put: Put, tmp_path: Path) -> None:
    path = tmp_path / "gfil.db"
    outcome = load_all(path, put("A_M1.csv.gz", gzip.compress(GOOD)), dry_run=True)
    assert outcome.describe()[1:] == [
        "  UTF-8, gzip; columns time open high low close volume; rows 1 minute apart",
        "  first row 2024-03-01 00:00 UTC, 2024-03-01 00:00 on the clock",
        "  last row 2024-03-01 00:02 UTC, 2024-03-01 00:02 on the clock",
        "  3 rows: 3 inserted",
        f"{path}: nothing stored",
    ]
    assert not path.exists()


def test_progress_counts_bytes(put: Put) -> None:
    seen: list[int] = []
    source = put("A_M1.csv", GOOD)
    file_import.load(None, source, Options(dry_run=True), now=NOW, progress=seen.append)
    assert sum(seen) == len(GOOD)


class Stdin:
    def __init__(self, buffer: IO[bytes]) -> None:
        self.buffer = buffer


@pytest.fixture
def type_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes, bool], None]]:
    opened: list[IO[bytes]] = []

    def give(data: bytes, seekable: bool) -> None:
        if seekable:
            opened.append(io.BytesIO(data))
        else:
            read, write = os.pipe()
            os.write(write, data)
            os.close(write)
            opened.append(os.fdopen(read, "rb"))
        monkeypatch.setattr(sys, "stdin", Stdin(opened[-1]))

    yield give
    for stream in opened:
        stream.close()


@pytest.mark.parametrize("seekable", [False, True])
@pytest.mark.parametrize("abort", [False, True])
def test_standard_input_is_imported(
    tmp_path: Path, type_in: Callable[[bytes, bool], None], seekable: bool, abort: bool
) -> None:
    path = tmp_path / "gfil.db"
    type_in(GOOD, seekable)
    outcome = load_all(path, "-", symbol="A", timeframe=M1, abort=abort)
    assert (outcome.exit_status, outcome.reports[0].inserted) == (0, 3)


@pytest.mark.parametrize("seekable", [False, True])
def test_abort_checks_all_of_standard_input_before_storing(
    tmp_path: Path, type_in: Callable[[bytes, bool], None], seekable: bool
) -> None:
    path = tmp_path / "gfil.db"
    type_in(BAD, seekable)
    outcome = load_all(path, "-", symbol="A", timeframe=M1, abort=True)
    assert (outcome.exit_status, change(path)) == (1, 0)
    error = outcome.refused[0][1]
    assert isinstance(error, Refused)
    assert (error.report["rows"], error.report["rejected"]) == (4, 4)
    assert error.report["errors"][0]["row"] == 4


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "A_M1.csv"
    folder.mkdir()
    outcome = load_all(tmp_path / "gfil.db", str(folder))
    assert outcome.failures == [f"{folder}: Is a directory"]


def test_exit_status_of_several_files(put: Put, tmp_path: Path) -> None:
    good, bad, nameless = put("A_M1.csv"), put("C_M1.csv", b"hello\n"), put("B.csv")
    path = tmp_path / "gfil.db"
    assert load_all(path, good, good).exit_status == 0
    assert load_all(path, good, bad).exit_status == 3
    assert load_all(path, bad, bad).exit_status == 1
    assert load_all(path, nameless, nameless).exit_status == 2
    assert load_all(path, nameless, bad).exit_status == 1
