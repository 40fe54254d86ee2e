"""Tests of gfil/maintenance/prune.py: removed rows, kept rows and the report."""

import gzip
from pathlib import Path
from typing import Any

import apsw

from gfil.ingest import importer
from gfil.maintenance.prune import Report, prune
from gfil.store import hourly_stats, idempotency, maintenance_runs, symbol_settings, symbols
from gfil.store.engine import connection
from gfil.store.hourly_stats import HourlyStat
from gfil.store.removal import prune as removal
from gfil.store.removal import sweep
from gfil.store.retention import rules as retention_rules
from gfil.store.retention.backdated_days import BackdatedDays
from gfil.store.retention.rules import parse_period
from gfil.timeframes import M1
from tests.conftest import SAMPLES
from tests.oracle.buckets import DAY, HOUR
from tests.store.model import read, tables, write, write_ticks

NOW = 1_700_006_400  # 2023-11-15T00:00Z
TODAY = NOW - NOW % DAY
SETTLED = 2


def bar(price: float, volume: float = 1.0) -> tuple[float, ...]:
    return (price, price + 1, price - 1, price, volume)


def minutes(*days_ago: float, price: float = 5.0, count: int = 1) -> list[Any]:
    starts = [TODAY - round(days * DAY) + 60 * n for days in days_ago for n in range(count)]
    return [((start, start + 60), bar(price)) for start in starts]


def put(db: apsw.Connection, **rules: str) -> None:
    with connection.transaction(db):
        retention_rules.set_rules(
            db, None, {what: parse_period(text) for what, text in rules.items()}
        )


def run(db: apsw.Connection, now: float = NOW, **options: Any) -> Report:
    """Prune after a dry run with the same report."""
    before = tables(db), connection.read_state(db)
    foretold = prune(db, now=now, dry_run=True, **options)
    assert (tables(db), connection.read_state(db)) == before
    done = prune(db, now=now, rest=lambda _: None, **options)
    assert (done.rows, done.ticks, done.days) == (foretold.rows, foretold.ticks, foretold.days)
    assert done.left == foretold.left
    return done


