"""Tests with files of brokers: their formats are recognised, their times right on their clocks."""

from pathlib import Path

import apsw
import pytest

from gfil import clocks
from gfil.clocks import UTC, format_instant
from gfil.ingest import file_import
from gfil.ingest.options import Options
from gfil.store import symbols
from gfil.store.candles import read
from gfil.timeframes import D1
from tests.conftest import SAMPLES

NOW = 1790000000

FILES = [  # file, clock, format symbol timeframe; rows and range of the sample, of the whole file
    (
        "eurusd_utc_multitf/EURUSD1.csv.gz",
        "UTC",
        "plain EURUSD M1",
        (2859, "2021-03-16T00:00 2021-03-17T23:59"),
        (50000, "2021-02-18T20:58 2021-04-08T18:59"),
    ),
    (
        "eurusd_utc_multitf/EURUSD5.csv.gz",
        "UTC",
        "plain EURUSD M5",
        (576, "2021-03-16T00:00 2021-03-17T23:55"),
        (50000, "2020-08-06T13:10 2021-04-08T18:55"),
    ),
    (
        "eurusd_utc_multitf/EURUSD15.csv.gz",
        "UTC",
        "plain EURUSD M15",
        (192, "2021-03-16T00:00 2021-03-17T23:45"),
        (50000, "2019-04-05T15:30 2021-04-08T18:45"),
    ),
    (
        "eurusd_utc_multitf/EURUSD30.csv.gz",
        "UTC",
        "plain EURUSD M30",
        (96, "2021-03-16T00:00 2021-03-17T23:30"),
        (50000, "2017-04-03T15:30 2021-04-08T18:30"),
    ),
    (
        "eurusd_utc_multitf/EURUSD60.csv.gz",
        "UTC",
        "plain EURUSD H1",
        (72, "2021-03-15T00:00 2021-03-17T23:00"),
        (50000, "2013-03-29T10:00 2021-04-08T18:00"),
    ),
    (
        "eurusd_utc_multitf/EURUSD240.csv.gz",
        "UTC",
        "plain EURUSD H4",
        (49, "2021-03-08T00:00 2021-03-17T20:00"),
        (23022, "2007-01-01T00:00 2021-04-08T16:00"),
    ),
    (
        "eurusd_utc_multitf/EURUSD1440.csv.gz",
        "UTC",
        "plain EURUSD D1",
        (64, "2021-01-03T00:00 2021-03-17T00:00"),
        (4465, "2007-01-01T00:00 2021-04-08T00:00"),
    ),
    (
        "xauusd_server_time_multitf/XAUUSD_M1.csv.gz",
        "Europe/Athens",
        "csv XAUUSD M1",
        (2760, "2025-06-01T22:00 2025-06-03T20:59"),
        (20000, "2025-05-15T04:35 2025-06-04T18:24"),
    ),
    (
        "xauusd_server_time_multitf/XAUUSD_H1.csv.gz",
        "Europe/Athens",
        "csv XAUUSD H1",
        (69, "2025-05-29T22:00 2025-06-03T20:00"),
        (20000, "2022-01-17T18:00 2025-06-04T18:00"),
    ),
    (
        "xauusd_server_time_multitf/XAUUSD_D1.csv.gz",
        "Europe/Athens",
        "csv XAUUSD D1",
        (367, "2024-01-01T22:00 2025-06-02T21:00"),
        (5390, "2004-06-10T21:00 2025-06-03T21:00"),
    ),
    (
        "mt5/EURUSD_H1.csv.gz",
        "nyclose",
        "mt5 EURUSD H1",
        (624, "2024-02-29T22:00 2024-04-05T20:00"),
        (7728, "2024-01-01T22:00 2025-03-28T20:00"),
    ),
    (
        "histdata/DAT_ASCII_EURUSD_M1_201701.csv.gz",
        "America/New_York",
        "histdata EURUSD M1",
        (600, "2017-01-02T07:00 2017-01-02T17:05"),
        (31500, "2017-01-02T07:00 2017-02-01T04:58"),
    ),
    (
        "histdata/DAT_ASCII_EURUSD_M1_202306.csv.gz",
        "America/New_York",
        "histdata EURUSD M1",
        (600, "2023-06-01T04:00 2023-06-01T16:59"),
        (16752, "2023-06-01T04:00 2023-06-23T18:58"),
    ),
    (
        "legacy_json/EURUSD_1m.json.gz",
        "UTC",
        "json EURUSD M1",
        (400, "2020-08-27T15:13 2020-08-27T22:06"),
        (50000, "2020-08-27T15:13 2020-10-15T14:59"),
    ),
    (
        "legacy_json/ADA_BTC-1m.json.gz",
        "UTC",
        "json ADA_BTC M1",
        (400, "2018-01-20T04:55 2018-01-20T11:34"),
        (14383, "2018-01-20T04:55 2018-01-30T04:51"),
    ),
    (
        "legacy_json/ETH_BTC-5m.json.gz",
        "UTC",
        "json ETH_BTC M5",
        (240, "2018-01-29T23:55 2018-03-24T09:35"),
        (11523, "2018-01-10T04:55 2018-03-24T09:35"),
    ),
    (
        "binance_json/BTCUSDT_1m.json.gz",
        "UTC",
        "binance BTCUSDT M1",
        (300, "2024-09-04T02:27 2024-09-04T07:26"),
        (1000, "2024-09-04T02:27 2024-09-04T19:06"),
    ),
    (
        "binance_json/BTCUSDT_1d.json.gz",
        "UTC",
        "binance BTCUSDT D1",
        (200, "2021-12-07T00:00 2022-06-24T00:00"),
        (1000, "2021-12-07T00:00 2024-09-01T00:00"),
    ),
    (
        "dukascopy_json/btcusd-m1-bid-2023-02-19-2023-02-20.json.gz",
        "UTC",
        "json btcusd M1",
        (299, "2023-02-19T00:00 2023-02-19T04:58"),
        (1440, "2023-02-19T00:00 2023-02-19T23:59"),
    ),
    (
        "dukascopy_json/btcusd-d1-bid-2022-01-01-2023-02-20.json.gz",
        "UTC",
        "json btcusd D1",
        (299, "2022-01-01T00:00 2022-10-26T00:00"),
        (415, "2022-01-01T00:00 2023-02-19T00:00"),
    ),
]


