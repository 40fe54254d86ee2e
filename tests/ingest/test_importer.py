"""Tests of gfil/ingest/importer.py: bytes to stored candles, and the report."""

import random
from pathlib import Path
from typing import Any

import apsw
import pytest

from gfil import clocks, timeframes
from gfil.clocks import UTC
from gfil.errors import BadParameter, GfilError, Refused
from gfil.ingest import importer
from gfil.ingest.options import Options
from gfil.ingest.report import Report
from gfil.store import symbols
from gfil.store.candles import read
from gfil.store.engine import connection
from gfil.store.symbols import BadSymbol, SymbolCase
from gfil.timeframes import D1, H1, M1

START = 1709251200  # 2024-03-01 00:00
NOW = START + 400 * 86400
HEADER = b"time,open,high,low,close,volume\n"


def minutes(count: int, first: int = 0, step: int = 60) -> list[bytes]:
    seed = random.Random(11)
    lines = []
    for number in range(first, first + count):
        low, high = sorted((seed.randrange(10_000, 20_000), seed.randrange(10_000, 20_000)))
        opened, closed = seed.randint(low, high), seed.randint(low, high)
        prices = b"%d.%02d,%d.%02d,%d.%02d,%d.%02d" % tuple(
            part for price in (opened, high, low, closed) for part in divmod(price, 100)
        )
        lines.append(b"%d,%s,%d\n" % (START + step * number, prices, 1 + number % 50))
    return lines


def load(
    db: apsw.Connection | None, data: bytes, name: str = "EURUSD_M1.csv", **options: Any
) -> Report:
    chunks = (data[at : at + 65536] for at in range(0, len(data), 65536))
    report = importer.load(db, chunks, Options(**options), now=NOW, name=name)
    counts = report.counts()
    assert counts.pop("rows") == sum(counts.values())
    return report


def contents(db: apsw.Connection) -> list[Any]:
    return db.execute("SELECT * FROM candle ORDER BY series, time, extra_s").fetchall()


def names_and_counts(db: apsw.Connection) -> dict[str, int]:
    return {
        symbol.name: len(read.read_candles(db, symbol, M1, UTC, limit=10_000).candles)
        for symbol in symbols.list_symbols(db)
    }


def test_rows_are_stored_and_counted(db: apsw.Connection) -> None:
    data = HEADER + b"".join(minutes(3))
    report = load(db, data)
    assert report.as_json() == {
        "file": "EURUSD_M1.csv",
        "format": "csv",
        "symbol": "EURUSD",
        "tf": "M1",
        "clock": "UTC",
        "rows": 3,
        "inserted": 3,
        "updated": 0,
        "unchanged": 0,
        "kept": 0,
        "duplicates": 0,
        "rejected": 0,
        "reasons": {},
        "errors": [],
        "warnings": [
            "EURUSD M1: 1 day older than the retention, 2024-03-01 to 2024-03-01: "
            "kept as imported until `gfil prune --imported`"
        ],
        "from": START,
        "to": START + 120,
        "change": 1,
    }
    again = load(db, data)
    assert again.counts() == {**report.counts(), "inserted": 0, "unchanged": 3}
    assert (again.change, again.has_changed, connection.read_state(db)[1]) == (1, False, 1)


def test_bad_rows_are_reported_and_good_rows_stored(db: apsw.Connection) -> None:
    lines = minutes(6)
    lines[1] = b"1709251260,1,2,3,4\n"
    lines[3] = b"1709251380,1,2,1.5,1.8,7\n"
    lines[4] = b"yesterday,1,2,0.5,1,7\n"
    report = load(db, HEADER + b"".join(lines))
    assert (report.inserted, report.rejected) == (3, 3)
    assert report.as_json()["reasons"] == {"missing_field": 1, "bad_time": 1, "low_high": 1}
    assert report.as_json()["errors"] == [
        {"row": 3, "reason": "missing_field", "text": "1709251260,1,2,3,4"},
        {"row": 5, "reason": "low_high", "text": "1709251380,1,2,1.5,1.8,7"},
        {"row": 6, "reason": "bad_time", "text": "yesterday,1,2,0.5,1,7"},
    ]


