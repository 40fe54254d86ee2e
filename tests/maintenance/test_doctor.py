"""Tests of gfil/maintenance/doctor.py: problems are found, valid data passes."""

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import orjson
import pytest

from gfil import clocks
from gfil.errors import ForeignDatabase, NoDatabase
from gfil.ingest import importer
from gfil.maintenance import backup, doctor
from gfil.maintenance.doctor import CHECKS, Check
from gfil.store import maintenance_runs, symbols
from gfil.store.engine import connection, file_copy
from gfil.store.retention import rules
from gfil.timeframes import DAY, HOUR, MINUTE, WEEK
from tests.conftest import Server, gfil
from tests.faults import workloads
from tests.faults.sizes import seeded
from tests.oracle.database import check_derived, check_logged, read_state
from tests.store.model import Row, write, write_ticks

MONDAY = 1_704_067_200  # 2024-01-01
NOW = MONDAY + 3 * WEEK + 2 * DAY + 12 * HOUR
FLAT = (1.5, 1.5, 1.5, 1.5, 1.0)
NAMES = ["file", "laws", "disk", "sync", "versions", "backup", "prune", "stale", "week", "imported"]


def look(path: Path, **options: object) -> dict[str, Check]:
    """Run the doctor; return the checks by name."""
    settings = {"now": NOW, "free_mb_min": 1, **options}
    return {check.name: check for check in doctor.run(path, **settings)}  # type: ignore[arg-type]


def wrong(path: Path, **options: object) -> list[str]:
    """Names of the failed checks, without those that depend on this machine."""
    found = look(path, **options)
    return [name for name, check in found.items() if not check.ok and name not in ("disk", "sync")]


def every(step: int, start: int, stop: int) -> list[Row]:
    return [((time, time + MINUTE), FLAT) for time in range(start, stop, step)]


def market(weeks: int, *, shift: int = 0, step: int = 5 * MINUTE) -> list[Row]:
    """M1 of market weeks, Sunday to Friday 17:00 New York winter time, up to now."""
    rows: list[Row] = []
    for week in range(-1, weeks):
        opens = MONDAY + week * WEEK + 6 * DAY + 22 * HOUR
        rows += every(step, opens + shift, min(opens + 5 * DAY, NOW) + shift)
    return rows


@pytest.fixture
def well(db: apsw.Connection, db_path: Path, tmp_path: Path) -> Path:
    """Healthy database: some weeks of data, pruned and backed up last night."""
    write(db, "EURUSD", "M1", market(3))
    folder = tmp_path / "backups"
    folder.mkdir()
    backup.write(db_path, folder, now=NOW - 9 * HOUR)
    with connection.transaction(db):
        maintenance_runs.record_run(db, "prune", {}, now=NOW - 10 * HOUR)
    return db_path


def test_healthy_database_passes_every_check(well: Path) -> None:
    found = look(well)
    assert [*found] == [*CHECKS] == NAMES
    assert wrong(well) == wrong(well, quick=True) == []
    assert found["laws"].detail == "all derived candles of 1 symbol match their base"
    assert found["stale"] == Check("stale", True, "no symbol is stale")
    assert found["week"] == Check("week", True, "no candles where markets are closed")


def test_empty_database_lacks_only_a_backup(db_path: Path) -> None:
    assert wrong(db_path) == ["backup"]


def test_results_are_recorded_without_a_change(well: Path, db: apsw.Connection) -> None:
    before = read_state(db)
    found = look(well, quick=True)
    done = maintenance_runs.read_last_run(db, "doctor")
    assert done is not None
    assert done.time == NOW
    assert done.report["checks"] == [check._asdict() for check in found.values()]
    assert read_state(db) == before


@pytest.fixture
def mixed(db: apsw.Connection, db_path: Path) -> Path:
    """Candles of several clocks and timeframes, superseded candles, and ticks."""
    rng = seeded("doctor")
    for step in (*workloads.late_candles(rng), *workloads.late_ticks(rng)):
        step(db)
    return db_path


