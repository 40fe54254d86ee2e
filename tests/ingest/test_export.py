"""Tests of gfil/ingest/export.py: exported candles import back to the same."""

import itertools
import sys
from pathlib import Path
from typing import Any

import apsw
import orjson
import pytest

from gfil import clocks, timeframes
from gfil.clocks import UTC, Clock
from gfil.errors import BadParameter, Conflict, SymbolUnknown
from gfil.ingest import export, importer
from gfil.ingest.export import Series
from gfil.ingest.options import Options
from gfil.store import symbol_settings, symbols
from gfil.store.candles import read as candle_read
from gfil.store.candles import write
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection
from gfil.timeframes import D1, H1, M1, Timeframe

START = 1709251200
ATHENS = clocks.parse("Europe/Athens")
ODD = [0.1 + 0.2, 1e-5, 1 / 3, 123456789.123, 5.0]


def put(
    db: apsw.Connection,
    times: list[int],
    tf: Timeframe = M1,
    clock: Clock = UTC,
    name: str = "EURUSD",
) -> symbols.Symbol:
    with connection.transaction(db):
        symbol = symbols.ensure(db, name)
        buckets = [clock.bucket(tf, time) for time in times]
        prices = [ODD[place % len(ODD)] for place in range(len(times))]
        rows = CandleColumns(
            [bucket.start for bucket in buckets],
            [bucket.stop - bucket.start - tf.seconds for bucket in buckets],
            prices,
            [2 * price for price in prices],
            [-price for price in prices],
            prices,
            [float(place % 7) or 0.25 for place in range(len(times))],
        )
        write.write_candles(db, symbol, tf, rows, clock=clock)
    return symbol


def text(db: apsw.Connection, series: Series, form: str) -> str:
    return b"".join(export.stream(db, series, form)).decode()


def read(db: apsw.Connection, series: Series) -> list[Any]:
    page = candle_read.read_candles(
        db, series.symbol, series.timeframe, series.clock, series.start, series.stop, 100_000
    )
    return page.candles


def test_csv_has_a_header_and_exact_numbers(db: apsw.Connection) -> None:
    symbol = put(db, [START, START + 60])
    assert text(db, Series(symbol, M1, UTC), "csv") == (
        "time,open,high,low,close,volume\n"
        "2024-03-01T00:00:00Z,0.30000000000000004,0.6000000000000001,-0.30000000000000004,"
        "0.30000000000000004,0.25\n"
        "2024-03-01T00:01:00Z,1e-05,2e-05,-1e-05,1e-05,1\n"
    )


def test_ndjson_names_symbol_and_timeframe_on_every_line(db: apsw.Connection) -> None:
    symbol = put(db, [START])
    line = text(db, Series(symbol, H1, UTC), "ndjson")
    assert orjson.loads(line) == {
        "symbol": "EURUSD",
        "tf": "H1",
        "time": "2024-03-01T00:00:00Z",
        "open": 0.1 + 0.2,
        "high": 0.6000000000000001,
        "low": -0.1 - 0.2,
        "close": 0.1 + 0.2,
        "volume": 0.25,
    }


def test_json_is_one_object(db: apsw.Connection) -> None:
    symbol = put(db, [START, START + 86400], D1, ATHENS)
    found = orjson.loads(text(db, Series(symbol, D1, ATHENS), "json"))
    values = found.pop("candles")
    assert found == {"symbol": "EURUSD", "tf": "D1", "clock": "Europe/Athens"}
    assert [value[0] for value in values] == ["2024-02-29T22:00:00Z", "2024-03-01T22:00:00Z"]
    assert values[1][1:] == [1e-5, 2e-5, -1e-5, 1e-5, 1]


@pytest.mark.parametrize(
    ("form", "empty"),
    [
        ("csv", "time,open,high,low,close,volume\n"),
        ("ndjson", ""),
        ("json", '{"symbol":"EURUSD","tf":"M1","clock":"UTC","candles":[\n\n]}\n'),
    ],
)
def test_empty_range_is_an_empty_file(db: apsw.Connection, form: str, empty: str) -> None:
    symbol = put(db, [START])
    assert text(db, Series(symbol, M1, UTC, START + 60), form) == empty
    assert text(db, Series(symbol, M1, UTC, 0, START), form) == empty


