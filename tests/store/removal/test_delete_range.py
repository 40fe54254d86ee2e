"""Delete ranges and sweep deleted symbols."""

from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from gfil import clocks, timeframes
from gfil.store import symbol_settings, symbols
from gfil.store.candles import read as candle_read
from gfil.store.candles import write as candle_write
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection
from gfil.store.removal import delete_range, sweep
from gfil.store.removal.delete_range import Deleted
from tests.oracle.buckets import SECONDS, bucket
from tests.store.model import read, tables, write

DAY = 1_700_006_400 // 86400 * 86400
HOUR = 3600
ATHENS = "Europe/Athens"
FLAT = (1.0, 1.0, 1.0, 1.0, 1.0)


def minute(number: int, price: float = 5.0, volume: float = 1.0):
    return (DAY + 60 * number, DAY + 60 * number + 60), (price, price, price, price, volume)


def delete(db: apsw.Connection, start: int, stop: int, timeframe: str | None = None) -> Deleted:
    """Delete a range, and compare with `count_range` before."""
    symbol = symbols.read(db, "EURUSD")
    parsed = timeframes.parse(timeframe) if timeframe else None
    before = tables(db), connection.read_state(db)
    foretold = delete_range.count_range(db, symbol, start, stop, parsed)
    assert (tables(db), connection.read_state(db)) == before
    done = delete_range.delete_range(db, symbol, start, stop, parsed)
    assert foretold == done._replace(change=0)
    return done


def times(db: apsw.Connection, timeframe: str, clock: str = "UTC") -> list[int]:
    return [candle[0] - DAY for candle in read(db, "EURUSD", timeframe, clock).candles]


def stored_clocks(db: apsw.Connection) -> list[str]:
    return [clock.name for clock in symbols.stored_clocks(db, symbols.read(db, "EURUSD"))]


def test_delete_range_removes_rows_and_rederives_coarser_candles(
    db: apsw.Connection,
) -> None:
    write(db, "EURUSD", "M1", [minute(0, 5.0), minute(1, 9.0), minute(2, 4.0), minute(90, 6.0)])
    done = delete(db, DAY + 60, DAY + 180)
    assert done == Deleted(2, 0, 2, [])
    assert times(db, "M1") == [0, 5400]
    assert read(db, "EURUSD", "M5").candles[0] == (DAY, 5.0, 5.0, 5.0, 5.0, 1.0)
    assert read(db, "EURUSD", "D1").candles == [(DAY, 5.0, 6.0, 5.0, 6.0, 2.0)]


def test_delete_of_whole_range_leaves_no_rows(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [minute(number) for number in range(0, 100_000, 999)])
    write(db, "EURUSD", "H2", [((DAY, DAY + 7200), FLAT)])
    write(db, "EURUSD", "D1", [(bucket("D1", ATHENS, DAY), FLAT)], ATHENS)
    done = delete(db, DAY - 10 * 86400, DAY + 100 * 86400)
    assert done.deleted == 101 + 2
    assert done.change == connection.read_state(db)[1]
    assert tables(db) == ([], [])
    assert stored_clocks(db) == []
    for timeframe in SECONDS:
        assert times(db, timeframe, ATHENS) == []


def test_delete_range_warns_of_overlapping_candles(db: apsw.Connection) -> None:
    for timeframe in ("M1", "H1", "D1"):
        write(db, "EURUSD", timeframe, [((DAY, DAY + SECONDS[timeframe]), FLAT)])
    within = bucket("W1", "UTC", DAY)
    write(db, "EURUSD", "W1", [(within, FLAT)])
    done = delete(db, DAY, DAY + 86399)
    assert done.deleted == 2
    day, monday = clocks.format_instant(DAY), clocks.format_instant(within[0])
    assert done.warnings == [
        f"the D1 of {day} lies only partly in the range and stays",
        f"the W1 of {monday} lies only partly in the range and stays",
    ]
    assert (times(db, "H1"), times(db, "D1"), len(times(db, "W1"))) == ([], [0], 1)


@pytest.mark.parametrize(("start", "stop"), [(1, 60), (0, 59), (30, 30), (60, 0), (60, 120)])
def test_delete_of_empty_range_is_no_change(db: apsw.Connection, start: int, stop: int) -> None:
    write(db, "EURUSD", "M1", [minute(0)])
    before = tables(db), connection.read_state(db)
    done = delete(db, DAY + start, DAY + stop)
    assert (done.deleted, done.change) == (0, 0)
    assert (tables(db), connection.read_state(db)) == before


