"""Tests of gfil/ingest/formats: every dialect is recognised and its first row is read."""

from pathlib import Path

import pytest

from gfil.errors import BadParameter
from gfil.ingest import formats
from gfil.ingest.formats import UnknownFormat
from tests.ingest.reading import read_rows

SAMPLES = Path(__file__).parent.parent / "data"
MARCH = 1709251200  # 2024-03-01 00:00


def first(seconds: int, *values: float, zoned: bool = False, row: int = 1) -> tuple[object, ...]:
    return (row, seconds, zoned, *(values or (1.1, 1.12, 1.09, 1.11, 50)), "", "")


FIRST_ROWS = [
    ("TESTFX_H1_mt5.csv", "mt5", 3, first(MARCH, 1.1, 1.12, 1.09, 1.11, 167, row=2)),
    ("TESTFX_H1_utf16.csv", "mt5", 3, first(MARCH, 1.1, 1.12, 1.09, 1.11, 167, row=2)),
    ("TESTFX_Daily_mt5.csv", "mt5", 3, first(MARCH + 3 * 86400, 1.1, 1.12, 1.09, 1.11, 167, row=2)),
    ("TESTFX1.csv", "mt4", 3, first(MARCH + 62400, 1.1, 1.12, 1.09, 1.11, 14)),
    (
        "DAT_ASCII_TESTFX_M1_202403.csv",
        "histdata",
        3,
        first(MARCH + 7200, 1.1, 1.12, 1.09, 1.11, 0),
    ),
    ("TESTFX_M5_header.csv", "csv", 3, first(MARCH, 1.1, 1.12, 1.09, 1.11, 5, row=2)),
    ("TESTFX_M5_packed.csv.gz", "csv", 3, first(MARCH, 1.1, 1.12, 1.09, 1.11, 5, row=2)),
    (
        "TESTFX_Candlestick_1_M_BID_01.03.2024-01.03.2024.csv",
        "dukascopy",
        3,
        first(MARCH, 1.1, 1.12, 1.09, 1.11, 2.1672, row=2),
    ),
    ("TESTFX15.csv", "plain", 3, first(MARCH)),
    ("TESTUSDT-1m-2024-03.csv", "binance", 3, first(MARCH, 61130.98, 61300, 61000.1, 61200, 12.5)),
    ("TESTUSDT_1m.json", "binance", 2, first(MARCH, 61130.98, 61300, 61000.1, 61200, 12.5, row=0)),
    ("TESTFX_1m.json", "json", 2, first(MARCH, row=0)),
    (
        "TST_BTC-5m.json",
        "json",
        2,
        first(MARCH + 17700, 0.0984, 0.0994, 0.0982, 0.0991, 1820.5, row=0),
    ),
    (
        "testusd-d1-bid-2024-03-01-2024-03-03.json",
        "json",
        2,
        first(MARCH, 61130, 61300.5, 61000, 61200, 0, row=0),
    ),
    ("candles.json", "json", 2, first(MARCH, row=0)),
    ("TESTFX_H1_udf.json", "udf", 2, first(MARCH, row=0)),
    ("TESTFX_M1.ndjson", "ndjson", 2, first(MARCH)),
]


@pytest.mark.parametrize(("file", "name", "count", "row"), FIRST_ROWS)
def test_each_dialect_is_recognised_and_read(
    file: str, name: str, count: int, row: tuple[object, ...]
) -> None:
    data = (SAMPLES / file).read_bytes()
    rows, refused = read_rows(data)
    assert (rows[0], len(rows), refused) == (row, count, [])
    assert read_rows(data, announced=name) == (rows, [])


@pytest.mark.parametrize(("file", "name"), [(file, name) for file, name, _, _ in FIRST_ROWS])
def test_family_can_be_announced(file: str, name: str) -> None:
    data = (SAMPLES / file).read_bytes()
    family = "json" if data.lstrip()[:1] in (b"[", b"{") else "csv"
    assert read_rows(data, announced=family)[1] == []
    with pytest.raises(UnknownFormat, match=f"not {'csv' if family == 'json' else 'json'}"):
        read_rows(data, announced="csv" if family == "json" else "json")


def test_rows_carry_symbol_and_timeframe_columns() -> None:
    rows, _ = read_rows((SAMPLES / "two_symbols.csv").read_bytes())
    assert [row[-2:] for row in rows] == [("TESTFX", "M1"), ("TESTAU", "M1")] * 2


