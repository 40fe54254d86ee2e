"""Tests of gfil/ingest/importer.py on ticks: symbols, clocks and refusals."""

from datetime import datetime
from typing import Any

import apsw
import pytest

from gfil import clocks
from gfil.errors import BadParameter, BadRequest, Refused
from gfil.ingest import importer
from gfil.ingest.formats import UnknownFormat
from gfil.ingest.options import Options
from gfil.ingest.report import Report
from gfil.ingest.source.byte_stream import PIECE_BYTES
from gfil.store import symbols
from gfil.store.candles import ticks
from gfil.store.engine import connection
from gfil.store.symbols import SymbolCase
from gfil.timeframes import M1

START = 1709251200_000  # 2024-03-01 00:00, in ms
NOW = START // 1000 + 400 * 86400
HEADER = b"time_msc,bid,ask,last,volume,flags\n"
MT5 = b"<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\r\n"


def load(db: apsw.Connection, data: bytes, name: str = "X_ticks.csv", **options: Any) -> Report:
    # In one transaction that is rolled back, then in batches: both give the same counts.
    prepared = importer.prepare(db, [data], Options(**options), now=NOW, name=name)
    db.execute("SAVEPOINT trial")
    db.change = None  # type: ignore[attr-defined]
    apart = prepared.store(db)
    db.execute("ROLLBACK TO trial; RELEASE trial").fetchall()
    report = importer.load(db, [data], Options(**options), now=NOW, name=name)
    assert apart.as_json() == report.as_json()
    counts = report.counts()
    assert counts.pop("rows") == sum(counts.values())
    return report


def stored(db: apsw.Connection, name: str = "X") -> list[ticks.Tick]:
    return ticks.read_ticks(db, symbols.read(db, name), limit=1000).ticks


def msc(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp() * 1000)


def test_ticks_are_stored_and_counted(db: apsw.Connection) -> None:
    data = HEADER + b"%d,1,2,0,0,6\n%d,1,2.5,,,4\n%d,1,2,0,0,6\n" % (START, START, START + 5)
    report = load(db, data + b"%d,1,2,0,0,6\n" % START)
    assert report.as_json() == {
        "file": "X_ticks.csv",
        "format": "ticks",
        "symbol": "X",
        "clock": "UTC",
        "rows": 4,
        "inserted": 3,
        "duplicates": 1,
        "rejected": 0,
        "reasons": {},
        "errors": [],
        "warnings": [
            "X ticks: 1 day older than the retention, 2024-03-01 to 2024-03-01: "
            "kept as imported until `gfil prune --imported`"
        ],
        "last": {"X": START + 5},
        "change": 1,
    }
    assert stored(db) == [
        (START, 1.0, 2.0, 0.0, 0.0, 6),
        (START, 1.0, 2.5, 0.0, 0.0, 4),
        (START + 5, 1.0, 2.0, 0.0, 0.0, 6),
    ]
    again = load(db, data)
    assert (again.duplicates, again.inserted, again.change, again.has_changed) == (3, 0, 1, False)


