"""Tests of gfil/ingest/export.py on ticks: files, and their import back to the same ticks."""

import random
from collections.abc import Iterator
from pathlib import Path

import apsw
import orjson
import pytest
from click.testing import CliRunner, Result

from gfil.cli import cli
from gfil.clocks import UTC
from gfil.ingest import export, importer
from gfil.ingest.export import PAGE_ROWS, Series
from gfil.ingest.options import Options
from gfil.store import symbols
from gfil.store.candles import ticks
from gfil.store.candles.ticks import Ticks
from gfil.store.engine import connection

START = 1709251200_000
NOW = START // 1000 + 400 * 86400
COUNT = PAGE_ROWS + 50


@pytest.fixture
def db(db_path: Path) -> Iterator[apsw.Connection]:
    db = connection.connect(db_path)
    seed = random.Random(7)
    bids = [seed.randrange(10**5, 10**6) / 10**5 for _ in range(COUNT)]
    given = Ticks(
        [START + 40 * (at // 3) for at in range(COUNT)],
        bids,
        [bid + 0.1 for bid in bids],
        [0.0] * (COUNT - 1) + [0.3],
        [0.0] * (COUNT - 1) + [2.5],
        [seed.choice((2, 4, 6)) for _ in range(COUNT)],
    )
    with connection.transaction(db):
        ticks.write_ticks(db, symbols.ensure(db, "EURUSD"), given)
    yield db
    db.close()


def all_of(db: apsw.Connection) -> list[ticks.Tick]:
    return ticks.read_ticks(db, symbols.read(db, "EURUSD"), limit=10**6).ticks


def text(db: apsw.Connection, form: str, start: int = 0, stop: int = NOW) -> bytes:
    series = Series(symbols.read(db, "EURUSD"), None, UTC, start, stop)
    return b"".join(export.stream(db, series, form))


@pytest.mark.parametrize("form", ["csv", "ndjson", "json"])
def test_exported_ticks_import_back_to_the_same(
    db: apsw.Connection, tmp_path: Path, form: str
) -> None:
    connection.create(tmp_path / "back.db")
    back = connection.connect(tmp_path / "back.db")
    name = f"EURUSD_ticks.{form}"
    report = importer.load(back, [text(db, form)], Options(), now=NOW, name=name)
    assert (report.inserted, report.rejected) == (COUNT, 0)
    assert all_of(back) == all_of(db)
    back.close()


def test_each_export_format_has_its_layout(db: apsw.Connection) -> None:
    first = all_of(db)[0]
    csv = text(db, "csv").decode().splitlines()
    assert csv[0] == "time_msc,bid,ask,last,volume,flags"
    assert csv[1] == f"{START},{first[1]!r},{first[2]!r},0,0,{first[5]}"
    assert csv[-1].split(",")[3:5] == ["0.3", "2.5"]
    line = orjson.loads(text(db, "ndjson").splitlines()[0])
    assert line == {"symbol": "EURUSD", **dict(zip(export.TICK_FIELDS, first, strict=True))}
    whole = orjson.loads(text(db, "json"))
    assert (whole["symbol"], whole["ticks"]) == ("EURUSD", [list(tick) for tick in all_of(db)])


def test_range_is_in_whole_seconds(db: apsw.Connection) -> None:
    second = START // 1000
    found = [orjson.loads(line) for line in text(db, "ndjson", second + 1, second + 2).splitlines()]
    assert len(found) == 75
    assert {tick["time_msc"] // 1000 for tick in found} == {second + 1}
    assert text(db, "csv", second, second) == export.TICK_CSV_HEADER


class TestCommand:
    def run(self, db: apsw.Connection, *words: str) -> Result:
        environment = {"GFIL_DB": db.filename}
        return CliRunner(env=environment).invoke(cli, ["export", *words], prog_name="gfil")

    def test_ticks_go_to_standard_output(self, db: apsw.Connection) -> None:
        done = self.run(db, "--symbol", "EURUSD", "--tf", "ticks")
        assert (done.exit_code, done.stdout_bytes) == (0, text(db, "csv"))
        assert done.stderr == f"{db.filename}: {COUNT:,} ticks exported\n"

    def test_ticks_and_candles_go_into_a_folder(self, db: apsw.Connection, tmp_path: Path) -> None:
        folder = tmp_path / "out"
        done = self.run(db, "--all", "--tf", "ticks,D1", "-o", str(folder), "--json")
        assert orjson.loads(done.stdout)["files"] == [
            {
                "file": str(folder / "EURUSD_ticks.csv"),
                "symbol": "EURUSD",
                "tf": "ticks",
                "ticks": COUNT,
            },
            {"file": str(folder / "EURUSD_D1.csv"), "symbol": "EURUSD", "tf": "D1", "candles": 1},
        ]
        assert (folder / "EURUSD_ticks.csv").read_bytes() == text(db, "csv")
