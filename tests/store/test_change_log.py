"""The change log: spans and resets of each commit."""

from pathlib import Path

import apsw
import pytest

from gfil.clocks import Bucket
from gfil.store import change_log, symbol_settings, symbols
from gfil.store.candles import ticks
from gfil.store.candles import write as candle_write
from gfil.store.candles.ticks import Ticks
from gfil.store.candles.write import CandleColumns
from gfil.store.change_log import LOGGED_CHANGES_MAX, SPANS_MAX, TRIM_CHANGES, LogEntry
from gfil.store.engine import connection
from gfil.store.removal import delete_range
from gfil.timeframes import D1, H1, M1, M2, W1, Timeframe
from tests.store.old_schema import make_old

START = 1_700_006_400  # 2023-11-15T00:00:00Z, a Wednesday
DAY = 86400


def rows(*times: int, close: float = 1.0) -> CandleColumns:
    many = len(times)
    flat = [close] * many
    return CandleColumns(list(times), [0] * many, flat, flat, flat, flat, [1.0] * many)


def write(db: apsw.Connection, timeframe: Timeframe, *times: int, close: float = 1.0) -> int:
    with connection.transaction(db):
        symbol = symbols.ensure(db, "EURUSD")
        return candle_write.write_candles(db, symbol, timeframe, rows(*times, close=close)).change


def write_tick(db: apsw.Connection, time_msc: int, bid: float, last: float = 0.0) -> int:
    with connection.transaction(db):
        symbol = symbols.ensure(db, "EURUSD")
        tick = Ticks([time_msc], [bid], [0.0], [last], [0.0], [6])
        return ticks.write_ticks(db, symbol, tick).change


def logged(db: apsw.Connection, since: int = 0) -> list[tuple[int, str, int, int]]:
    """Return the entries with timeframe names, without those of the symbol's first commit."""
    names = {each.number: each.name for each in (M1, M2, H1, D1, W1)}
    entries = [
        (change, names[series % 32], start, stop)
        for change, series, start, stop in change_log.read_since(db, since, range(9))
    ]
    return [entry for entry in entries if entry != (1, "M1", 0, 0)]


def test_candles_are_logged_as_spans(db: apsw.Connection) -> None:
    assert write(db, M1, START, START + 60, START + 2 * DAY) == 1
    assert logged(db) == [
        (1, "M1", START, START + 120),
        (1, "M1", START + 2 * DAY, START + 2 * DAY + 60),
    ]


@pytest.mark.parametrize("timeframe", [M2, H1, D1])
def test_each_timeframe_is_logged_separately(db: apsw.Connection, timeframe: Timeframe) -> None:
    write(db, timeframe, START)
    assert logged(db) == [(1, timeframe.name, START, START + timeframe.seconds)]


def test_tick_is_logged_as_its_minute(db: apsw.Connection) -> None:
    write_tick(db, START * 1000 + 61_500, 1.1)
    assert logged(db) == [(1, "M1", START + 60, START + 120)]


def test_commit_without_changed_candle_logs_no_span(db: apsw.Connection) -> None:
    write(db, M1, START)
    assert write(db, M1, START) == 0
    assert write_tick(db, START * 1000 + 500, 1.1) == 2  # the broker's minute stays
    with connection.transaction(db):
        symbol = symbols.read(db, "EURUSD")
        symbols.update(db, symbol._replace(description="Euro"))
    assert connection.read_state(db)[1] == 3
    assert logged(db) == [(1, "M1", START, START + 60)]


def test_only_changed_rows_are_logged(db: apsw.Connection) -> None:
    write(db, M1, START, START + DAY)
    write(db, M1, START, close=2.0)
    assert logged(db, since=1) == [(2, "M1", START, START + 60)]


def test_many_spans_of_one_commit_are_logged_as_one(db: apsw.Connection) -> None:
    times = [START + day * DAY for day in range(SPANS_MAX + 1)]
    write(db, M1, *times)
    assert logged(db) == [(1, "M1", START, times[-1] + 60)]


def test_all_writes_of_one_commit_are_logged(db: apsw.Connection) -> None:
    with connection.transaction(db):
        symbol = symbols.ensure(db, "EURUSD")
        for first in (START, START + DAY, START):
            candle_write.write_candles(db, symbol, M1, rows(first, close=float(first)))
        candle_write.write_candles(db, symbol, M1, rows(START, START + 60))
    assert logged(db) == [
        (1, "M1", START, START + 60),
        (1, "M1", START, START + 120),
        (1, "M1", START + DAY, START + DAY + 60),
    ]


def test_deletion_logs_reset(db: apsw.Connection) -> None:
    write(db, M1, START, START + 60)
    delete_range.delete_range(db, symbols.read(db, "EURUSD"), START, START + 60)
    assert logged(db, since=1) == [(2, "M1", 0, 0)]


def test_rename_logs_reset(db: apsw.Connection) -> None:
    write(db, M1, START)
    with connection.transaction(db):
        symbols.rename(db, symbols.read(db, "EURUSD"), "EURUSD.r")
    assert logged(db, since=1) == [(2, "M1", 0, 0)]


def test_new_symbol_logs_reset(db: apsw.Connection) -> None:
    """Subscribers may still show a deleted symbol of the same name."""
    write(db, D1, START)
    series = symbols.read(db, "EURUSD").id * 32
    assert change_log.read_since(db, 0, range(9))[0] == LogEntry(1, series, 0, 0)


def test_price_setting_logs_reset(db: apsw.Connection) -> None:
    write_tick(db, START * 1000, 1.1)
    with connection.transaction(db):
        changed = symbol_settings.set_price(db, symbols.read(db, "EURUSD"), "ask")
    assert changed.change == 2
    assert logged(db, since=1) == [(2, "M1", 0, 0)]


def test_rolled_back_change_is_not_logged(db: apsw.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    candle_write.write_candles(db, symbols.ensure(db, "EURUSD"), M1, rows(START))
    assert logged(db) == [(1, "M1", START, START + 60)]
    db.execute("ROLLBACK")
    assert logged(db) == []


def test_log_keeps_newest_changes(db: apsw.Connection) -> None:
    newest = (LOGGED_CHANGES_MAX // TRIM_CHANGES + 2) * TRIM_CHANGES
    with connection.transaction(db):
        for change in (1, newest - LOGGED_CHANGES_MAX, newest - LOGGED_CHANGES_MAX + 1, newest):
            change_log.append(db, change, 32, [Bucket(0, 60)])
    kept = [newest - LOGGED_CHANGES_MAX + 1, newest]
    assert change_log.read_since(db, 0, [1]) == [LogEntry(change, 32, 0, 60) for change in kept]
    assert change_log.read_since(db, 0, [2]) == []
    assert change_log.covers(newest - LOGGED_CHANGES_MAX, newest)
    assert change_log.covers(newest, newest)
    assert not change_log.covers(newest - LOGGED_CHANGES_MAX - 1, newest)
    assert not change_log.covers(newest + 1, newest)


def test_upgrade_to_change_log_logs_resets(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    make_old(path, 2)
    db = apsw.Connection(str(path))
    db.execute("INSERT INTO symbol (id, name, change) VALUES (3, 'EURUSD', 5)")
    db.close()
    connection.create(path)
    db = connection.connect(path)
    assert change_log.read_since(db, 6, [3]) == [(7, 3 * 32, 0, 0)]
    db.close()