@pytest.mark.parametrize(
    "data",
    [
        b"time,bid,ask\n2024-03-01 00:00:00.040,1,2\n2024-03-01T00:00:01Z,1,3\n",
        b'"symbol";"time_msc";"bid";"ask"\n"X";"1709251200040";"1";"2"\n;1709251201000;1;3\n',
        b"symbol,date,time,bid,ask\nX,2024.03.01,00:00:00.040,1,2\nX,2024.03.01,00:00:01,1,3\n",
        MT5 + b"2024.03.01\t00:00:00.040\t1\t2\t\t\t\r\n2024.03.01\t00:00:01.000\t\t3\t\t\t\r\n",
        MT5.replace(b"\t", b",") + b"2024.03.01,00:00:00.040,1,2,,,\n2024.03.01,00:00:01,,3,0,0,0",
        b'{"ticks":[{"time_msc":1709251200040,"bid":1,"ask":2},{"time":1709251201,"bid":1,"ask":3}]}',
        b'[{"symbol":"X","time_msc":1709251200040,"bid":"1","ask":"2","last":null},'
        b'{"symbol":"X","time_msc":1709251201000,"bid":"1","ask":"3","last":""}]',
        b'{"time_msc":1709251200040,"time":1709251200,"bid":1,"ask":2,"flags":0}\n\n'
        b'{"time":"2024-03-01T02:00:01+02:00","bid":1,"ask":3}\n',
        b'{"symbol":"X","ticks":[[1709251200040,1,2,0,0,0],[1709251201000,1,3]]}',
    ],
)
def test_every_format_gives_the_same_ticks(db: apsw.Connection, data: bytes) -> None:
    for packed in (data, data.decode().encode("utf-16")):
        assert load(db, packed).rejected == 0
        assert stored(db) == [(START + 40, 1, 2, 0, 0, 0), (START + 1000, 1, 3, 0, 0, 0)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"soon,1,2,0,0,6", "bad_time"),
        (b"-5,1,2,0,0,6", "bad_time"),
        (b"4102444800000,1,2,0,0,6", "bad_time"),
        (b"1969-12-31T23:59:59.999Z,1,2,0,0,6", "bad_time"),
        (b",1,2,0,0,6", "missing_field"),
        (b"1709251200000,1", "missing_field"),
        (b"1709251200000,0,0,0,5,6", "missing_field"),
        (b"1709251200000,,,,,", "missing_field"),
        (b"1709251200000,1,x,0,0,6", "not_a_number"),
        (b"1709251200000,1,2,0,0,6.5", "not_a_number"),
        (b"1709251200000,1,2,0,0,-1", "not_a_number"),
        (b"1709251200000,1,2,0,0,4294967296", "too_large"),
        (b"1709251200000,1e12,2,0,0,6", "too_large"),
        (b"1709251200000,1,2,0,1e15,6", "too_large"),
        (b"1709251200000,1,2,0,-1,6", "negative_volume"),
        (b"1709251200000,1,nan,0,0,6", "not_finite"),
        (b"1709251200000,1,1e999,0,0,6", "not_finite"),
        (b"1709251200000,1," + b"2" * 70_000, "too_long"),
        (b"%d,1,2,0,0,6" % (NOW * 1000 + 3_600_000), "future"),
    ],
)
def test_bad_tick_is_reported_and_others_stored(
    db: apsw.Connection, line: bytes, reason: str
) -> None:
    good = b"%d,1,2,0,0,6\n"
    report = load(db, HEADER + good % START + line + b"\n" + good % (START + 1))
    assert (report.inserted, report.rejected) == (2, 1)
    assert (report.errors[0]["row"], report.errors[0]["reason"]) == (3, reason)
    shown = line.decode()[:150]
    assert shown in report.errors[0]["text"]


@pytest.mark.parametrize("flags", [b"0", b"6", b"6.0", b"4294967295", b""])
def test_flags_are_whole_numbers(db: apsw.Connection, flags: bytes) -> None:
    assert load(db, HEADER + b"%d,1,2,0,0,%s\n" % (START, flags)).inserted == 1
    assert stored(db)[0][5] == int(float(flags or 0))