def ages(db: apsw.Connection, timeframe: str = "M1", symbol: str = "EURUSD") -> list[int]:
    """Ages of the candles in days."""
    return [(TODAY - row[0]) // DAY for row in read(db, symbol, timeframe).candles]


def test_whole_days_past_their_retention_are_removed(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(120, 94, 93, 92.5, 92, 0))
    done = run(db)  # three months before the 15th of November is the 15th of August
    assert ages(db) == [92, 0]
    assert (done.rows, done.days, done.ticks) == ({"M1": 4}, 3, 0)
    before = tables(db), connection.read_state(db)
    assert not run(db).rows
    assert (tables(db), connection.read_state(db)) == before


def test_derived_candles_of_pruned_days_stay_and_are_settled(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(120, 1, price=7.0, count=400))
    before = {tf: read(db, "EURUSD", tf).candles for tf in ("M5", "M10", "M15", "H1", "D1", "W1")}
    run(db)
    kinds = connection.query_all(db, "SELECT series % 32, kind, COUNT(*) FROM candle GROUP BY 1, 2")
    assert (3, SETTLED, 80) in kinds
    assert {tf: read(db, "EURUSD", tf).candles for tf in before} == before


def test_late_candles_of_a_pruned_day_change_no_settled_candle(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(120, 1, price=7.0, count=400))
    run(db)
    kept = {tf: read(db, "EURUSD", tf).candles for tf in ("M5", "M15", "H1", "H4", "D1")}
    write(db, "EURUSD", "M1", minutes(120, price=99.0, count=400))
    assert {tf: read(db, "EURUSD", tf).candles for tf in kept} == kept
    assert len(read(db, "EURUSD", "M1").candles) == 800
    assert run(db).rows == {"M1": 400}
    assert {tf: read(db, "EURUSD", tf).candles for tf in kept} == kept


def test_late_ticks_of_pruned_minutes_are_refused(
    db: apsw.Connection,
) -> None:
    given = [((TODAY - days * DAY) * 1000, 1.5, 1.6, 0.0, 0.0, 6) for days in (9, 8, 7, 0)]
    write_ticks(db, "EURUSD", given)
    before = tables(db)[0]
    done = run(db)
    assert (done.ticks, done.days, done.settled) == (2, 2, 2)
    assert [row[1:3] + row[4:] for row in tables(db)[0]] == [row[1:3] + row[4:] for row in before]
    assert write_ticks(db, "EURUSD", [(given[0][0] + 5, 9.0, 9.0, 0.0, 0.0, 6)]).settled == [0]


def test_provisional_minute_stays_once_its_ticks_are_pruned(
    db: apsw.Connection,
) -> None:
    start = TODAY - 9 * DAY
    write(db, "EURUSD", "M1", [((start, start + 60), bar(5.0, 10.0))], now=start + 30)
    write_ticks(db, "EURUSD", [(start * 1000, 5.0, 6.0, 0.0, 1.0, 6), (NOW * 1000, *[1.0] * 4, 6)])
    run(db)
    late = [(start * 1000 + n, 5.0 + n % 3 - 1, 6.0, 0.0, 9.0, 6) for n in (1, 2, 3, 4)]
    late[0] = (start * 1000 + 1, 5.0, 6.0, 0.0, 9.0, 6)
    write_ticks(db, "EURUSD", late)
    assert read(db, "EURUSD", "M1").candles[0] == (start, *bar(5.0, 10.0))


def test_retention_counts_back_from_the_newest_row_if_it_is_older(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(100, 50, 0))
    assert run(db, NOW + 1000 * DAY).rows == {"M1": 1}
    assert ages(db) == [50, 0]
    assert not run(db, NOW - 1000 * DAY).rows


def test_day_with_recent_rows_stays_for_48_hours(
    db: apsw.Connection,
) -> None:
    write(db, "EURUSD", "M1", minutes(120, 119, 0))
    write(db, "EURUSD", "M1", minutes(119.5), now=NOW)
    assert (run(db, NOW + HOUR).rows, ages(db)) == ({"M1": 1}, [120, 119, 0])
    assert run(db, NOW + 48 * HOUR).left == 1
    done = run(db, NOW + 49 * HOUR)
    assert (done.rows, done.left, ages(db)) == ({"M1": 2}, 0, [0])


def test_receive_times_in_the_future_expire_after_48_hours(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(120, 119, 0))
    write(db, "EURUSD", "M1", minutes(119.9), now=NOW + 365 * DAY)
    put(db, M1="2y", M2="forever")
    assert run(db).left == 0
    put(db, M1="3months")
    assert (run(db).rows, run(db, NOW + 49 * HOUR).rows) == ({"M1": 1}, {"M1": 2})


def test_backdated_days_are_removed_only_on_request(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(0), now=NOW)
    write(db, "EURUSD", "M1", minutes(400, 399, 95, 20), now=NOW)
    done = run(db, NOW + 30 * DAY)
    first, last = TODAY - 400 * DAY, TODAY - 95 * DAY
    assert done.imported == [BackdatedDays("EURUSD", "M1", 3, first, last)]
    assert (done.rows, ages(db)) == ({}, [400, 399, 95, 20, 0])
    done = run(db, imported=True)  # without waiting 48 hours
    assert (done.rows, done.imported, ages(db)) == ({"M1": 3}, [], [20, 0])
    assert connection.query_all(db, "SELECT * FROM backdated_day") == []


def test_candles_derived_from_backdated_days_stay(db: apsw.Connection) -> None:
    put(db, M5="1y", M1="1y")
    write(db, "EURUSD", "M1", minutes(0), now=NOW)
    write(db, "EURUSD", "M1", minutes(800, 790), now=NOW)
    before = tables(db)
    assert (run(db, NOW + 3 * DAY).rows, tables(db)) == ({}, before)
    assert run(db, NOW + 3 * DAY, imported=True).rows == {"M1": 2, "M5": 2}
    assert (ages(db, "M5"), ages(db, "M15")) == ([0], [800, 790, 0])


def test_backdated_days_of_ticks_keep_their_minutes(db: apsw.Connection) -> None:
    data = "\n".join(["time_msc,bid,ask", f"{(TODAY - 200 * DAY) * 1000},1.5,1.6", ""])
    options = importer.Options(symbol="EURUSD")
    report = importer.load(db, [data.encode()], options, now=NOW)
    assert report.list_warnings() == [
        "EURUSD ticks: 1 day older than the retention, 2023-04-29 to 2023-04-29: "
        "kept as imported until `gfil prune --imported`"
    ]
    write(db, "EURUSD", "M1", minutes(0))
    assert (run(db, NOW + 3 * DAY).ticks, ages(db)) == (0, [200, 0])
    assert run(db, NOW + 3 * DAY, imported=True).ticks == 1


def test_buckets_that_end_on_a_kept_day_stay(db: apsw.Connection) -> None:
    with connection.transaction(db):
        symbol = symbols.ensure(db, "EURUSD")
        symbol_settings.update_settings(db, symbol, {"clock": "+05:30"})
    put(db, M1="10d", M5="10d", M15="10d", M30="10d", H1="10d", H4="10d")
    write(db, "EURUSD", "M1", minutes(30, 20.02, 0, count=60))
    write(db, "EURUSD", "M1", minutes(19.99, price=6.0), now=NOW)
    before = read(db, "EURUSD", "H4", "+05:30").candles
    assert (len(before), run(db, NOW + HOUR).left) == (3, 6)
    assert read(db, "EURUSD", "H4", "+05:30").candles == before[1:]
    run(db, NOW + 50 * HOUR)
    assert read(db, "EURUSD", "H4", "+05:30").candles == before[2:]


def test_timeframe_that_is_not_materialised_has_its_own_rule(db: apsw.Connection) -> None:
    start = TODAY - 100 * DAY
    write(db, "EURUSD", "M2", [((start, start + 120), bar(1.0))])
    write(db, "EURUSD", "M1", minutes(0))
    assert not run(db).rows
    put(db, M2="3months")
    assert run(db).rows == {"M2": 1}


def test_rule_of_a_symbol_applies_to_it_alone(db: apsw.Connection) -> None:
    for name in ("EURUSD", "XAUUSD"):
        write(db, name, "M1", minutes(120, 0))
    with connection.transaction(db):
        retention_rules.set_rules(db, symbols.read(db, "XAUUSD"), {"M1": parse_period("1y")})
    run(db)
    assert (ages(db), ages(db, symbol="XAUUSD")) == ([0], [120, 0])


def test_prune_counts_one_change_and_sends_no_event(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(120, 0))
    _, change = connection.read_state(db)
    run(db)
    assert connection.read_state(db)[1] == change + 1
    logged = connection.query_all(
        db, "SELECT series % 32 FROM change_log WHERE change > ?1", (change,)
    )
    assert {number for (number,) in logged} <= {31}


def test_free_pages_are_returned_to_the_file_system(db: apsw.Connection, db_path: Path) -> None:
    for days in range(120, 100, -1):
        write(db, "EURUSD", "M1", minutes(days, count=1400))
    write(db, "EURUSD", "M1", minutes(0))
    pages = db.pragma("page_count")
    done = run(db)
    assert done.bytes == (pages - db.pragma("page_count")) * 4096 > 500_000
    assert removal.count_free_pages(db) == 0
    assert db.pragma("integrity_check") == "ok"


def test_expired_records_are_removed(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(0), now=NOW)
    write(db, "OLD", "M1", minutes(0), now=NOW)
    asked = idempotency.RequestIdentity("12345678", "POST /", "name", bytes(32))
    with connection.transaction(db):
        symbols.delete(db, symbols.read(db, "OLD"))
        idempotency.store_answer(db, asked, idempotency.StoredAnswer(200, b"{}"), now=NOW)
        hourly_stats.add(db, [HourlyStat(TODAY - 31 * DAY, "ticks", "took", 1, 1)])
    run(db, NOW + 50 * HOUR)
    for name in ("idempotency_record", "hourly_stat", "received_day", "deleted_symbol"):
        assert connection.query_all(db, f"SELECT * FROM {name}") == [], name  # noqa: S608 (names above)
    assert sweep.is_swept(db)


def test_run_is_recorded(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(120, 0))
    assert maintenance_runs.read_last_run(db, "prune") is None
    done = run(db, NOW + 0.5)
    assert maintenance_runs.read_last_run(db, "prune") == (NOW, done.as_json())


def test_pause_after_a_batch_is_as_long_as_the_batch(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(*range(130, 95, -1), 0))
    rests: list[float] = []
    done = prune(db, now=NOW, rest=rests.append)
    assert len(rests) == done.batches
    assert max(rests) == done.longest_s


def test_day_that_receives_rows_during_the_prune_stays(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(130, 120, 0))
    late: list[Any] = [minutes(119.9, price=8.0)]

    def rest(_: float) -> None:
        while late:
            write(db, "EURUSD", "M1", late.pop(), now=NOW)

    prune(db, now=NOW, rest=rest)
    assert ages(db) == [120, 119, 0]


def test_symbol_deleted_during_the_prune_is_skipped(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(130, 120, 0))
    write(db, "XAUUSD", "M1", minutes(130, 0))

    def rest(_: float) -> None:
        if symbols.find(db, "EURUSD"):
            with connection.transaction(db):
                symbols.delete(db, symbols.read(db, "EURUSD"))

    prune(db, now=NOW, rest=rest)
    assert ages(db, symbol="XAUUSD") == [0]


def test_kept_candles_of_broker_years_are_unchanged_by_prunes(
    db: apsw.Connection, shared_hours: Path
) -> None:
    """Broker minutes of EURUSD, 2017 to 2019, written at the end of each month."""
    share = 45 if shared_hours == SAMPLES / "hours" else 1  # one row of 45 is in the sample
    (source,) = (shared_hours / "bulk").glob("frxEURUSD_M1_*.csv.gz")
    lines = gzip.decompress(source.read_bytes()).splitlines(keepends=True)
    options = importer.Options(symbol="EURUSD", timeframe=M1)
    kept: dict[str, list[Any]] = {}
    for first, last in ((1, 60_000), (60_000, 130_000), (130_000, 180_000)):
        months = [lines[0], *lines[max(1, first // share) : last // share]]
        report = importer.load(db, months, options, now=0x7FFFFFFF, name="-")
        with connection.transaction(db):  # they were written in time
            db.execute("DELETE FROM backdated_day")
            db.execute("DELETE FROM received_day")
        before = {tf: read(db, "EURUSD", tf).candles for tf in ("M5", "M15", "H1", "H4", "D1")}
        assert all(before[tf][: len(rows) - 1] == rows[:-1] for tf, rows in kept.items())
        assert report.last is not None
        pruned = run(db, report.last + 5)
        kept = {tf: read(db, "EURUSD", tf).candles for tf in before}
        assert kept == before
    assert pruned.rows["M1"] > 10_000 // share
    again = [lines[0], *lines[1 : 5000 // share]]
    late = b"".join(again).replace(b",1.0", b",1.1")
    assert importer.load(db, [late], options, now=0x7FFFFFFF, name="-").inserted == len(again) - 1
    assert {tf: read(db, "EURUSD", tf).candles for tf in kept} == kept