def test_report_lists_the_first_hundred_refused_rows_and_counts_all(
    db: apsw.Connection,
) -> None:
    report = load(db, HEADER + b"".join(minutes(2)) + b"oops," * 80 + b"\n" + b"x\n" * 250)
    assert (report.rows, report.rejected, report.reasons["missing_field"]) == (253, 251, 251)
    assert len(report.errors) == 100
    assert report.errors[0] == {"row": 4, "reason": "missing_field", "text": ("oops," * 80)[:200]}


def test_abort_stores_nothing_if_a_row_is_refused(db: apsw.Connection) -> None:
    with pytest.raises(Refused) as refused:
        load(db, HEADER + b"".join(minutes(2)) + b"oops\n", abort=True)
    assert refused.value.detail == (
        "1 row is refused, the first is row 4 (missing_field): nothing of 3 rows was stored"
    )
    report = refused.value.report
    assert (report["rows"], report["rejected"], report["inserted"]) == (3, 3, 0)
    assert report["reasons"] == {"missing_field": 1}
    assert (contents(db), connection.read_state(db)[1]) == ([], 0)
    assert load(db, HEADER + b"".join(minutes(2)), abort=True).inserted == 2


def test_fill_keeps_stored_candles(db: apsw.Connection) -> None:
    lines = minutes(4)
    load(db, HEADER + b"".join(lines[:2]))
    lines[0] = lines[0].replace(b",1\n", b",9\n")
    report = load(db, HEADER + b"".join(lines), fill=True)
    assert report.counts() == {
        "rows": 4,
        "inserted": 2,
        "updated": 0,
        "unchanged": 1,
        "kept": 1,
        "duplicates": 0,
        "rejected": 0,
    }


def test_larger_volume_wins_a_bucket(db: apsw.Connection) -> None:
    lines = [b"1709251200,1,2,0.5,1,7\n", b"1709251230,1,3,0.5,1,8\n", b"1709251259,1,4,0.5,1,8\n"]
    report = load(db, HEADER + b"".join(lines))
    assert (report.inserted, report.duplicates) == (1, 2)
    assert contents(db)[0][4:5] == (4.0,)


class TestDryRun:
    def test_dry_run_reports_the_format_and_stores_nothing(self, db: apsw.Connection) -> None:
        load(db, HEADER + b"".join(minutes(1)))
        before = contents(db), connection.read_state(db)
        data = HEADER + b"".join(minutes(3)) + b"oops\n"
        report = load(db, data, dry_run=True, clock=clocks.parse("+00:00")).as_json()
        assert (contents(db), connection.read_state(db)) == before
        assert {name: report[name] for name in ("inserted", "unchanged", "rejected")} == {
            "inserted": 2,
            "unchanged": 1,
            "rejected": 1,
        }
        assert {name: report[name] for name in list(report)[-7:]} == {
            "dry_run": True,
            "encoding": "UTF-8",
            "gzip": False,
            "columns": ["time", "open", "high", "low", "close", "volume"],
            "spacing": "1 minute",
            "first": {"utc": "2024-03-01 00:00", "clock": "2024-03-01 00:00"},
            "last": {"utc": "2024-03-01 00:02", "clock": "2024-03-01 00:02"},
        }

    def test_dry_run_creates_no_symbol(self, db: apsw.Connection) -> None:
        load(db, HEADER + b"".join(minutes(3)), dry_run=True)
        assert symbols.list_symbols(db) == []

    def test_dry_run_needs_no_database(self) -> None:
        data = HEADER + b"".join(minutes(3)) + minutes(1)[0]
        report = load(None, data, dry_run=True, clock=clocks.parse("Europe/Athens"))
        assert (report.inserted, report.duplicates) == (3, 1)
        assert report.recognised["last"] == {"utc": "2024-02-29 22:02", "clock": "2024-03-01 00:02"}

    def test_file_without_rows_has_no_first_and_last(self) -> None:
        report = load(None, HEADER, dry_run=True)
        assert (report.rows, report.recognised["first"], report.recognised["spacing"]) == (
            0,
            None,
            None,
        )