class TestEmptySide:
    def line(self, seconds: int, bid: bytes, ask: bytes) -> bytes:
        return b"2024.03.01\t00:00:%02d.000\t%s\t%s\t\t\t\r\n" % (seconds, bid, ask)

    def test_empty_side_repeats_the_last_one_of_the_body(self, db: apsw.Connection) -> None:
        lines = [(b"", b"2"), (b"1", b""), (b"", b"3"), (b"", b"x"), (b"5", b""), (b"", b"")]
        report = load(db, MT5 + b"".join(self.line(at, *sides) for at, sides in enumerate(lines)))
        assert [(error["row"], error["reason"]) for error in report.errors] == [
            (2, "no_earlier_value"),
            (5, "not_a_number"),
        ]
        assert [tick[:3] for tick in stored(db)] == [
            (START + 1000, 1, 2),
            (START + 2000, 1, 3),
            (START + 4000, 5, 3),
            (START + 5000, 5, 3),
        ]

    def test_repeated_side_crosses_blocks_but_not_bodies(self, db: apsw.Connection) -> None:
        first = MT5 + self.line(0, b"1", b"2")
        blank = self.line(1, b"", b"").replace(b"\r\n", b"\n") + b"\n" * 2 * PIECE_BYTES
        assert load(db, first + blank + self.line(2, b"", b"3")).inserted == 3
        assert load(db, MT5 + self.line(5, b"", b"3")).reasons == {"no_earlier_value": 1}

    def test_each_symbol_repeats_its_own_sides(self, db: apsw.Connection) -> None:
        head = MT5.replace(b"<DATE>", b"<SYMBOL>\t<DATE>")
        lines = [(b"X", b"1", b"2"), (b"Y", b"", b"3"), (b"Y", b"5", b"6"), (b"X", b"", b"3")]
        data = b"".join(name + b"\t" + self.line(9, *sides) for name, *sides in lines)
        assert load(db, head + data).reasons == {"no_earlier_value": 1}
        assert [tick[1:3] for tick in stored(db)] == [(1, 2), (1, 3)]