def test_every_valid_kind_of_candle_passes(mixed: Path, db: apsw.Connection) -> None:
    check_derived(db)
    assert look(mixed)["laws"].ok


def spoil_some(db: apsw.Connection, rng_name: str) -> None:
    # Change, delete or move random derived candles.
    rng = seeded(rng_name)
    keys = connection.query_all(db, "SELECT series, time, extra_s FROM candle WHERE kind = 0")
    for key in rng.sample(keys, 30):
        what = rng.choice(("volume", "gone", "moved"))
        where = "WHERE series = ? AND time = ? AND extra_s = ?"
        if what == "volume":
            db.execute(f"UPDATE candle SET volume = volume + 3 {where}", key)  # noqa: S608
        elif what == "gone":
            db.execute(f"DELETE FROM candle {where}", key)  # noqa: S608
        else:
            db.execute(f"UPDATE OR IGNORE candle SET time = time + 60 {where}", key)  # noqa: S608


def test_wrong_derived_candles_are_found_and_repaired(mixed: Path, db: apsw.Connection) -> None:
    whole = read_state(db)
    spoil_some(db, "spoilt")
    found = look(mixed)["laws"]
    assert not found.ok
    assert "do not match the base: EURUSD " in found.detail
    assert found.detail.endswith("`gfil doctor --repair`")
    spoilt = read_state(db)
    mended = look(mixed, repair=True)["laws"]
    assert mended.ok, mended.detail
    assert mended.detail.endswith(" derived again")
    check_derived(db)
    after = read_state(db)
    assert after["candle"] == whole["candle"]
    assert after["superseded"] == whole["superseded"]
    assert after["store"][0][2] > spoilt["store"][0][2], "subscribers receive the repair"
    check_logged(spoilt, after)


def test_changed_candle_is_named(well: Path, db: apsw.Connection) -> None:
    sql = "UPDATE candle SET high = 2.0 WHERE series % 32 = 3 AND time = ?"
    db.execute(sql, (MONDAY + DAY,))
    assert look(well)["laws"] == Check(
        "laws",
        False,
        "2 derived candles do not match the base: EURUSD M5 2024-01-02T00:00:00Z, "
        "EURUSD M15 2024-01-02T00:00:00Z; run `gfil doctor --repair`",
    )
    assert wrong(well, quick=True) == [], "it is older than the quick check reaches"
    db.execute(sql, (NOW - HOUR,))
    assert wrong(well, quick=True) == ["laws"]
    assert wrong(well, repair=True) == []


def test_stored_candles_are_never_repaired(well: Path, db: apsw.Connection) -> None:
    db.execute("UPDATE candle SET high = 2.0 WHERE series % 32 = 0 AND time = ?", (MONDAY + DAY,))
    assert wrong(well, repair=True) == []
    sql = "SELECT high FROM candle WHERE series % 32 = 0 AND time = ?"
    assert connection.query_one(db, sql, (MONDAY + DAY,)) == 2.0  # type: ignore[arg-type]
    check_derived(db)


def test_minutes_are_checked_against_ticks(well: Path, db: apsw.Connection) -> None:
    write_ticks(db, "GBPUSD", workloads.ticks_of(seeded("ticks"), (NOW - HOUR) * 1000, 50))
    assert wrong(well, quick=True) == []
    db.execute("DELETE FROM tick WHERE time_msc % 2 = 0")
    assert wrong(well, quick=True) == ["laws"]
    assert wrong(well, quick=True, repair=True) == []
    check_derived(db)


def test_rows_of_an_unknown_symbol_are_reported(well: Path, db: apsw.Connection) -> None:
    db.execute("INSERT INTO candle SELECT 32 * 77, time, 0, 1, 1, 1, 1, 1, 1 FROM candle LIMIT 3")
    found = look(well)["laws"]
    assert (found.ok, found.detail.rpartition("; ")[2]) == (
        False,
        "rows of 1 unknown symbol",
    )