class TestSymbolAndTimeframe:
    ROWS = HEADER + b"".join(minutes(3))

    def test_options_override_the_file_name(self, db: apsw.Connection) -> None:
        report = load(db, self.ROWS, symbol="Gold", timeframe=M1, name="EURUSD_H1.csv")
        assert (report.symbols, report.timeframes) == (["Gold"], ["M1"])

    def test_columns_override_options(self, db: apsw.Connection) -> None:
        data = (
            b"symbol,tf,time,open,high,low,close\n"
            b"EURUSD,M1,1709251200,1,2,0.5,1\n"
            b"XAUUSD,1h,1709251200,1,2,0.5,1\n"
            b",,1709251260,1,2,0.5,1\n"
        )
        report = load(db, data, name="-", symbol="Other", timeframe=M1)
        assert names_and_counts(db) == {"EURUSD": 1, "Other": 1, "XAUUSD": 0}
        assert report.as_json()["symbols"] == ["EURUSD", "Other", "XAUUSD"]
        assert (report.as_json()["symbol"], report.as_json()["tf"]) == (None, None)

    def test_json_head_names_symbol_and_timeframe(self, db: apsw.Connection) -> None:
        data = b'{"symbol":"EURUSD","tf":"M1","candles":[[1709251200,1,2,0.5,1,7]]}'
        assert load(db, data, name="-").inserted == 1
        assert load(db, data, name="-", symbol="Other").symbols == ["Other"]

    @pytest.mark.parametrize(
        ("data", "options", "line"),
        [
            (
                ROWS,
                {},
                "the timeframe is unknown: name it with tf; "
                "rows are 1 minute apart, like those of M1",
            ),
            (HEADER + b"".join(minutes(1)), {}, "the timeframe is unknown: name it with tf"),
            (ROWS, {"timeframe": M1}, "the symbol is unknown: name it with symbol"),
        ],
    )
    def test_missing_symbol_or_timeframe_is_an_error(
        self, db: apsw.Connection, data: bytes, options: dict[str, Any], line: str
    ) -> None:
        with pytest.raises(BadParameter) as refused:
            load(db, data, name="-", **options)
        assert refused.value.detail == line

    def test_rows_of_a_bad_symbol_are_refused(self, db: apsw.Connection) -> None:
        data = (
            b"symbol,time,open,high,low,close\n"
            b"EURUSD,1709251200,1,2,0.5,1\n"
            b"EUR/USD,1709251200,1,2,0.5,1\n"
            b"eurusd,1709251200,1,2,0.5,1\n"
            b"xauusd,1709251200,1,2,0.5,1\n"
            b",1709251200,1,2,0.5,1\n"
        )
        with connection.transaction(db):
            symbols.ensure(db, "XAUUSD")
        report = load(db, data, name="-", timeframe=M1)
        assert report.reasons == {"bad_symbol": 1, "symbol_case": 2, "missing_field": 1}
        assert [error["row"] for error in report.as_json()["errors"]] == [3, 4, 5, 6]

    def test_bad_symbol_option_refuses_the_file(self, db: apsw.Connection) -> None:
        load(db, self.ROWS)
        with pytest.raises(
            SymbolCase, match="'eurusd' differs only in case from the known 'EURUSD'"
        ):
            load(db, self.ROWS, symbol="eurusd")
        with pytest.raises(BadSymbol):
            load(db, self.ROWS, symbol="EUR/USD")

    def test_rows_of_an_unknown_timeframe_are_refused(self, db: apsw.Connection) -> None:
        data = b"tf,time,open,high,low,close\nM7,1709251200,1,2,0.5,1\nM1,1709251200,1,2,0.5,1\n"
        report = load(db, data, name="-", symbol="EURUSD")
        assert (report.inserted, report.as_json()["reasons"]) == (1, {"missing_field": 1})


class TestContradictingTimeframe:
    DAYS = HEADER + b"".join(minutes(5, step=86400))

    @pytest.mark.parametrize(
        ("name", "options", "line"),
        [
            ("EURUSD1440.csv", {"timeframe": M1}, "rows are 1 day apart; tf says M1"),
            ("EURUSD_M1.csv", {}, "rows are 1 day apart; the file name says M1"),
            ("-", {"symbol": "A", "timeframe": H1}, "rows are 1 day apart; tf says H1"),
        ],
    )
    def test_contradicting_timeframe_refuses_the_file(
        self, db: apsw.Connection, name: str, options: dict[str, Any], line: str
    ) -> None:
        with pytest.raises(Refused) as refused:
            load(db, self.DAYS, name, **options)
        assert (refused.value.detail, contents(db)) == (line, [])

    def test_contradicting_timeframe_can_be_forced(self, db: apsw.Connection) -> None:
        assert load(db, self.DAYS, timeframe=M1, force_timeframe=True).inserted == 5

    def test_matching_timeframe_is_accepted(self, db: apsw.Connection) -> None:
        assert load(db, self.DAYS, "EURUSD1440.csv", timeframe=D1).inserted == 5

    def test_two_rows_never_contradict_a_timeframe(self, db: apsw.Connection) -> None:
        assert load(db, HEADER + b"".join(minutes(2, step=3600))).inserted == 2

    def test_error_after_stored_batches_counts_their_rows(self, db: apsw.Connection) -> None:
        lines = [b"A," + line for line in minutes(20_000)]
        lines += [b"B," + line for line in minutes(5, step=3600)]
        with pytest.raises(
            Refused, match=r"^rows are 1 hour apart; tf says M1; [\d,]+ rows before"
        ):
            load(db, b"symbol," + HEADER + b"".join(lines), name="-", timeframe=M1)