class TestClock:
    ATHENS = clocks.parse("Europe/Athens")

    def place(self, db: apsw.Connection, *stamps: str, **options: Any) -> list[int]:
        rows = [f"{stamp},{1 + place},2\n" for place, stamp in enumerate(stamps)]
        report = load(db, ("time,bid,ask\n" + "".join(rows)).encode(), **options)
        assert report.rejected == 0
        return [tick[0] for tick in sorted(stored(db), key=lambda tick: tick[1])]

    def test_naive_timestamps_and_epochs_follow_the_clock(self, db: apsw.Connection) -> None:
        stamps = ["2024-03-01 00:00:00.5", "1709251200500", "2024-03-01T00:00:00.5Z"]
        assert self.place(db, *stamps, clock=self.ATHENS) == [
            START + 500 - 2 * 3_600_000,
            START + 500 - 2 * 3_600_000,
            START + 500,
        ]

    def test_order_shows_the_passes_of_an_ambiguous_hour(self, db: apsw.Connection) -> None:
        day = "2024-10-27 "
        walls = ["03:00:00.1", "03:59:59.9", "03:00:00.2", "03:59:00", "04:00:00"]
        assert self.place(db, *(day + wall for wall in walls), clock=self.ATHENS) == [
            msc("2024-10-27T00:00:00.100"),
            msc("2024-10-27T00:59:59.900"),
            msc("2024-10-27T01:00:00.200"),
            msc("2024-10-27T01:59:00"),
            msc("2024-10-27T02:00:00"),
        ]

    def test_shuffled_seconds_are_no_second_pass(self, db: apsw.Connection) -> None:
        walls = ["03:00:02", "03:00:01.5", "03:00:01", "03:30:00"]
        found = self.place(db, *(f"2024-10-27 {wall}" for wall in walls), clock=self.ATHENS)
        assert [(each - msc("2024-10-27T00:00:00")) / 1000 for each in found] == [2, 1.5, 1, 1800]

    @pytest.mark.parametrize("first", [0, 3_000])  # whether the file begins before the hour
    def test_passes_are_found_with_more_ticks_than_are_held(
        self, db: apsw.Connection, first: int
    ) -> None:
        start = msc("2024-10-26T23:30:00") // 1000 + first
        instants = [1000 * start + 100 * at for at in range(3 * 36_000)]
        rows = b"".join(
            b"%d,1,2\n" % (1000 * self.ATHENS.wall(each // 1000) + each % 1000) for each in instants
        )
        data = b"time_msc,bid,ask\n" + rows
        importer.load(db, [data], Options(symbol="X", clock=self.ATHENS), now=NOW)
        page = ticks.read_ticks(db, symbols.read(db, "X"), limit=10**6)
        assert [tick[0] for tick in page.ticks] == instants

    def test_missing_hour_is_refused(self, db: apsw.Connection) -> None:
        data = b"time,bid,ask\n2024-03-31 03:30:00.5,1,2\n"
        assert load(db, data, clock=self.ATHENS).reasons == {"missing_hour": 1}

    BODY = b'{%s"ticks":[{"symbol":"X","time_msc":%d,"bid":1,"ask":2}%s]%s}'
    CLOCK = b'"clock":"Europe/Athens"'

    @pytest.mark.parametrize(
        ("before", "after"), [(CLOCK + b",", b""), (b"", b" , " + CLOCK), (b"", b',"x":1,' + CLOCK)]
    )
    def test_json_names_the_clock_before_or_after_short_rows(
        self, db: apsw.Connection, before: bytes, after: bytes
    ) -> None:
        report = load(db, self.BODY % (before, START, b"", after))
        assert (report.clock, stored(db)[0][0]) == ("Europe/Athens", START - 2 * 3_600_000)

    def test_long_body_must_name_the_clock_before_its_rows(self, db: apsw.Connection) -> None:
        more = b',{"symbol":"X","time_msc":%d,"bid":1,"ask":2}' % START * (PIECE_BYTES // 40)
        long = self.BODY % (b"", START, more, b"," + self.CLOCK)
        with pytest.raises(BadRequest, match="the clock follows the rows: put it before"):
            load(db, long)
        assert symbols.list_symbols(db) == []
        assert load(db, long, clock=self.ATHENS).inserted == 1

    def test_late_clock_refuses_candles_too(self, db: apsw.Connection) -> None:
        candle = b'["2024-03-01 00:00",1,2,0.5,1.5,7]'
        long = b'{"candles":[%s%s],%s}' % (candle, (b"," + candle) * 10_000, self.CLOCK)
        with pytest.raises(BadRequest, match="the clock follows the rows"):
            load(db, long, symbol="X", timeframe=M1)


def test_ticks_are_split_by_symbol(db: apsw.Connection) -> None:
    rows = [b"%s,%d,%d,2\n" % (b"XYxZ/"[n % 5 : n % 5 + 1], START + n, n + 1) for n in range(25)]
    report = load(db, b"symbol,time_msc,bid,ask\n" + b"".join(rows))
    assert report.as_json()["last"] == {"X": START + 20, "Y": START + 21, "Z": START + 23}
    assert report.reasons == {"symbol_case": 5, "bad_symbol": 5}
    assert [tick[1] for tick in stored(db, "Y")] == [2, 7, 12, 17, 22]


def test_settled_tick_is_refused_with_its_row(db: apsw.Connection) -> None:
    load(db, HEADER + b"%d,1,2,0,0,6\n" % START)
    db.execute("UPDATE candle SET kind = 2 WHERE series % 32 = 0")
    data = HEADER + b"%d,1.5,2,0,0,6\n" * 2 % (START + 60_000, START + 1)
    report = load(db, data)
    assert (report.inserted, report.reasons) == (1, {"settled": 1})
    assert report.errors == [{"row": 3, "reason": "settled", "text": f"{START + 1},1.5,2,0,0,6"}]


def test_abort_refuses_settled_ticks(db: apsw.Connection) -> None:
    load(db, HEADER + b"%d,1,2,0,0,6\n" % START)
    db.execute("UPDATE candle SET kind = 2 WHERE series % 32 = 0")
    data = HEADER + b"%d,1.5,2,0,0,6\n" * 2 % (START + 60_000, START + 1)
    with pytest.raises(Refused, match=r"row 3 \(settled\): nothing of 2 rows was stored"):
        importer.load(db, [data], Options(symbol="X", abort=True), now=NOW)
    assert len(stored(db)) == 1


@pytest.mark.parametrize(
    ("data", "options", "error", "line"),
    [
        (
            HEADER,
            {"kind": "candles"},
            UnknownFormat,
            "these are ticks, not candles: .* /api/v1/ticks",
        ),
        (
            b"1709251200,1,2,0.5,1,7\n",
            {"kind": "ticks"},
            UnknownFormat,
            "these are candles, not ticks: .* /api/v1/candles",
        ),
        (HEADER, {"timeframe": M1}, BadParameter, "these are ticks, which have no timeframe"),
        (HEADER + b"5,1,2,0,0,6\n", {}, BadParameter, "the symbol is unknown: name it with symbol"),
    ],
)
def test_wrong_options_for_ticks_are_errors(
    db: apsw.Connection, data: bytes, options: dict[str, Any], error: type[Exception], line: str
) -> None:
    with pytest.raises(error, match=line):
        load(db, data, "-", **options)
    assert symbols.list_symbols(db) == []


def test_symbol_in_another_case_refuses_the_file(db: apsw.Connection) -> None:
    load(db, HEADER + b"%d,1,2,0,0,6\n" % START)
    with pytest.raises(SymbolCase):
        load(db, HEADER + b"%d,1,2,0,0,6\n" % START, symbol="x")


def test_columns_of_ticks_can_be_stated(db: apsw.Connection) -> None:
    columns = ("time", "ask", "bid")
    assert load(db, b"1709251200040;2;1\n", columns=columns).inserted == 1
    assert load(db, b"[[1709251200040,2,1]]", columns=columns).duplicates == 1
    assert stored(db) == [(START + 40, 1, 2, 0, 0, 0)]


@pytest.mark.parametrize("form", [b"[%s]", b'{"ticks":[%s]}', b"%s\n"])
def test_announced_ticks_may_lack_bid_and_ask(db: apsw.Connection, form: bytes) -> None:
    said: dict[str, Any] = {"kind": "ticks", "symbol": "X"}
    report = load(db, form % b'{"time_msc":1709251200040,"last":5,"volume":2}', **said)
    assert (report.inserted, stored(db)) == (1, [(START + 40, 0, 0, 5, 2, 0)])
    assert load(db, form % b'{"time_msc":1709251200040}', **said).reasons == {"missing_field": 1}
    if form.strip() != b"%s":
        assert load(db, form % b"", **said).rows == 0
    candle = b'{"t":1709251200,"o":1,"h":2,"l":0.5,"c":1}'
    if b"ticks" not in form:
        with pytest.raises(UnknownFormat, match="these are candles, not ticks"):
            load(db, form % candle, **said)


def test_dry_run_reports_the_format(db: apsw.Connection) -> None:
    data = HEADER + b"%d,1,2,0,0,6\n" % START * 2
    for base in (None, db):
        report = importer.load(base, [data], Options(symbol="X", dry_run=True), now=NOW)
        assert (report.inserted, report.duplicates) == (1, 1)
        assert report.recognised["columns"] == ["time", "bid", "ask", "last", "volume", "flags"]
        assert report.recognised["last"] == {"utc": "2024-03-01 00:00", "clock": "2024-03-01 00:00"}
    assert symbols.list_symbols(db) == []


def test_ticks_of_one_millisecond_keep_their_order_across_batches(db: apsw.Connection) -> None:
    count = 30_000
    rows = b"".join(b"%d,%d,2,0,0,6\n" % (START + n // 7, n % 7 + 1) for n in range(count))
    report = importer.load(db, [HEADER + rows], Options(symbol="X"), now=NOW)
    assert (report.inserted, connection.read_state(db)[1] > 2) == (count, True)
    page = ticks.read_ticks(db, symbols.read(db, "X"), limit=count)
    assert [tick[:2] for tick in page.ticks] == [(START + n // 7, n % 7 + 1) for n in range(count)]