def test_broken_page_is_found_and_the_file_stays_unchanged(well: Path, db: apsw.Connection) -> None:
    db.close()
    content = bytearray(well.read_bytes())
    at = len(content) // 8192 * 4096
    content[at : at + 4096] = bytes(range(256)) * 16
    well.write_bytes(content)
    for options in ({}, {"quick": True}, {"repair": True}):
        found = look(well, **options)
        assert not found["file"].ok
        assert found["file"].detail.startswith("damaged: ")
        assert "`gfil restore " in found["file"].detail
        assert found["laws"] == Check("laws", False, "skipped: the file is damaged")
    assert well.read_bytes() == content


def test_broken_first_page_fails_every_check(well: Path, db: apsw.Connection) -> None:
    db.close()
    content = bytearray(well.read_bytes())
    content[100:4096] = bytes(3996)
    well.write_bytes(content)
    found = look(well)
    assert [*found] == NAMES
    assert not any(found[name].ok for name in ("file", "laws", "backup"))


def test_other_file_or_no_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "letter.db").write_text("dear all, " * 1000)
    with pytest.raises(ForeignDatabase):
        look(tmp_path / "letter.db")
    with pytest.raises(NoDatabase):
        look(tmp_path / "none.db")


def test_symbol_with_candles_at_the_weekend_is_found(well: Path, db: apsw.Connection) -> None:
    """Times of a broker server read as UTC."""
    write(db, "XAUUSD", "M1", market(3, shift=2 * HOUR), now=NOW + 3 * HOUR)
    found = look(well)["week"]
    assert not found.ok
    assert "XAUUSD (" in found.detail
    assert "nyclose" in found.detail
    assert "EURUSD" not in found.detail


@pytest.mark.parametrize("clock", ["America/New_York", "UTC"])
def test_broker_file_read_on_a_wrong_clock_is_found(
    db: apsw.Connection, db_path: Path, shared_hours: Path, clock: str
) -> None:
    file = shared_hours / "histdata" / "DAT_ASCII_EURUSD_M1_201701.csv.gz"
    options = importer.Options(clock=clocks.parse(clock))
    importer.load(db, [file.read_bytes()], options, name=file.name, now=NOW)
    found = look(db_path)["week"]
    assert found.ok == (clock != "UTC")
    assert found.ok or "fits America/New_York" in found.detail


def test_market_that_never_closes_passes(well: Path, db: apsw.Connection) -> None:
    write(db, "BTCUSD", "M1", every(5 * MINUTE, MONDAY, NOW))
    assert wrong(well) == []


@pytest.mark.parametrize(("days", "ok"), [(1, True), (3, False)])
@pytest.mark.parametrize("name", ["backup", "prune"])
def test_backup_or_prune_missed_for_two_nights_is_wrong(
    well: Path, db: apsw.Connection, name: maintenance_runs.Name, days: int, ok: bool
) -> None:
    with connection.transaction(db):
        maintenance_runs.record_run(db, name, {"path": "/backups/gfil.db"}, now=NOW - days * DAY)
    assert wrong(well) == ([] if ok else [name])


def test_missing_backup_file_is_reported(well: Path, tmp_path: Path) -> None:
    made = next((tmp_path / "backups").iterdir())
    made.unlink()
    assert look(well)["backup"] == Check(
        "backup", True, f"{made}, 9 h ago, the file no longer exists"
    )


def test_missing_prune_is_wrong_once_rows_are_past_retention(
    db: apsw.Connection, db_path: Path
) -> None:
    write(db, "EURUSD", "M1", market(3))
    assert "prune" not in wrong(db_path)
    with connection.transaction(db):
        rules.set_rules(
            db, None, {"ticks": rules.parse_period("1d"), "M1": rules.parse_period("7d")}
        )
    assert look(db_path)["prune"] == Check(
        "prune", False, "never run, and rows past their retention: EURUSD"
    )


def test_stale_symbol_is_wrong_and_ended_symbol_is_reported(
    well: Path, db: apsw.Connection
) -> None:
    write(db, "GBPUSD", "M1", [row for row in market(3) if row[0][0] < NOW - 3 * HOUR])
    write(db, "OLD", "M1", every(HOUR, MONDAY - 90 * DAY, MONDAY - 30 * DAY))
    found = look(well)["stale"]
    assert not found.ok
    assert found.detail.startswith("no data in expected trading hours: GBPUSD since 2024-01-24T08:")
    assert found.detail.endswith("; ended: OLD")


