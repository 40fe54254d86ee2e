"""Tests of gfil/migration/migrate.py: first and repeated runs, with a pump, and the report."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from gfil import clocks
from gfil.clocks import Clock
from gfil.errors import BadParameter, Busy
from gfil.migration import legacy_files, verify
from gfil.migration import migrate as migration
from gfil.migration.legacy_files import LegacyFile
from gfil.migration.migrate import MigrationOptions
from gfil.migration.report import MigrationReport
from gfil.store import migrated_files, symbols
from gfil.store.engine import connection
from tests.migration import legacy_samples
from tests.migration.legacy_samples import MONDAY, NOW, minutes, objects, save
from tests.oracle.database import check_derived
from tests.store.model import read, tables, write


@pytest.fixture
def klines(tmp_path: Path) -> Path:
    """Seven files of two symbols, an unrelated, a truncated and an empty file."""
    folder = tmp_path / "klines"
    legacy_samples.save_symbol(folder, "EURUSD", 3000, seed=3)
    legacy_samples.save_symbol(folder, "XAUUSD", 3000, seed=4, start=MONDAY + 1000 * 60)
    save(folder, "USDJPY_1m", objects(minutes(100)), cut=0.7)
    save(folder, "USDJPY_1h", objects(legacy_samples.fold(minutes(100), "1h")))
    (folder / "USDJPY_5m.json").write_bytes(b"")
    (folder / "notes.txt").write_text("mine")
    return folder


def migrate(
    db_path: Path, folder: Path, *, now: float = NOW, clock: Clock | None = None, **wishes: Any
) -> MigrationReport:
    """Migrate a folder or a file as the command does."""
    found = legacy_files.find(str(folder))
    moved = MigrationReport(db_path, found.foreign)
    wanted = MigrationOptions(clock, **{"keep_hours": 72, **wishes})
    migration.migrate(db_path, found, wanted, moved, read_time=lambda: now)
    return moved


def states(moved: MigrationReport) -> dict[str, str]:
    """States of the files that were not migrated."""
    return {file.name: file.state for file in moved.files if file.state != "migrated"}


def test_counts_add_up_to_all_rows(db_path: Path, klines: Path) -> None:
    moved = migrate(db_path, klines)
    assert states(moved) == {"USDJPY_5m.json": "refused"}
    assert moved.exit_status == 3
    for file in moved.files:
        if file.state == "migrated":
            counts = file.counts
            found = counts["present"] + counts["covered"] + counts["kept"]
            assert counts["rows"] == found + counts["duplicates"] + counts["rejected"], file.name
    total = moved.total()
    assert (total["different"], total["kept"]) == (0, 0)
    assert [file.name for file in moved.files if file.is_truncated] == ["USDJPY_1m.json"]
    assert moved.as_json()["foreign"] == ["notes.txt"]


def test_migrated_candles_equal_imported_ones_and_obey_the_laws(
    db: apsw.Connection, db_path: Path, klines: Path
) -> None:
    migrate(db_path, klines)
    check_derived(db)
    rows = minutes(3000, MONDAY, 3)
    assert read(db, "EURUSD", "M1").candles == rows
    assert read(db, "EURUSD", "H1").candles == legacy_samples.fold(rows, "1h")


def test_second_run_changes_nothing(db: apsw.Connection, db_path: Path, klines: Path) -> None:
    first = migrate(db_path, klines)
    before = tables(db), migrated_files.list_files(db), connection.read_state(db)
    second = migrate(db_path, klines, now=NOW + 999)
    assert (tables(db), migrated_files.list_files(db), connection.read_state(db)) == before
    assert set(states(second).values()) == {"migrated before", "refused"}
    assert second.total() == first.total()
    assert second.exit_status == first.exit_status == 3


def test_file_with_new_rows_is_migrated_again(
    db: apsw.Connection, db_path: Path, tmp_path: Path
) -> None:
    rows = minutes(60)
    folder = tmp_path / "klines"
    save(folder, "EURUSD_1m", objects(rows[:40]))
    migrate(db_path, folder)
    save(folder, "EURUSD_1m", objects(rows))
    moved = migrate(db_path, folder)
    assert (states(moved), moved.total()["inserted"], moved.total()["unchanged"]) == ({}, 20, 40)
    assert read(db, "EURUSD", "M1").candles == rows


def test_file_of_a_deleted_symbol_is_migrated_again(
    db: apsw.Connection, db_path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "klines"
    save(folder, "EURUSD_1m", objects(minutes(10)))
    migrate(db_path, folder)
    with connection.transaction(db):
        symbols.delete(db, symbols.read(db, "EURUSD"))
    assert states(migrate(db_path, folder)) == {}
    assert len(read(db, "EURUSD", "M1").candles) == 10


def test_file_is_migrated_again_on_another_clock(db_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "klines"
    save(folder, "EURUSD_1m", objects(minutes(10)))
    migrate(db_path, folder)
    assert states(migrate(db_path, folder, clock=clocks.parse("nyclose"))) == {}
    assert states(migrate(db_path, folder)) == {"EURUSD_1m.json": "migrated before"}


def test_candles_of_the_pump_stay_and_the_files_verify(
    db: apsw.Connection, db_path: Path, klines: Path
) -> None:
    theirs = [
        ((row[0], row[0] + 60), (*row[1:5], row[5] + 1)) for row in minutes(1500, MONDAY + 60_000)
    ]
    write(db, "EURUSD", "M1", theirs)
    hour = ((MONDAY + 7200, MONDAY + 10_800), (1.0, 9.0, 0.5, 1.0, 1e6))
    write(db, "EURUSD", "H1", [hour])
    before = [row for row in tables(db)[0] if row[3] == 1]
    moved = migrate(db_path, klines)
    assert states(moved) == {"USDJPY_5m.json": "refused"}
    assert set(before) <= set(tables(db)[0])
    assert moved.files[0].counts["kept"] == 1500
    check_derived(db)


def test_later_pump_corrects_migrated_candles(
    db: apsw.Connection, db_path: Path, klines: Path
) -> None:
    migrate(db_path, klines)
    theirs = [((row[0], row[0] + 60), (*row[1:5], row[5] + 1)) for row in minutes(500, MONDAY, 3)]
    write(db, "EURUSD", "M1", theirs)
    before = tables(db)
    db.execute("DELETE FROM migrated_file")
    assert states(migrate(db_path, klines)) == {"USDJPY_5m.json": "refused"}
    assert tables(db) == before


class _Writes:
    # Verifies as usual after a change to the file.
    def __init__(self, checking: Any, meanwhile: Callable[[LegacyFile], None]) -> None:
        self._checking = checking
        self._meanwhile = meanwhile

    def start(self, file: LegacyFile, *rest: Any) -> None:
        self._meanwhile(file)
        self._checking.start(file, *rest)

    def results(self, pending_max: int = 0) -> Any:
        return self._checking.results(pending_max)


def test_file_changed_during_the_migration_fails(
    db: apsw.Connection, db_path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "klines"
    path = save(folder, "EURUSD_1m", objects(minutes(30)))
    moved = MigrationReport(db_path)

    def write_to(original: LegacyFile) -> None:
        save(folder, "EURUSD_1m", objects(minutes(31)))

    with verify.verifier(db_path) as checking:
        found = legacy_files.find(str(folder))
        writes = _Writes(checking, write_to)
        migration.migrate_into(db, writes, found, MigrationOptions(), moved, read_time=lambda: NOW)
    (file,) = moved.files
    assert file.error == (
        "the file changed while it was read: run the command again when it is unused"
    )
    assert (moved.exit_status, migrated_files.list_files(db)) == (1, [])
    assert states(migrate(db_path, folder)) == {}
    assert path.exists()


def test_missing_rows_fail_the_verification(
    db: apsw.Connection, db_path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "klines"
    save(folder, "EURUSD_1m", objects(minutes(30)))
    moved = MigrationReport(db_path)

    def lose(_: LegacyFile) -> None:
        db.execute("DELETE FROM candle WHERE series = 32")

    with verify.verifier(db_path) as checking:
        found = legacy_files.find(str(folder))
        loses = _Writes(checking, lose)
        migration.migrate_into(db, loses, found, MigrationOptions(), moved, read_time=lambda: NOW)
    assert moved.files[0].error == "the counts differ: 30 of 30 rows are not stored"
    assert (moved.exit_status, moved.as_json()["verified"]) == (1, False)


def test_keep_hours_set_the_deletion_time(db: apsw.Connection, db_path: Path, klines: Path) -> None:
    migrate(db_path, klines)
    after = {Path(file.path).name: file.delete_after for file in migrated_files.list_files(db)}
    assert after["EURUSD_1m.json"] == NOW + 72 * 3600
    assert after["USDJPY_1m.json"] is None, "it is truncated"
    assert after["EURUSD_1w.json"] is None, "some of its rows were refused"
    assert "USDJPY_5m.json" not in after
    migrate(db_path, klines, keep_hours=None)
    assert migrated_files.list_files(db)[0].delete_after == NOW + 72 * 3600, (
        "nothing was said of it"
    )
    migrate(db_path, klines, keep_hours=None, changes_keep=True)
    assert {file.delete_after for file in migrated_files.list_files(db)} == {None}
    migrate(db_path, klines, keep_hours=1, changes_keep=True, now=NOW + 9)
    after = {Path(file.path).name: file.delete_after for file in migrated_files.list_files(db)}
    assert (after["EURUSD_1m.json"], after["USDJPY_1m.json"]) == (NOW + 3600, None)


def test_copy_of_a_migrated_file_is_recognised_by_content(
    db: apsw.Connection, db_path: Path, klines: Path, tmp_path: Path
) -> None:
    migrate(db_path, klines)
    again = tmp_path / "again"
    shutil.copytree(klines, again)
    assert set(states(migrate(db_path, again)).values()) == {"migrated before", "refused"}
    paths = {file.path for file in migrated_files.list_files(db)}
    assert {str(klines / "EURUSD_1m.json"), str(again / "EURUSD_1m.json")} <= paths


def test_truncated_file_migrated_before_keeps_its_edge(
    db: apsw.Connection, db_path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "klines"
    whole = minutes(300)
    save(folder, "EURUSD_1m", objects(whole), cut=0.5)
    migrate(db_path, folder)
    save(folder, "EURUSD_1h", objects(legacy_samples.fold(whole, "1h")))
    migrate(db_path, folder)
    assert read(db, "EURUSD", "H1").candles == legacy_samples.fold(whole, "1h")


def test_busy_database_advises_to_resume(
    db: apsw.Connection, db_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "klines"
    save(folder, "EURUSD_1m", objects(minutes(10)))
    monkeypatch.setattr(connection, "WRITER_WAIT_MS", 1)
    with (
        connection.transaction(db),
        pytest.raises(Busy, match="busy") as told,
    ):
        migrate(db_path, folder)
    assert told.value.detail.endswith("run the same command again to resume")
    assert states(migrate(db_path, folder)) == {}


def test_folder_without_old_files_stores_nothing(db_path: Path, tmp_path: Path) -> None:
    with pytest.raises(BadParameter):
        migrate(db_path, tmp_path / "nowhere")


def test_symbol_in_another_case_is_refused_alone(db_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "klines"
    save(folder, "EURUSD_1m", objects(minutes(10)))
    save(folder, "eurusd_5m", objects(legacy_samples.fold(minutes(100), "5m")))
    moved = migrate(db_path, folder)
    assert states(moved) == {"eurusd_5m.json": "refused"}
