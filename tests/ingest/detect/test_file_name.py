"""Tests of gfil/ingest/detect/file_name.py: symbol and timeframe in file names."""

import pytest

from gfil.ingest.detect import file_name
from gfil.timeframes import D1, H1, M1, Timeframe


@pytest.mark.parametrize(
    ("name", "symbol", "timeframe"),
    [
        ("XAUUSD_1m.json", "XAUUSD", "M1"),
        ("ETH_BTC-5m.json", "ETH_BTC", "M5"),
        ("EURUSD1440.csv", "EURUSD", "D1"),
        ("EURUSD1.csv.gz", "EURUSD", "M1"),
        ("EURUSD15.csv", "EURUSD", "M15"),
        ("EURUSD60.csv", "EURUSD", "H1"),
        ("EURUSD240.csv", "EURUSD", "H4"),
        ("EURUSD10080.csv", "EURUSD", "W1"),
        ("EURUSD43200.csv", "EURUSD", "MN1"),
        ("US3015.csv", "US30", "M15"),
        ("EURUSDM15.csv", "EURUSD", "M15"),
        ("XAUUSD_M1_202501020000_202506302359.csv", "XAUUSD", "M1"),
        ("EURUSD.r_H4_20240102.csv", "EURUSD.r", "H4"),
        ("EURUSD_Daily_200401010000_202401010000.csv", "EURUSD", "D1"),
        ("EURUSD_Weekly.csv", "EURUSD", "W1"),
        ("EURUSD_Monthly.csv", "EURUSD", "MN1"),
        ("DAT_ASCII_EURUSD_M1_201701.csv", "EURUSD", "M1"),
        ("DAT_MT_XAUUSD_M1_2013.csv", "XAUUSD", "M1"),
        ("btcusd-m1-bid-2023-02-19-2023-02-20.json.gz", "btcusd", "M1"),
        ("btcusd-d1-bid-2022-01-01-2023-02-20.json", "btcusd", "D1"),
        ("eurusd-mn1-bid-2022.csv", "eurusd", "MN1"),
        ("frxEURUSD_M1_2017_2019.csv", "frxEURUSD", "M1"),
        ("BTCUSDT-1m-2024-01.csv", "BTCUSDT", "M1"),
        ("BTCUSDT_4h.json", "BTCUSDT", "H4"),
        ("BTCUSDT_1d.json", "BTCUSDT", "D1"),
        ("BTCUSDT_1w.json", "BTCUSDT", "W1"),
        ("BTCUSDT_1M.json", "BTCUSDT", "MN1"),
        ("FX_EURUSD, 60.csv", "FX_EURUSD", "H1"),
        ("EURUSD_Candlestick_1_M_BID_01.01.2017-31.01.2017.csv", "EURUSD", "M1"),
        ("EURUSD_Candlestick_4_Hour_BID_01.01.2017-31.01.2017.csv", "EURUSD", "H4"),
        ("EURUSD_Candlestick_1_D_BID_01.01.2017-31.01.2017.csv", "EURUSD", "D1"),
        ("GOLD_D_H1.csv", "GOLD_D", "H1"),
        ("/some/folder_M5/ABC_H1.TXT", "ABC", "H1"),
    ],
)
def test_file_name_holds_symbol_and_timeframe(name: str, symbol: str, timeframe: str) -> None:
    found = file_name.read_hint(name)
    assert (found.symbol, found.timeframe and found.timeframe.name) == (symbol, timeframe)


@pytest.mark.parametrize(
    "name",
    [
        *("-", "data.csv", "EURUSD.csv", "EURUSD_2024.csv", "EURUSD-2024-01-15.csv", "M1.csv"),
        *(
            "prices_2024_05_30.json",
            "1440.csv",
            "",
            "data1.csv",
            "EURUSD_7m.csv",
            "mt5_example.csv",
        ),
    ],
)
def test_other_file_name_yields_no_hint(name: str) -> None:
    assert file_name.read_hint(name) == (None, None)


@pytest.mark.parametrize(
    ("name", "known", "symbol"),
    [
        ("US30.csv", M1, None),  # the index, or M30 of US?
        ("US305.csv", H1, None),
        ("EURUSD1440.csv", M1, "EURUSD"),
        ("EURUSD1440.csv", D1, "EURUSD"),
        ("EURUSD_D1.csv", M1, "EURUSD"),
    ],
)
def test_digits_belong_to_the_symbol_if_the_timeframe_is_known(
    name: str, known: Timeframe, symbol: str | None
) -> None:
    assert file_name.read_hint(name, known).symbol == symbol


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("XAUUSD_ticks_20140505_mt5_layout.csv.gz", "XAUUSD"),
        ("EURUSD_ticks.ndjson", "EURUSD"),
        ("eurusd-tick-2023-01-01-2023-01-02.csv", "eurusd"),
        ("ETH_BTC_ticks.json", "ETH_BTC"),
        ("EURUSD_Ticks_01.01.2017-31.01.2017.csv", "EURUSD"),
        ("XAUUSD_202405010100_202405312357.csv", "XAUUSD"),
        *(("ticks.csv", None), ("XAUUSD.csv", None), ("-", None), ("tickers_2024.csv", None)),
    ],
)
def test_name_of_a_tick_file_holds_the_symbol(name: str, symbol: str | None) -> None:
    assert file_name.read_tick_hint(name) == symbol