def test_delete_of_one_timeframe_restores_derived_candles(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [minute(0), minute(1, 9.0)])
    hours = [((DAY + HOUR * n, DAY + HOUR * n + HOUR), (7.0, 7.0, 7.0, 7.0, 7.0)) for n in (0, 1)]
    write(db, "EURUSD", "H1", hours)
    assert delete(db, DAY, DAY + 86400, "H1").deleted == 2
    assert read(db, "EURUSD", "H1").candles == [(DAY, 5.0, 9.0, 5.0, 9.0, 2.0)]
    assert read(db, "EURUSD", "D1").candles == [(DAY, 5.0, 9.0, 5.0, 9.0, 2.0)]
    assert times(db, "M1") == [0, 60]


def test_delete_of_one_timeframe_covers_every_clock(db: apsw.Connection) -> None:
    for clock in ("UTC", ATHENS, "+05:30"):
        write(db, "EURUSD", "D1", [(bucket("D1", clock, DAY + 12 * HOUR), FLAT)], clock)
    assert stored_clocks(db) == ["+05:30", ATHENS]
    assert delete(db, DAY - 86400, DAY + 2 * 86400, "D1").deleted == 3
    assert tables(db) == ([], [])
    assert stored_clocks(db) == []


def test_delete_range_counts_superseded_candles(db: apsw.Connection) -> None:
    write(db, "EURUSD", "H1", [((DAY, DAY + HOUR), (5.0, 5.0, 5.0, 5.0, 1.0))])
    write(db, "EURUSD", "M1", [minute(0), minute(1)])
    assert len(tables(db)[1]) == 1
    assert delete(db, DAY, DAY + HOUR, "H1").deleted == 1
    assert tables(db)[1] == []
    delete(db, DAY, DAY + 60, "M1")
    assert read(db, "EURUSD", "H1").candles == [(DAY + 0, 5.0, 5.0, 5.0, 5.0, 1.0)]


def test_superseded_candle_returns_when_its_proof_is_deleted(db: apsw.Connection) -> None:
    sent = (DAY, 5.0, 5.0, 5.0, 5.0, 1.0)
    write(db, "EURUSD", "H1", [((DAY, DAY + HOUR), sent[1:])])
    write(db, "EURUSD", "M1", [minute(0), minute(1)])
    assert read(db, "EURUSD", "H1").candles != [sent]
    assert delete(db, DAY + 60, DAY + 120, "M1").deleted == 1
    assert read(db, "EURUSD", "H1").candles == [sent]
    assert tables(db)[1] == []


def test_superseded_candle_within_range_does_not_return(db: apsw.Connection) -> None:
    write(db, "EURUSD", "H1", [((DAY, DAY + HOUR), (5.0, 5.0, 5.0, 5.0, 1.0))])
    write(db, "EURUSD", "M1", [minute(0), minute(1)])
    assert delete(db, DAY, DAY + HOUR).deleted == 3
    assert tables(db) == ([], [])


def test_clock_is_recorded_until_last_candle_is_deleted(db: apsw.Connection) -> None:
    days = [bucket("D1", ATHENS, DAY + n * 86400) for n in (0, 1)]
    write(db, "EURUSD", "D1", [(day, FLAT) for day in days], ATHENS)
    write(db, "EURUSD", "M1", [minute(number) for number in range(0, 4000, 60)])
    delete(db, *days[0], "D1")
    assert stored_clocks(db) == [ATHENS]
    assert len(times(db, "D1", ATHENS)) == 3
    delete(db, *days[1], "D1")
    assert stored_clocks(db) == []
    series = symbols.read(db, "EURUSD").series(timeframes.D1.number)
    assert [row[1] - DAY for row in tables(db)[0] if row[0] == series] == [0, 86400, 172800]
    assert len(times(db, "D1", ATHENS)) == 3


def test_clock_is_recorded_for_superseded_candle(db: apsw.Connection) -> None:
    within = bucket("D1", ATHENS, DAY + 12 * HOUR)
    sent = (within[0], 5.0, 5.0, 5.0, 5.0, 1.0)
    write(db, "EURUSD", "D1", [(within, sent[1:])], ATHENS)
    write(db, "EURUSD", "M1", [minute(0), minute(1), minute(4000)])
    assert read(db, "EURUSD", "D1", ATHENS).candles[0] != sent
    delete(db, DAY + 2 * 86400, DAY + 3 * 86400)
    assert stored_clocks(db) == [ATHENS]
    delete(db, DAY, DAY + 86400, "M1")
    assert read(db, "EURUSD", "D1", ATHENS).candles == [sent]


def test_symbol_clock_stays_materialised_after_delete(db: apsw.Connection) -> None:
    write(db, "EURUSD", "D1", [(bucket("D1", ATHENS, DAY), FLAT)], ATHENS)
    with connection.transaction(db):
        symbol_settings.set_clock(db, symbols.read(db, "EURUSD"), clocks.parse(ATHENS))
    delete(db, DAY - 86400, DAY + 86400)
    assert stored_clocks(db) == []
    write(db, "EURUSD", "M1", [minute(0)])
    series = symbols.read(db, "EURUSD").series(timeframes.D1.number)
    assert [row[1] - DAY for row in tables(db)[0] if row[0] == series] == [-2 * HOUR, 0]


