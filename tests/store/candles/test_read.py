"""Read candles: pages, ranges, clocks, roll-ups on demand."""

from itertools import pairwise

import apsw
import pytest

from gfil import clocks
from gfil.store import symbol_settings, symbols
from gfil.store.candles import read as candle_read
from gfil.store.engine import connection
from tests.oracle.buckets import SECONDS, bucket
from tests.oracle.symbol import Reference
from tests.store.model import Row, read, write

DAY = 1_700_006_400 // 86400 * 86400  # Wednesday 2023-11-15
HOUR = 3600
ATHENS, NEW_YORK = "Europe/Athens", "America/New_York+07:00"
CLOCKS = ("UTC", ATHENS, NEW_YORK, "+05:30", "Asia/Kathmandu", "Australia/Lord_Howe")


def hours(count: int, start: int = DAY, step_s: int = HOUR) -> list[Row]:
    """Return the first minutes of hours; the open price is the number of the hour."""
    rows = []
    for number in range(count):
        time, price = start + number * step_s, 1.0 + number
        rows.append(((time, time + 60), (price, price + 0.5, price - 0.5, price, 1.0)))
    return rows


def times(page: candle_read.CandleSlice) -> list[int]:
    return [candle[0] for candle in page.candles]


def test_read_of_empty_symbol_returns_no_candles(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [])
    for timeframe in SECONDS:
        for clock in CLOCKS:
            for start in (None, DAY):
                assert read(db, "EURUSD", timeframe, clock, start) == ([], None)


@pytest.mark.parametrize("timeframe", ["M1", "H1", "H2", "D1", "MN1"])
@pytest.mark.parametrize("clock", ["UTC", ATHENS])
def test_read_of_range_without_data_returns_empty_page(
    db: apsw.Connection, timeframe: str, clock: str
) -> None:
    write(db, "EURUSD", "M1", hours(100))
    for start, stop in ((0, DAY - 60 * 86400), (DAY + 60 * 86400, None), (DAY, DAY), (DAY, 0)):
        assert read(db, "EURUSD", timeframe, clock, start, stop) == ([], None)
    assert read(db, "EURUSD", timeframe, clock, None, DAY - 60 * 86400) == ([], None)


