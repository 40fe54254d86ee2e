"""Derive candles: late minutes, settled candles, added and removed clocks."""

import apsw
import pytest

from gfil import clocks, timeframes
from gfil.clocks import Bucket
from gfil.store import symbol_settings, symbols
from gfil.store.candles import derive, extent
from gfil.store.candles.derive import DERIVED, SETTLED, STORED, StoredCandle
from gfil.store.candles.rollup import Ohlcv
from gfil.store.engine import connection
from tests.oracle.buckets import SECONDS, bucket
from tests.store.model import read, tables, write

DAY = 1_700_006_400 // 86400 * 86400
HOUR, MINUTE = 3600, 60
ATHENS = "Europe/Athens"
SETTLE = "UPDATE candle SET kind = 2 WHERE series = :series"
FORGET = "DELETE FROM candle WHERE series = :series"


def minute(number: int, price: float, volume: float = 1.0):
    return (DAY + 60 * number, DAY + 60 * number + 60), (price, price, price, price, volume)


def series(db: apsw.Connection, timeframe: str) -> int:
    return symbols.read(db, "EURUSD").series(timeframes.parse(timeframe).number)


def kinds(db: apsw.Connection) -> dict[str, list[int]]:
    """Return the kinds of all candles in the database, by timeframe."""
    found: dict[str, list[int]] = {}
    for number, _, _, kind, *_ in tables(db)[0]:
        name = timeframes.TIMEFRAMES[number % symbols.SERIES_PER_SYMBOL].name
        found.setdefault(name, []).append(kind)
    return found


def set_clock(db: apsw.Connection, name: str) -> None:
    with connection.transaction(db):
        symbol_settings.set_clock(db, symbols.read(db, "EURUSD"), clocks.parse(name))


def prune(db: apsw.Connection, *pruned: str, settled: str) -> None:
    """Remove base candles and settle the derived ones, as prune does."""
    with connection.transaction(db):
        for timeframe in pruned:
            db.execute(FORGET, {"series": series(db, timeframe)})
        db.execute(SETTLE, {"series": series(db, settled)})


@pytest.mark.parametrize(
    ("stored", "rolled_up", "chosen"),
    [
        (None, None, None),
        (None, Ohlcv(1, 2, 1, 2, 3), StoredCandle(DERIVED, Ohlcv(1, 2, 1, 2, 3))),
        (Ohlcv(1, 2, 1, 2, 3), None, StoredCandle(STORED, Ohlcv(1, 2, 1, 2, 3))),
        (Ohlcv(1, 2, 1, 2, 3), Ohlcv(1, 2, 1, 1, 3), StoredCandle(STORED, Ohlcv(1, 2, 1, 2, 3))),
        (Ohlcv(1, 2, 1, 2, 3), Ohlcv(1, 2, 1, 1, 4), StoredCandle(DERIVED, Ohlcv(1, 2, 1, 1, 4))),
    ],
)
def test_pick_candle_chooses_stored_unless_proven_forming(
    stored: Ohlcv | None, rolled_up: Ohlcv | None, chosen: StoredCandle | None
) -> None:
    assert derive.pick_candle(stored, rolled_up) == chosen


def test_only_materialised_timeframes_are_stored(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [minute(0, 1.0), minute(6, 2.0)])
    assert kinds(db) == {
        "M1": [STORED, STORED],
        "M5": [DERIVED, DERIVED],
        **{name: [DERIVED] for name in ("M15", "M30", "H1", "H4", "D1")},
    }


def test_late_minute_rederives_only_its_buckets(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [minute(number, 5.0) for number in (0, 1, 70, 300, 2000)])
    before, _ = tables(db)
    write(db, "EURUSD", "M1", [minute(2, 9.0)])
    after, _ = tables(db)
    changed = sorted(
        (timeframes.TIMEFRAMES[row[0] % 32].name, row[1] - DAY) for row in set(after) - set(before)
    )
    assert changed == [
        ("D1", 0), ("H1", 0), ("H4", 0), ("M1", 120), ("M15", 0), ("M30", 0), ("M5", 0)
    ]  # fmt: skip
    assert read(db, "EURUSD", "D1").candles == [
        (DAY, 5.0, 9.0, 5.0, 5.0, 5.0),
        (DAY + 86400, 5.0, 5.0, 5.0, 5.0, 1.0),
    ]


def test_write_rederives_every_coarser_timeframe(db: apsw.Connection) -> None:
    """A stored candle in between stops the change."""
    write(db, "EURUSD", "M1", [minute(0, 5.0)])
    write(db, "EURUSD", "H1", [((DAY, DAY + HOUR), (4.0, 4.0, 4.0, 4.0, 1.0))])
    write(db, "EURUSD", "M1", [minute(1, 9.0)])
    assert [row[1:] for row in read(db, "EURUSD", "M30").candles] == [(5.0, 9.0, 5.0, 9.0, 2.0)]
    for timeframe in ("H1", "H4", "D1", "W1"):
        assert [row[1:] for row in read(db, "EURUSD", timeframe).candles] == [(4, 4, 4, 4, 1)]


def test_late_minute_leaves_settled_candle_unchanged(db: apsw.Connection) -> None:
    """Law 5: the minute is stored; the settled candle and coarser ones stay."""
    write(db, "EURUSD", "M1", [minute(number, 5.0) for number in (0, 1, 2)])
    prune(db, "M1", settled="M5")
    before = {name: read(db, "EURUSD", name).candles for name in SECONDS}
    written = write(db, "EURUSD", "M1", [minute(3, 9.0)])
    assert (written.inserted, written.kept) == (1, 0)
    after = {name: read(db, "EURUSD", name).candles for name in SECONDS}
    assert after["M1"] == [(DAY + 180, 9.0, 9.0, 9.0, 9.0, 1.0)]
    on_demand_from_m1 = {"M1", "M2", "M3"}
    assert {name for name in SECONDS if after[name] != before[name]} == on_demand_from_m1
    assert kinds(db)["M5"] == [SETTLED]
    assert kinds(db)["M15"] == [DERIVED]