@pytest.mark.parametrize("form", ["csv", "ndjson", "json"])
def test_range_is_half_open_and_pages_join(
    db: apsw.Connection, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    symbol = put(db, [START + 60 * minute for minute in range(100)])
    whole = text(db, Series(symbol, M1, UTC, START + 60, START + 5940), form)
    for rows in (1, 7, 98, 99):
        monkeypatch.setattr(export, "PAGE_ROWS", rows)
        counts: list[int] = []
        series = Series(symbol, M1, UTC, START + 60, START + 5940)
        assert b"".join(export.stream(db, series, form, counts.append)).decode() == whole
        assert sum(counts) == 98
    assert "00:00:00Z" not in whole
    assert "01:38:00Z" in whole
    assert "01:39:00Z" not in whole


@pytest.mark.parametrize("form", ["csv", "ndjson", "json"])
@pytest.mark.parametrize(
    ("tf", "clock", "step"),
    [
        *(("M1", "UTC", 60), ("H1", "Europe/Athens", 3600), ("H1", "+05:30", 3600)),
        *(("H4", "America/New_York+07:00", 4 * 3600), ("D1", "UTC", 86400)),
        *(("D1", "Europe/Athens", 86400), ("W1", "Europe/Athens", 7 * 86400)),
        ("MN1", "Europe/London", 31 * 86400),
    ],
)
def test_exported_candles_import_back(
    db: apsw.Connection, tmp_path: Path, form: str, tf: str, clock: str, step: int
) -> None:
    timeframe, named = timeframes.parse(tf), clocks.parse(clock)
    times = list(range(START, START + 250 * step, step))  # over both changes of the clocks
    series = Series(put(db, times, timeframe, named), timeframe, named)
    exported = text(db, series, form)
    connection.create(tmp_path / "back.db")
    back = connection.connect(tmp_path / "back.db")
    try:
        report = importer.load(
            back,
            [exported.encode()],
            Options(clock=None if form == "json" else named),  # JSON names it in its head
            now=10**10,
            name=f"{series.name}.{form}",
        )
        assert (report.rejected, report.inserted) == (0, len({*read(db, series)}))
        again = series._replace(symbol=symbols.read(back, "EURUSD"))
        assert read(back, again) == read(db, series)
        assert text(back, again, form) == exported
    finally:
        back.close()


def test_files_are_named_after_symbol_and_timeframe(db: apsw.Connection, tmp_path: Path) -> None:
    many = [
        Series(put(db, [START], name=name), tf, UTC) for name in ("A.b", "C#1") for tf in (M1, H1)
    ]
    written = list(export.write_files(db, many, "csv", tmp_path / "out"))
    assert [(done.file.name, done.rows) for done in written] == [
        *(("A.b_M1.csv", 1), ("A.b_H1.csv", 1), ("C#1_M1.csv", 1), ("C#1_H1.csv", 1)),
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        done.file.name for done in written
    )
    assert written[0].file.read_text() == text(db, many[0], "csv")


def test_one_series_goes_to_a_file_or_into_a_folder(db: apsw.Connection, tmp_path: Path) -> None:
    series = Series(put(db, [START]), M1, UTC)
    list(export.write_files(db, [series], "json", tmp_path / "mine.json"))
    list(export.write_files(db, [series], "json", tmp_path))
    assert (tmp_path / "mine.json").read_text() == (tmp_path / "EURUSD_M1.json").read_text()


def test_failed_export_keeps_the_old_file(
    db: apsw.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "EURUSD_M1.csv"
    target.write_text("before")
    series = Series(put(db, [START]), M1, UTC)

    def fail(*_: Any) -> Any:
        raise OSError("the disk is gone")

    monkeypatch.setattr(candle_read, "read_candles", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        list(export.write_files(db, [series], "csv", target))
    assert [path.name for path in tmp_path.glob("*EURUSD*")] == ["EURUSD_M1.csv"]
    assert target.read_text() == "before"


def test_symbol_deleted_during_its_export_raises_conflict(
    db: apsw.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE_ROWS", 5)
    series = Series(put(db, [START + 60 * minute for minute in range(10)]), M1, UTC)
    pieces = export.stream(db, series, "csv")
    assert [next(pieces).count(b"\n") for _ in range(2)] == [1, 5]
    with connection.transaction(db):
        symbols.delete(db, series.symbol)
    with pytest.raises(Conflict, match="the database was replaced during the export of EURUSD_M1"):
        list(pieces)


def test_file_of_a_symbol_deleted_meanwhile_is_not_written(
    db: apsw.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE_ROWS", 5)
    series = Series(put(db, [START + 60 * minute for minute in range(10)]), M1, UTC)
    whole = export._csv_line

    def delete_then_write(candle: Any) -> str:
        if symbols.find(db, "EURUSD"):
            with connection.transaction(db):
                symbols.delete(db, series.symbol)
        return whole(candle)

    monkeypatch.setattr(export, "_csv_line", delete_then_write)
    with pytest.raises(Conflict):
        list(export.write_files(db, [series], "csv", tmp_path / "out.csv"))
    assert not (tmp_path / "out.csv").exists()


def test_writes_during_an_export_do_not_stop_it(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE_ROWS", 5)
    series = Series(put(db, [START + 60 * minute for minute in range(10)]), M1, UTC)
    pieces = export.stream(db, series, "csv")
    head = next(pieces)
    put(db, [START], name="GBPUSD")
    assert (head + b"".join(pieces)).count(b"\n") == 11


def test_first_page_is_read_before_the_first_piece(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = Series(put(db, [START]), M1, UTC)

    def fail(*_: Any) -> Any:
        raise OSError("the disk is gone")

    monkeypatch.setattr(candle_read, "read_candles", fail)
    for form in ("csv", "ndjson", "json"):
        with pytest.raises(OSError, match="the disk is gone"):
            next(export.stream(db, series, form))


@pytest.mark.parametrize("before", [ATHENS, UTC])
@pytest.mark.parametrize("place", range(25))
def test_change_of_the_symbol_clock_loses_no_day(
    db: apsw.Connection, db_path: Path, place: int, before: Clock
) -> None:
    symbol = put(db, list(range(START, START + 20 * 86400, 3600)), H1)
    whole = text(db, Series(symbol, D1, ATHENS), "csv")
    assert whole.count("\n") == 22
    with connection.transaction(db):
        symbol = symbol_settings.set_clock(db, symbol, before)
    reader = connection.connect(db_path, readonly=True)
    statements = itertools.count()

    def change_the_clock(*_: Any) -> bool:
        if next(statements) == place:  # just before this one of the export's statements
            with connection.transaction(db):
                symbol_settings.set_clock(db, symbol, UTC if before == ATHENS else ATHENS)
        return True

    try:
        reader.exec_trace = change_the_clock
        assert text(reader, Series(symbol, D1, ATHENS), "csv") == whole
        assert next(statements) > 5
    finally:
        reader.close()


def test_symbol_deleted_before_its_export_is_unknown(db: apsw.Connection) -> None:
    series = Series(put(db, [START]), M1, UTC)
    with connection.transaction(db):
        symbols.delete(db, series.symbol)
    with pytest.raises(SymbolUnknown):
        next(export.stream(db, series, "json"))


def test_unknown_format_is_refused(db: apsw.Connection) -> None:
    with pytest.raises(BadParameter, match="unknown format 'xls'"):
        text(db, Series(put(db, [START]), M1, UTC), "xls")


def test_parquet_without_pyarrow_names_the_package(
    db: apsw.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    series = Series(put(db, [START]), M1, UTC)
    with pytest.raises(BadParameter, match="parquet needs pyarrow"):
        list(export.write_files(db, [series], "parquet", tmp_path))


def test_parquet_holds_the_same_candles(db: apsw.Connection, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    symbol = put(db, [START + 60 * minute for minute in range(50)])
    for series in (Series(symbol, M1, UTC), Series(symbol, D1, UTC, START + 86400)):
        (written,) = export.write_files(db, [series], "parquet", tmp_path)
        found = parquet.read_table(written.file)
        rows = [tuple(row.values()) for row in found.to_pylist()]
        assert [(int(row[0].timestamp()), *row[1:]) for row in rows] == read(db, series)
        assert found.schema.metadata[b"symbol"] == b"EURUSD"