def test_future_rows_are_refused(db: apsw.Connection) -> None:
    data = HEADER + b"%d,1,2,0.5,1,7\n%d,1,2,0.5,1,7\n" % (NOW // 60 * 60, NOW // 60 * 60 + 10800)
    report = load(db, data)
    assert (report.inserted, report.rejected) == (1, 1)
    assert report.errors[0]["text"].startswith("starts 3 h ahead: broker time sent as UTC? 17")


def test_truncated_json_keeps_the_rows_before(db: apsw.Connection) -> None:
    data = b'[{"t":1709251200,"o":1,"h":2,"l":0.5,"c":1},{"t":1709251260,"o":1,"h":2'
    report = load(db, data, name="EURUSD_M1.json")
    assert (report.inserted, report.reasons) == (1, {"truncated": 1})
    assert report.errors == [
        {"row": 1, "reason": "truncated", "text": '{"t":1709251260,"o":1,"h":2'}
    ]


def test_data_after_the_array_is_warned_of(db: apsw.Connection) -> None:
    data = b'[{"t":1709251200,"o":1,"h":2,"l":0.5,"c":1}][]'
    assert load(db, data, name="EURUSD_M1.json").warnings == ["data after the array is ignored"]


@pytest.mark.parametrize("data", [b"", b"hello\n", b"time_msc,bid,ask\n1709251200000,1,2\n"])
def test_unknown_content_leaves_the_database_unchanged(db: apsw.Connection, data: bytes) -> None:
    with pytest.raises(GfilError):
        load(db, data)
    assert (symbols.list_symbols(db), connection.read_state(db)[1]) == ([], 0)


def test_lone_surrogate_in_a_refused_row_is_reported(db: apsw.Connection) -> None:
    data = b'[{"t":1709251200,"o":1,"h":2,"l":0.5,"c":NaN,"x":"\\ud800"}]'
    report = load(db, data, name="EURUSD_M1.json")
    assert report.errors[0]["text"].encode() != b""


@pytest.mark.parametrize("how", ["whole", "halves", "backwards", "shuffled", "twice", "json"])
def test_result_does_not_depend_on_order_and_format(
    db_path: Path, tmp_path: Path, how: str
) -> None:
    lines = minutes(3000)
    orders = {
        "whole": [lines],
        "halves": [lines[1500:], lines[:1500]],
        "backwards": [lines[::-1]],
        "shuffled": [random.Random(5).sample(lines, len(lines))],
        "twice": [lines, lines],
        "json": [[b"[" + b",".join(b"[%s]" % line.strip() for line in lines) + b"]"]],
    }
    path = tmp_path / "whole.db"
    connection.create(path)
    whole, other = connection.connect(path), connection.connect(db_path)
    load(whole, HEADER + b"".join(lines))
    for part in orders[how]:
        head = b"" if how == "json" else HEADER
        assert load(other, head + b"".join(part)).rejected == 0
    assert contents(other) == contents(whole)


def test_batches_of_a_large_file_give_the_result_of_one(db: apsw.Connection) -> None:
    lines = minutes(50_000)
    report = load(db, HEADER + b"".join(lines))
    assert (report.inserted, report.rows) == (50_000, 50_000)
    assert report.change > 2
    assert load(db, HEADER + b"".join(lines)).unchanged == 50_000
    symbol, page = symbols.read(db, "EURUSD"), {}
    for tf in ("M5", "H1", "D1"):
        page[tf] = read.read_candles(db, symbol, timeframes.parse(tf), UTC, limit=10_000).candles
    assert sum(candle[5] for candle in page["D1"]) == sum(1 + n % 50 for n in range(50_000))
    assert len(page["M5"]) == 10_000