def test_read_without_start_returns_newest(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", hours(10))
    page = read(db, "EURUSD", "H1", start=None, limit=3)
    assert page.candles == [
        (DAY + number * HOUR, 1.0 + number, 1.5 + number, 0.5 + number, 1.0 + number, 1.0)
        for number in (7, 8, 9)
    ]
    page = read(db, "EURUSD", "H1", start=None, stop=DAY + 5 * HOUR, limit=2)
    assert times(page) == [DAY + 3 * HOUR, DAY + 4 * HOUR]


def test_read_with_start_returns_oldest(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", hours(10))
    page = read(db, "EURUSD", "H1", start=DAY + 2 * HOUR, stop=DAY + 9 * HOUR, limit=3)
    assert times(page) == [DAY + 2 * HOUR, DAY + 3 * HOUR, DAY + 4 * HOUR]
    assert read(db, "EURUSD", "H1", start=page.next, limit=1).candles[0][0] == DAY + 5 * HOUR


@pytest.mark.parametrize("timeframe", ["H1", "H2", "D1"])
@pytest.mark.parametrize("clock", ["UTC", "+05:30"])
def test_last_page_has_no_next(db: apsw.Connection, timeframe: str, clock: str) -> None:
    write(db, "EURUSD", "M1", hours(48))
    count = len(read(db, "EURUSD", timeframe, clock).candles)
    for start in (None, DAY - 2 * 86400):
        assert read(db, "EURUSD", timeframe, clock, start, limit=count).next is None
        assert read(db, "EURUSD", timeframe, clock, start, limit=count + 1).next is None
        assert read(db, "EURUSD", timeframe, clock, start, limit=count - 1).next is not None


def test_range_selects_by_candle_time(db: apsw.Connection) -> None:
    """Law 9: buckets are whole; a bucket that started before the range is not in it."""
    write(db, "EURUSD", "M1", hours(48))
    second = DAY + 86400
    whole = read(db, "EURUSD", "D1").candles
    assert [candle[5] for candle in whole] == [24, 24]
    assert read(db, "EURUSD", "D1", start=DAY + 1).candles == whole[1:]
    assert read(db, "EURUSD", "D1", start=DAY, stop=second).candles == whole[:1]
    assert read(db, "EURUSD", "D1", start=DAY, stop=second + 1).candles == whole
    assert read(db, "EURUSD", "D1", start=None, stop=second + 1, limit=1).candles == whole[1:]


@pytest.mark.parametrize("timeframe", ["M3", "H3", "W1", "MN1"])
@pytest.mark.parametrize("clock", CLOCKS)
def test_bucket_does_not_depend_on_requested_range(
    db: apsw.Connection, timeframe: str, clock: str
) -> None:
    write(db, "EURUSD", "M1", hours(300, step_s=7 * HOUR + 60))
    whole = read(db, "EURUSD", timeframe, clock).candles
    for first, last in ((0, 1), (1, 3), (2, 3), (len(whole) - 1, len(whole))):
        start = whole[first][0] if first < len(whole) else 0
        stop = whole[last][0] if last < len(whole) else None
        assert read(db, "EURUSD", timeframe, clock, start, stop).candles == whole[first:last]


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("drawn_on", ["UTC", ATHENS, "+05:30"])
def test_every_timeframe_and_clock_agrees_with_reference(
    db: apsw.Connection, clock: str, drawn_on: str
) -> None:
    """Five months of sparse data, with the autumn clock changes of New York and Athens."""
    rows = hours(400, start=DAY - 40 * 86400, step_s=9 * HOUR + 7 * 60)
    reference = Reference()
    reference.set_clock(drawn_on)
    reference.write("M1", "UTC", rows)
    write(db, "EURUSD", "M1", rows)
    with connection.transaction(db):
        symbol_settings.set_clock(db, symbols.read(db, "EURUSD"), clocks.parse(drawn_on))
    for timeframe in SECONDS:
        found = read(db, "EURUSD", timeframe, clock).candles
        assert found == reference.read(timeframe, clock), timeframe


def test_rolled_up_read_crosses_gaps_of_years(db: apsw.Connection) -> None:
    """Windows of a roll-up on demand start at existing data."""
    starts = [DAY - years * 365 * 86400 for years in (20, 11, 10, 0)]
    write(db, "EURUSD", "M1", [row for start in starts for row in hours(3, start=start)])
    wanted = [bucket("H2", ATHENS, row[0][0])[0] for start in starts for row in hours(3, start)]
    wanted = sorted(set(wanted))
    assert times(read(db, "EURUSD", "H2", ATHENS)) == wanted
    for limit in (1, 3, 5):
        forward, place = [], 0
        while place is not None:
            page = read(db, "EURUSD", "H2", ATHENS, place, limit=limit)
            forward, place = forward + times(page), page.next
        assert forward == wanted
        backward, stop = [], None
        while True:
            page = read(db, "EURUSD", "H2", ATHENS, None, stop, limit)
            backward, stop = times(page) + backward, page.next
            if stop is None:
                break
        assert backward == wanted


def test_day_of_one_clock_is_absent_on_another(db: apsw.Connection) -> None:
    """Law 6: days of Athens are not mixed into UTC."""
    summer, winter = "2024-07-10", "2024-01-10"
    for day in (summer, winter):
        noon = clocks.parse_instant(day + "T12:00")
        write(db, "XAUUSD", "D1", [(bucket("D1", ATHENS, noon), (1, 2, 1, 2, 9))], ATHENS)
    assert len(read(db, "XAUUSD", "D1", ATHENS).candles) == 2
    for timeframe in SECONDS:
        assert read(db, "XAUUSD", timeframe, "UTC").candles == []
        assert read(db, "XAUUSD", timeframe, "Europe/London").candles == []
    assert len(read(db, "XAUUSD", "D1", "EET").candles) == 2
    assert len(read(db, "XAUUSD", "W1", "EET").candles) == 2
    assert len(read(db, "XAUUSD", "D1", "+02:00").candles) == 1
    assert len(read(db, "XAUUSD", "D1", "+03:00").candles) == 1


def test_london_day_is_utc_day_in_winter_only(
    db: apsw.Connection,
) -> None:
    values = {"2024-01-10": (1, 2, 1, 2, 9), "2024-07-10": (3, 4, 3, 4, 9)}
    for day, candle in values.items():
        noon = clocks.parse_instant(day + "T12:00")
        within = bucket("D1", "Europe/London", noon)
        write(db, "FTSE", "D1", [(within, candle)], "Europe/London")
    assert [row[1:] for row in read(db, "FTSE", "D1", "UTC").candles] == [(1, 2, 1, 2, 9)]
    assert [row[1:] for row in read(db, "FTSE", "D1", "Europe/London").candles] == [
        (1, 2, 1, 2, 9),
        (3, 4, 3, 4, 9),
    ]


def test_stored_hour_of_half_hour_clock_is_read_on_that_clock_only(db: apsw.Connection) -> None:
    """H1 on +05:30 is no bucket of UTC. It wins over M30, unless these prove it forming."""
    within = (DAY + 1800, DAY + 5400)
    sent = (1.0, 1.5, 0.9, 1.2, 100.0)
    write(db, "NIFTY", "H1", [(within, sent)], "+05:30")
    assert read(db, "NIFTY", "H1", "+05:30").candles == [(within[0], *sent)]
    assert read(db, "NIFTY", "H1", "UTC").candles == []
    minute = (DAY + 3600, DAY + 3660)
    write(db, "NIFTY", "M1", [(minute, (1.0, 1.5, 0.9, 1.1, 99.0))])
    assert read(db, "NIFTY", "H1", "+05:30").candles == [(within[0], *sent)]
    write(db, "NIFTY", "M1", [(minute, (1.0, 1.5, 0.9, 1.1, 101.0))])
    assert read(db, "NIFTY", "H1", "+05:30").candles == [(within[0], 1.0, 1.5, 0.9, 1.1, 101.0)]


@pytest.mark.parametrize("tiling", ["M30", "H1"])
def test_h4_on_half_hour_clock_rolls_up_m30(db: apsw.Connection, tiling: str) -> None:
    """Law 3: the coarsest materialised timeframe that fits; a stored H1 does not."""
    within = bucket(tiling, "UTC", DAY)
    write(db, "NIFTY", tiling, [(within, (1, 2, 1, 2, 9))])
    found = read(db, "NIFTY", "H4", "+05:30").candles
    assert found == ([(DAY - 5400, 1, 2, 1, 2, 9)] if tiling == "M30" else [])


@pytest.mark.parametrize("clock", [ATHENS, "Europe/London", NEW_YORK])
def test_week_rolls_up_days_of_its_clock(db: apsw.Connection, clock: str) -> None:
    """W1 and MN1 from the D1 stored on the clock, across a clock change."""
    noons = [clocks.parse_instant("2024-03-01T12:00") + 86400 * day for day in range(60)]
    days = [bucket("D1", clock, noon) for noon in noons]
    rows = [(day, (float(n), n + 1.0, n - 1.0, n + 0.5, 1.0)) for n, day in enumerate(days)]
    write(db, "XAUUSD", "D1", rows, clock)
    weeks = read(db, "XAUUSD", "W1", clock).candles
    assert [candle[0] for candle in weeks] == sorted({bucket("W1", clock, n)[0] for n in noons})
    assert [candle[5] for candle in weeks] == [3, 7, 7, 7, 7, 7, 7, 7, 7, 1]
    assert weeks[1][1:] == (3.0, 10.0, 2.0, 9.5, 7.0)
    months = read(db, "XAUUSD", "MN1", clock).candles
    assert [candle[5] for candle in months] == [31, 29]


def test_times_ascend_when_clock_goes_back(db: apsw.Connection) -> None:
    start = clocks.parse_instant("2024-10-26T12:00")
    write(db, "XAUUSD", "M1", hours(2000, start=start, step_s=60))
    for timeframe in SECONDS:
        found = times(read(db, "XAUUSD", timeframe, ATHENS))
        assert all(before < after for before, after in pairwise(found))
    assert len(times(read(db, "XAUUSD", "H1", ATHENS))) == 34