@pytest.mark.parametrize(
    ("data", "name", "count"),
    [
        (b"[]", "json", 0),
        (b'{"candles":[]}', "json", 0),
        (b'{"s":"no_data"}', "udf", 0),
        (b"time,open,high,low,close\n", "csv", 0),
        (b"\n\n time , open , high , low , close \n\n1,1,1,1,1\n", "csv", 1),
        (b"\xef\xbb\xbfdate;o;h;l;c\n2024-01-01;1;2;0.5;1\n", "csv", 1),
        (b"Date,Time,Open,High,Low,Close\n2024-01-01,10:00,1,2,0.5,1\n", "csv", 1),
        (b"Date,Timestamp,Open,High,Low,Close\n2024-01-01,1704067200,1,2,0.5,1\n", "csv", 1),
        (b"open time,open,high,low,close\n1704067200000,1,2,0.5,1\n", "csv", 1),
        (b"garbage\n2024-01-01,1,2,0.5,1,7\n", "plain", 1),
        (b"2024-01-01 00:00,1,2,0.5,1,7,3,0\n", "plain", 1),
        (b"20240101,1,2,0.5,1\n", "plain", 1),
        (b"<DATE> <TIME> <OPEN> <HIGH> <LOW> <CLOSE>\n2024.01.01 00:00 1 2 0.5 1\n", "mt5", 1),
        (b"[1704067200,1,2,0.5,1,7]\n[1704067260,1,2,0.5,1,7]\n", "ndjson", 2),
        (b"[1704067200,1,2,0.5,1,7]", "ndjson", 1),
        (b"[[1704067200,1,2,0.5,1,7]]\0", "json", 1),
        (b'{"time":1704067200,"open":1,"high":2,"low":0.5,"close":1}', "ndjson", 1),
    ],
)
def test_unusual_variants_are_recognised(data: bytes, name: str, count: int) -> None:
    rows, refused = read_rows(data, announced=name)
    assert len(rows) == count
    assert [row for row, _, _ in refused] == ([1] if data.startswith(b"garbage") else [])


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "the input is empty"),
        (b"\n \n\0", "the input is empty"),
        (b"hello world\n", "unknown format: the input begins with 'hello world'"),
        (b"Datum;Zeit;Auf;Hoch;Tief;Zu\n2024-01-01;00:00;1;2;0,5;1\n", "unknown format"),
        (b"2024.01.01 00:00,1,105,1,110,1,100,1,107\n", "unknown format"),  # decimal commas
        (b"2024-01-01,1,2\n", "unknown format"),
        (b"[1,2,3]", "unknown format"),
        (b'["a","b"]', "unknown format"),
        (b'[{"name":"x"}]', "unknown format"),
        (b'{"name":"x","version":1}', "unknown format"),
        (b'{"data":[{"t":1}]}', "unknown format"),
        (b"SQLite format 3\0\x10\0\x01\x01", "unknown format"),
        (b"\x89PNG\r\n\x1a\n", "unknown format"),
        (b"\x1f\x8b\x08\x00broken", "the input is empty"),
    ],
)
def test_unknown_content_is_refused_in_one_sentence(data: bytes, line: str) -> None:
    with pytest.raises(UnknownFormat) as refused:
        read_rows(data)
    assert refused.value.detail.startswith(line)


def test_hint_at_columns_is_for_lines_only() -> None:
    with pytest.raises(UnknownFormat, match=r"; columns can name its cells$"):
        read_rows(b"hello\n")
    with pytest.raises(UnknownFormat, match=r"begins with '\[1,2\]'$"):
        read_rows(b"[1,2]")


@pytest.mark.parametrize("name", ["mt5", "histdata", "binance", "udf", "ticks"])
def test_other_format_than_announced_is_refused(name: str) -> None:
    with pytest.raises(UnknownFormat, match=f"^not {name}: the input begins with"):
        read_rows((SAMPLES / "TESTFX15.csv").read_bytes(), announced=name)


def test_format_names_are_listed() -> None:
    assert (
        *("binance", "csv", "dukascopy", "histdata", "json", "mt4", "mt5", "ndjson", "plain"),
        *("ticks", "udf"),
    ) == formats.NAMES
    assert formats.check_name("MT5") == "mt5"
    with pytest.raises(BadParameter, match="unknown format 'xls': use one of binance csv"):
        formats.check_name("xls")


class TestStatedColumns:
    CLOSE_SECOND = ("time", "open", "close", "high", "low", "volume")

    def test_columns_override_the_default_order(self) -> None:
        rows, _ = read_rows(b"2024-03-01,1,3,4,0.5,9\n", columns=self.CLOSE_SECOND)
        assert rows == [first(MARCH, 1, 4, 0.5, 3, 9)]

    def test_columns_override_a_header(self) -> None:
        data = b"time,open,high,low,close,volume\n2024-03-01,1,3,4,0.5,9\n"
        rows, refused = read_rows(data, columns=self.CLOSE_SECOND)
        assert (rows, refused) == ([first(MARCH, 1, 4, 0.5, 3, 9, row=2)], [])

    def test_columns_replace_an_unknown_header(self) -> None:
        data = b"Datum;Auf;Hoch;Tief;Zu;Menge;Art\n2024-03-01;1;4;0.5;3;9;x\n"
        names = ("time", "open", "high", "low", "close", "volume")
        assert read_rows(data, columns=names)[0] == [first(MARCH, 1, 4, 0.5, 3, 9, row=2)]

    def test_columns_skip_cells_and_split_date_and_time(self) -> None:
        names = ("symbol", "_", "date", "time", "open", "high", "low", "close")
        rows, _ = read_rows(b"X,?,2024.03.01,00:01,1,4,0.5,3\n", columns=names)
        assert rows == [(1, MARCH + 60, False, 1, 4, 0.5, 3, 0, "X", "")]

    def test_columns_apply_to_arrays(self) -> None:
        rows, _ = read_rows(b"[[1709251200,1,3,4,0.5,9]]", columns=self.CLOSE_SECOND)
        assert rows == [first(MARCH, 1, 4, 0.5, 3, 9, row=0)]
        rows, _ = read_rows(b"[1709251200,1,3,4,0.5,9]\n", columns=self.CLOSE_SECOND)
        assert rows == [first(MARCH, 1, 4, 0.5, 3, 9)]

    def test_columns_for_objects_are_refused(self) -> None:
        with pytest.raises(BadParameter, match="these rows are objects"):
            read_rows((SAMPLES / "TESTFX_1m.json").read_bytes(), columns=self.CLOSE_SECOND)

    def test_rows_that_do_not_match_the_columns_are_refused(self) -> None:
        with pytest.raises(UnknownFormat):
            read_rows(b"2024-03-01,1,3\n", columns=self.CLOSE_SECOND)