def test_nearly_full_disk_is_found(well: Path) -> None:
    found = look(well, free_mb_min=10**9)["disk"]
    assert not found.ok
    assert found.detail.endswith(
        "GFIL_MIN_FREE_MB is 1000000000: ingest is refused until space is freed"
    )


def test_disk_full_within_days_is_found(
    well: Path, db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = well.stat().st_size
    with connection.transaction(db):
        maintenance_runs.record_run(
            db, "doctor", {"sizes": [[NOW - 10 * DAY, size - 10**6]]}, now=NOW - DAY
        )
    monkeypatch.setattr(file_copy, "read_free_bytes", lambda folder: 1_500_000)
    found = look(well)["disk"]
    assert (found.ok, found.detail) == (
        False,
        "1.5 MB free, GFIL_MIN_FREE_MB is 1, reached in 5 d",
    )
    done = maintenance_runs.read_last_run(db, "doctor")
    assert done is not None
    assert done.report["sizes"] == [[NOW - 10 * DAY, size - 10**6], [NOW, size]]


@pytest.mark.parametrize(
    ("sizes", "free", "days"),
    [
        ([], 10, None),
        ([(0, 5)], 10, None),
        ([(0, 5), (3600, 50)], 10, None),
        ([(0, 5), (DAY, 5)], 10, None),
        ([(0, 5), (DAY, 4)], 10, None),
        ([(0, 5), (DAY, 6)], 10, 10.0),
        ([(0, 0), (DAY, 50), (4 * DAY, 8)], 10, 5.0),
        ([(0, 5), (DAY, 6)], -10, 0.0),
    ],
)
def test_days_until_full_follow_from_past_growth(
    sizes: list[tuple[int, int]], free: int, days: float | None
) -> None:
    assert doctor.days_until_full(sizes, free) == days


def test_backdated_days_are_named_and_pass(well: Path, db: apsw.Connection) -> None:
    old = MONDAY - 300 * DAY
    write(db, "EURUSD", "M1", every(HOUR, old, old + 3 * DAY), now=NOW)
    assert look(well)["imported"] == Check(
        "imported",
        True,
        "kept past their retention: 3 days M1 of EURUSD; `gfil prune --imported` removes them",
    )


def test_wal_without_checkpoints_is_found(well: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "WAL_MAX_BYTES", -1)
    assert "a reader blocks it" in look(well)["file"].detail


def test_checks_pass_during_ingest(well: Path) -> None:
    stop = threading.Event()

    def ingest() -> None:
        rng, time_msc = seeded("beside"), (NOW - HOUR) * 1000
        with closing(connection.connect(well)) as db:
            while not stop.is_set():
                ticks = workloads.ticks_of(rng, time_msc, 20)
                write_ticks(db, "GBPUSD", ticks)
                time_msc = ticks[-1][0] + 1

    thread = threading.Thread(target=ingest)
    thread.start()
    try:
        for quick in (True, False, True):
            assert set(wrong(well, quick=quick)) <= {"week"}
    finally:
        stop.set()
        thread.join()


def test_command_prints_one_line_per_check_while_a_server_runs(
    well: Path, server: Callable[..., Server], db: apsw.Connection
) -> None:
    running = server(GFIL_DB=str(well))
    status, said, error = gfil(well, "doctor", "--quick")
    lines = said.splitlines()
    assert (status, error) == (1, "")
    assert [line[6:14].strip() for line in lines[:-1]] == NAMES
    assert lines[-1] == f"{well}: wrong: backup prune"
    assert running.get("/readyz").status == 200
    status, said, _ = gfil(well, "doctor", "--json")
    told = orjson.loads(said)
    assert (status, [*told]) == (1, ["db", "ok", "checks"])
    assert [check["name"] for check in told["checks"]] == NAMES
    assert symbols.list_symbols(db)