def test_minute_next_to_settled_candles_is_derived(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [minute(0, 5.0)])
    prune(db, "M1", settled="M5")
    write(db, "EURUSD", "M1", [minute(7, 9.0)])
    assert kinds(db)["M5"] == [SETTLED, DERIVED]
    assert read(db, "EURUSD", "M15").candles == [(DAY, 5.0, 9.0, 5.0, 9.0, 2.0)]


def test_settled_candle_is_protected_or_corrected_like_stored(db: apsw.Connection) -> None:
    """Law 4: a fuller settled candle is protected; else the later candle corrects it."""
    write(db, "EURUSD", "M1", [minute(number, 5.0, 10.0) for number in (0, 1, 2)])
    prune(db, "M1", settled="M5")
    within = (DAY, DAY + 300)
    forming = write(db, "EURUSD", "M5", [(within, (5.0, 5.0, 5.0, 5.0, 29.0))])
    assert (forming.kept, forming.change, len(forming.warnings)) == (1, 0, 1)
    assert kinds(db)["M5"] == [SETTLED]
    correction = write(db, "EURUSD", "M5", [(within, (5.0, 6.0, 5.0, 5.0, 31.0))])
    assert (correction.updated, correction.change) == (1, 2)
    assert kinds(db)["M5"] == [STORED]
    assert read(db, "EURUSD", "D1").candles == [(DAY, 5.0, 6.0, 5.0, 5.0, 31.0)]


def test_set_clock_derives_new_days_and_drops_old_ones(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [minute(60 * number, 5.0 + number) for number in range(48)])
    on_utc = tables(db)
    answers = {name: read(db, "EURUSD", name, ATHENS).candles for name in SECONDS}
    set_clock(db, ATHENS)
    assert len(kinds(db)["D1"]) == 2 + 3
    assert len(kinds(db)["H4"]) == 12 + 13
    assert {name: read(db, "EURUSD", name, ATHENS).candles for name in SECONDS} == answers
    write(db, "EURUSD", "M1", [minute(1, 99.0)])
    days = read(db, "EURUSD", "D1", ATHENS).candles
    assert days[0] == (DAY - 2 * HOUR, 5.0, 99.0, 5.0, 26.0, 23.0)
    write(db, "EURUSD", "M1", [minute(1, 5.0)])
    set_clock(db, "UTC")
    assert len(kinds(db)["D1"]) == 2
    assert [row[:3] for row in on_utc[0]] == [
        row[:3] for row in tables(db)[0] if row[1] != DAY + 60
    ]


def test_set_clock_keeps_buckets_shared_with_other_clock(
    db: apsw.Connection,
) -> None:
    """In winter +02:00 has the same days as Athens."""
    write(db, "EURUSD", "M1", [minute(60 * number, 5.0 + number) for number in range(48)])
    within = bucket("D1", "+02:00", DAY + 30 * 86400)
    write(db, "EURUSD", "D1", [(within, (1, 1, 1, 1, 1))], "+02:00")
    before = tables(db)
    set_clock(db, ATHENS)
    assert tables(db) == before
    set_clock(db, "UTC")
    assert tables(db) == before


@pytest.mark.parametrize("name", ["UTC", ATHENS])
def test_set_same_clock_is_no_change(db: apsw.Connection, name: str) -> None:
    write(db, "EURUSD", "M1", [minute(0, 5.0)])
    set_clock(db, name)
    before = connection.read_state(db), tables(db)
    set_clock(db, name)
    assert (connection.read_state(db), tables(db)) == before


def test_symbol_without_candles_can_have_clock(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [])
    set_clock(db, ATHENS)
    set_clock(db, "+05:30")
    assert tables(db) == ([], [])
    write(db, "EURUSD", "M1", [minute(0, 5.0)])
    assert len(kinds(db)["D1"]) == 2


def test_new_clock_is_derived_from_existing_candles(db: apsw.Connection) -> None:
    """The stored day that adds the clock, and all other days derived from minutes."""
    write(db, "EURUSD", "M1", [minute(60 * number, 5.0 + number) for number in range(48)])
    within = bucket("D1", ATHENS, DAY)
    write(db, "EURUSD", "D1", [(within, (1, 60, 1, 1, 1))], ATHENS)
    on_athens = [
        row for row in tables(db)[0] if row[0] == series(db, "D1") and row[1] % 86400 == 79200
    ]
    assert [(row[1] - DAY, row[3]) for row in on_athens] == [
        (-7200, STORED),
        (79200, DERIVED),
        (165600, DERIVED),
    ]


def test_merge_spans_joins_near_spans() -> None:
    times = [DAY, DAY + 60, DAY + 3600, DAY + 9000, DAY + 9060]
    found = derive.merge_spans(timeframes.M1, times, [0] * 5)
    assert found == [Bucket(DAY, DAY + 3660), Bucket(DAY + 9000, DAY + 9120)]


def test_extent_covers_all_materialised_timeframes(db: apsw.Connection) -> None:
    write(db, "EURUSD", "W1", [(bucket("W1", "UTC", DAY), (1, 1, 1, 1, 1))])
    symbol = symbols.read(db, "EURUSD")
    assert extent.read_extent(db, symbol) is None
    write(db, "EURUSD", "M1", [minute(5, 1.0)])
    assert extent.read_extent(db, symbol) == Bucket(DAY, DAY + 86400)