Extent = tuple[int, str]  # number of rows, first and last time


@pytest.mark.parametrize(("file", "clock", "what", "sample", "whole"), FILES)
def test_broker_file_is_recognised_with_the_right_times(
    shared_data: Path, file: str, clock: str, what: str, sample: Extent, whole: Extent
) -> None:
    count, reach = sample if shared_data == SAMPLES else whole
    options = Options(dry_run=True, clock=clocks.parse(clock))
    report = file_import.load(None, str(shared_data / file), options, now=NOW)
    assert " ".join([str(report.format), *report.symbols, *report.timeframes]) == what
    assert (report.rows, report.rejected, report.warnings) == (count, 0, [])
    assert report.first is not None
    assert report.last is not None
    assert f"{format_instant(report.first)[:16]} {format_instant(report.last)[:16]}" == reach


def test_repeated_timestamps_are_the_only_duplicates(
    shared_data: Path, db: apsw.Connection
) -> None:
    source = str(shared_data / "legacy_json/ETH_BTC-5m.json.gz")
    report = file_import.load(db, source, Options(), now=NOW)
    distinct = 238 if shared_data == SAMPLES else 11_521
    assert (report.inserted, report.duplicates, report.rejected) == (distinct, 2, 0)


def test_server_days_read_back_with_the_dates_of_the_file(
    shared_data: Path, db: apsw.Connection
) -> None:
    athens = clocks.parse("Europe/Athens")
    source = shared_data / "xauusd_server_time_multitf/XAUUSD_D1.csv.gz"
    count, first = (367, "2024-01-02") if shared_data == SAMPLES else (5_390, "2004-06-11")
    assert file_import.load(db, str(source), Options(clock=athens), now=NOW).inserted == count
    gold = symbols.read(db, "XAUUSD")
    days = read.read_candles(db, gold, D1, athens, 0, None, 10_000).candles
    walls = [format_instant(athens.wall(day[0])) for day in days]
    assert (len(walls), walls[0], walls[-1]) == (
        count,
        f"{first}T00:00:00Z",
        "2025-06-03T00:00:00Z" if shared_data == SAMPLES else "2025-06-04T00:00:00Z",
    )
    assert {wall[10:] for wall in walls} == {"T00:00:00Z"}
    assert read.read_candles(db, gold, D1, UTC, 0, None, 10_000).candles == []


@pytest.mark.parametrize(
    ("file", "sample", "whole"),
    [
        (
            "XAUUSD_ticks_20140505_mt5_layout.csv.gz",
            (2_963, 0, 1399277102389),
            (59_999, 52, 1399277102507),
        ),
        (
            "oanda_XAUUSD_ticks_201405_first300k.csv.gz",
            (5_000, 1, 1398906900234),
            (300_000, 119, 1399041624421),
        ),
    ],
)
def test_broker_ticks_are_stored_once(
    db: apsw.Connection,
    shared_data: Path,
    file: str,
    sample: tuple[int, int, int],
    whole: tuple[int, int, int],
) -> None:
    rows, repeated, newest = sample if shared_data == SAMPLES else whole
    source = str(shared_data / "ticks" / file)
    report = file_import.load(db, source, Options(symbol="XAUUSD"), now=NOW)
    assert (report.rows, report.duplicates, report.rejected) == (rows, repeated, 0)
    assert report.as_json()["last"] == {"XAUUSD": newest}
    again = file_import.load(db, source, Options(symbol="XAUUSD"), now=NOW)
    assert (again.duplicates, again.has_changed, again.change) == (rows, False, report.change)