def test_delete_range_leaves_other_symbols(db: apsw.Connection) -> None:
    write(db, "XAUUSD", "M1", [minute(0)])
    write(db, "EURUSD", "M1", [minute(0)])
    before = read(db, "XAUUSD", "D1").candles
    assert delete(db, DAY, DAY + 86400).deleted == 1
    assert read(db, "XAUUSD", "D1").candles == before
    assert symbols.read(db, "XAUUSD").change == 1


def test_delete_of_years_works_in_consistent_slices(db: apsw.Connection) -> None:
    """DERIVED=BASE after every commit; there is one commit for each slice with data."""
    rows = [minute(day * 1440) for day in (0, 13, 15, 400, 401, 800)]
    write(db, "EURUSD", "M1", rows)
    done = delete(db, DAY, DAY + 801 * 86400)
    assert (done.deleted, done.change) == (6, 1 + 4)
    assert tables(db) == ([], [])


def test_sweep_removes_rows_of_deleted_symbols(db: apsw.Connection) -> None:
    for name in ("EURUSD", "XAUUSD", "GBPUSD"):
        write(db, name, "M1", [minute(number) for number in range(3000)])
        write(db, name, "H1", [((DAY, DAY + HOUR), (5.0, 5.0, 5.0, 5.0, 1.0))])
    kept = read(db, "XAUUSD", "M1").candles
    write(db, "EURUSD", "D1", [(bucket("D1", ATHENS, DAY), FLAT)], ATHENS)
    for name in ("EURUSD", "GBPUSD"):
        with connection.transaction(db):
            symbols.delete(db, symbols.read(db, name))
    assert len(tables(db)[0]) > 9000
    sweep.sweep_all(db)
    wanted = {symbols.read(db, "XAUUSD").id}
    assert {row[0] // symbols.SERIES_PER_SYMBOL for row in tables(db)[0]} == wanted
    assert {row[0] // symbols.SERIES_PER_SYMBOL for row in tables(db)[1]} == wanted
    assert read(db, "XAUUSD", "M1").candles == kept
    assert connection.query_all(db, "SELECT id FROM deleted_symbol") == []
    with connection.transaction(db):
        assert sweep.sweep(db) is False


def test_sweep_uses_many_transactions_for_many_rows(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [minute(number) for number in range(1000)])
    before = len(tables(db)[0])
    with connection.transaction(db):
        symbols.delete(db, symbols.read(db, "EURUSD"))
    left = [before]
    more = True
    while more:
        with connection.transaction(db):
            more = sweep.sweep(db, 100)
        left.append(len(tables(db)[0]))
    assert left[-1] == 0
    assert max(one - other for one, other in pairwise(left)) <= 100


def test_sweep_rests_between_batches_and_stops_on_request(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [minute(number) for number in range(1000)])
    before = len(tables(db)[0])
    with connection.transaction(db):
        symbols.delete(db, symbols.read(db, "EURUSD"))
    rests: list[float] = []

    def rest(seconds: float) -> bool:
        assert not db.in_transaction
        rests.append(seconds)
        return len(rests) == 3

    sweep.sweep_all(db, 100, rest=rest)
    assert len(tables(db)[0]) == before - 300
    assert len(rests) == 3
    assert min(rests) > 0
    sweep.sweep_all(db, 100, rest=rests.append)
    assert sweep.is_swept(db)
    assert len(rests) >= before // 100


def test_clock_set_during_delete_range_is_derived(tmp_path: Path) -> None:
    """Every transaction reads the symbol again."""
    path = tmp_path / "gfil.db"
    connection.create(path)
    ours, theirs = connection.connect(path), connection.connect(path)
    hours = [1735516800 + 3600 * hour for hour in range(72)]
    ones = [1.0] * 72
    with connection.transaction(ours):
        symbol = symbols.ensure(ours, "EURUSD")
        rows = CandleColumns(hours, [0] * 72, ones, ones, ones, ones, ones)
        candle_write.write_candles(ours, symbol, timeframes.H1, rows)
    athens = clocks.parse("Europe/Athens")
    with connection.transaction(theirs):
        symbol_settings.set_clock(theirs, symbols.read(theirs, "EURUSD"), athens)
    delete_range.delete_range(ours, symbol, hours[0], hours[48])
    symbol = symbols.read(ours, "EURUSD")
    days = candle_read.read_candles(ours, symbol, timeframes.D1, athens).candles
    assert sum(day[5] for day in days) == 24.0
