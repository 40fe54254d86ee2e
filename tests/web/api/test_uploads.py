"""Tests of gfil/web/api/uploads.py: stored rows, refusals and their words."""

import gzip
from dataclasses import replace
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from gfil import create_app
from gfil.config import Settings
from gfil.store.engine import connection
from gfil.web.api import uploads
from tests.faults.senders import make_key
from tests.faults.sockets import START, candle_lines, tick_lines

MINUTE = 60
CANDLES = "/api/v1/candles?symbol=EURUSD&tf=M1"
TICKS = "/api/v1/ticks"
LINES = candle_lines(3)
FIRST_HOUR = [[START // 3600 * 3600, 1.0, 1.9, 0.9, 1.00002, 4.5]]


class Pump:
    """A program with a key that may write."""

    def __init__(self, client: FlaskClient, secret: str) -> None:
        self.client = client
        self.headers = {"X-API-Key": secret}

    def post(
        self, path: str, body: bytes | str | Any, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Send a body, JSON unless it is bytes; return the status and the JSON of the answer."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.client.post(path, data=data, headers=self.headers | named)
        assert answer.json is not None
        return answer.status_code, answer.json

    def candles(self, tf: str = "M1", symbol: str = "EURUSD") -> list[Any]:
        """Return what is stored."""
        answer = self.client.get(f"/api/v1/candles?symbol={symbol}&tf={tf}&limit=10000")
        return (answer.json or {}).get("candles", [])


OLD = (
    "1 day older than the retention, 2023-11-14 to 2023-11-14: "
    "kept as imported until `gfil prune --imported`"
)


@pytest.fixture
def pump(client: FlaskClient, db_path: Path) -> Pump:
    """One with the scope `write`."""
    return Pump(client, make_key(db_path))


def count(**counts: int) -> dict[str, int]:
    """Return all seven counts, 0 where not given."""
    names = ("inserted", "updated", "unchanged", "kept", "duplicates", "rejected")
    return {"rows": sum(counts.values())} | {name: counts.get(name, 0) for name in names}


def test_upload_stores_and_derives_candles_and_counts_them(pump: Pump) -> None:
    """The answer has the names of a file import, without the file."""
    status, answer = pump.post(CANDLES, LINES)
    assert (status, answer) == (
        200,
        {"format": "csv", "symbol": "EURUSD", "tf": "M1", "clock": "UTC"}
        | count(inserted=3)
        | {"reasons": {}, "errors": [], "warnings": [f"EURUSD M1: {OLD}"]}
        | {"from": START, "to": START + 2 * MINUTE, "change": 1},
    )
    assert pump.candles("H1") == FIRST_HOUR


def test_repeated_upload_changes_nothing(pump: Pump) -> None:
    """The change number stays too."""
    pump.post(CANDLES, LINES)
    _, answer = pump.post(CANDLES, LINES)
    assert answer | count(unchanged=3) == answer
    assert answer["change"] == 1


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", [[START, 1, 2, 1, 2, 5]]),
        ("", [{"time": START, "open": 1, "high": 2, "low": 1, "close": 2, "volume": 5}]),
        ("", {"candles": [[START, 1, 2, 1, 2, 5]]}),
        ("", {"t": [START], "o": [1], "h": [2], "l": [1], "c": [2], "v": [5]}),
        ("", b"%d000,1,2,1,2,5" % START),
        ("", gzip.compress(b"%d,1,2,1,2,5\n" % START, mtime=0)),
        ("&format=csv", b"%d,1,2,1,2,5\n" % START),
        ("&columns=time,open,close,high,low,volume", b"%d,1,2,2,1,5\n" % START),
        ("&columns=_,time,open,high,low,close,volume", b"x,%d,1,2,1,2,5\n" % START),
        ("&clock=%2B02:00", b"%d,1,2,1,2,5\n" % (START + 7200)),
        ("&clock=+02:00", b"%d,1,2,1,2,5\n" % (START + 7200)),  # a + that nobody escaped
    ],
)
def test_upload_reads_any_format(pump: Pump, query: str, body: Any) -> None:
    """The query names the format, or the content shows it."""
    status, answer = pump.post(CANDLES + query, body)
    assert (status, answer["inserted"]) == (200, 1), answer
    assert pump.candles() == [[START, 1.0, 2.0, 1.0, 2.0, 5.0]]


def test_columns_name_symbol_and_timeframe(pump: Pump) -> None:
    """The query needs neither then."""
    body = (
        b"symbol,tf,time,open,high,low,close\nA+B,M1,%d,1,2,1,2\nC,H1,1699999200,1,2,1,2\n" % START
    )
    status, answer = pump.post("/api/v1/candles", body)
    assert (status, answer["inserted"], answer["symbols"]) == (200, 2, ["A+B", "C"])
    assert pump.candles(symbol="A+B") == [[START, 1.0, 2.0, 1.0, 2.0, 0.0]]


def test_bad_rows_are_reported_and_good_rows_stored(pump: Pump) -> None:
    """Each error has the line and the reason."""
    status, answer = pump.post(CANDLES, LINES + b"junk\n%d,1,1,1,nan,1\n" % (START + 180))
    assert status == 200
    assert answer | count(inserted=3, rejected=2) == answer
    assert answer["reasons"] == {"missing_field": 1, "not_finite": 1}
    assert answer["errors"][0] == {"row": 5, "reason": "missing_field", "text": "junk"}


def test_abort_refuses_the_upload_for_one_bad_row(pump: Pump) -> None:
    """The refusal carries the counts."""
    status, answer = pump.post(f"{CANDLES}&on_error=abort", LINES + b"junk\n")
    assert (status, answer["type"]) == (422, "refused")
    assert answer | count(rejected=4) == answer
    assert "file" not in answer
    assert pump.candles() == []


def test_fill_keeps_stored_candles(pump: Pump) -> None:
    """Only missing candles are stored."""
    pump.post(CANDLES, LINES)
    other = LINES.replace(b"1.9", b"1.8") + b"%d,1,1,1,1,1\n" % (START + 180)
    _, answer = pump.post(f"{CANDLES}&mode=fill", other)
    assert answer | count(kept=3, inserted=1) == answer
    assert pump.candles()[0][2] == 1.9


def test_dry_run_reports_the_format_and_stores_nothing(pump: Pump) -> None:
    """The report names the recognised format next to the counts."""
    status, answer = pump.post(f"{CANDLES}&dry_run=1", LINES, Idempotency_Key="1")
    assert (status, answer["dry_run"], answer["spacing"]) == (200, True, "1 minute")
    assert answer | count(inserted=3) == answer
    assert answer["first"] == {"utc": "2023-11-14 22:14", "clock": "2023-11-14 22:14"}
    assert pump.candles() == []
    status, answer = pump.post(f"{CANDLES}&dry_run=1", LINES, Idempotency_Key="1")
    assert (status, answer["change"]) == (200, 0)


REFUSED: dict[str, tuple[str, Any, int, str]] = {
    "no symbol": ("?tf=M1", LINES, 400, "the symbol is unknown, symbol names it"),
    "no timeframe": ("?symbol=X", LINES, 400, "the timeframe is unknown, tf names it"),
    "another timeframe": ("?symbol=X&tf=D1", LINES, 422, "rows are 1 minute apart; tf says D1"),
    "a bad timeframe": ("?symbol=X&tf=M7", LINES, 400, "M7"),
    "a bad symbol": ("?symbol=a/b&tf=M1", LINES, 400, "bad symbol"),
    "a bad clock": ("?symbol=X&tf=M1&clock=Mars", LINES, 400, "unknown clock"),
    "a bad format": ("?symbol=X&tf=M1&format=doc", LINES, 400, "unknown format 'doc'"),
    "another format": ("?symbol=X&tf=M1&format=json", LINES, 400, "not json"),
    "bad columns": ("?symbol=X&tf=M1&columns=time,when", LINES, 400, "when"),
    "a bad on_error": ("?symbol=X&tf=M1&on_error=stop", LINES, 400, "on_error must be one of"),
    "a bad mode": ("?symbol=X&tf=M1&mode=replace", LINES, 400, "mode must be one of"),
    "a bad flag": ("?symbol=X&tf=M1&dry_run=yes", LINES, 400, "dry_run must be one of"),
    "two symbols": ("?symbol=X&symbol=Y&tf=M1", LINES, 400, "symbol is given 2 times"),
    "nothing": ("?symbol=X&tf=M1", b"", 400, "the input is empty"),
    "prose": ("?symbol=X&tf=M1", b"Dear server,\n", 400, "columns can name its cells"),
    "ticks": ("?symbol=X&tf=M1", tick_lines("X", 1), 400, "/api/v1/ticks"),
    "JSON broken off": ("?symbol=X&tf=M1", b"[[%d,1,2,1,2,5],[17" % START, 400, "truncated"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_malformed_upload_is_refused(pump: Pump, case: str) -> None:
    """One sentence names parameters as HTTP spells them."""
    query, body, status, words = REFUSED[case]
    answered, answer = pump.post(f"/api/v1/candles{query}", body)
    assert answered == status, answer
    assert words in answer["detail"]
    assert "--" not in answer["detail"]
    assert pump.client.get("/api/v1/symbols").json == {"symbols": []}


def test_refusal_quotes_the_body_unchanged(pump: Pump) -> None:
    """Option names inside a user's text are not reworded."""
    _, answer = pump.post("/api/v1/candles?symbol=X&tf=M1", b"run --force-tf --dry-run\n")
    assert "the input begins with 'run --force-tf --dry-run'; columns can name" in answer["detail"]


def test_refusal_names_its_parameter(pump: Pump) -> None:
    _, answer = pump.post("/api/v1/candles?symbol=X", LINES)
    assert (answer["type"], answer["parameter"]) == ("bad_parameter", "tf")


def test_force_tf_stores_contradicting_rows(pump: Pump) -> None:
    """The rows are stored although their spacing contradicts the timeframe."""
    rows = [[START + 120 * n, 1, 1, 1, 1, 1] for n in range(0, 400, 20)]
    assert pump.post("/api/v1/candles?symbol=X&tf=M1", rows)[0] == 422
    status, answer = pump.post("/api/v1/candles?symbol=X&tf=M1&force_tf=1", rows)
    assert (status, answer["inserted"]) == (200, 20)


def test_symbol_in_another_case_is_refused(pump: Pump) -> None:
    """Otherwise one chart would be split in two."""
    pump.post(CANDLES, LINES)
    status, answer = pump.post("/api/v1/candles?symbol=eurusd&tf=M1", LINES)
    assert (status, answer["type"]) == (409, "symbol_case")


def test_large_upload_is_stored_in_batches_without_idempotency(pump: Pump) -> None:
    """Rows sent twice change nothing anyway; abort is for small uploads."""
    body = candle_lines(230_000)
    status, answer = pump.post(f"{CANDLES}&on_error=abort", body)
    assert (status, answer["type"]) == (413, "too_large")
    status, answer = pump.post(CANDLES, body, Idempotency_Key="1")
    assert (status, answer["inserted"]) == (200, 230_000)
    assert answer["change"] > 1
    warning, _ = answer["warnings"]  # and that the days are old
    assert warning.startswith("the Idempotency-Key is not used for a body above 8 MB")
    status, answer = pump.post(CANDLES, body, Idempotency_Key="")
    assert (status, answer["type"]) == (400, "bad_request")
    rows = [f"[{START + MINUTE * n},1,1,1,1,1]" + " " * 20 for n in range(240_000)]
    broken = "[" + ",".join(rows) + ",[17"
    status, answer = pump.post("/api/v1/candles?symbol=J&tf=M1", broken.encode())
    assert (status, answer["detail"]) == (
        400,
        "the body is truncated; 240,000 rows before are stored",
    )


def test_number_of_concurrent_uploads_is_limited(
    pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Further uploads get 503 with Retry-After; small ones always have a place."""
    taken = BoundedSemaphore(1)
    taken.acquire()
    for places in ("_medium", "_large"):
        monkeypatch.setattr(uploads, places, taken)
    monkeypatch.setattr(uploads, "MEDIUM_WAIT_S", 0.01)
    monkeypatch.setattr(uploads, "LARGE_WAIT_S", 0.01)
    for rows in (40_000, 230_000):
        answer = pump.client.post(CANDLES, data=candle_lines(rows), headers=pump.headers)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert pump.post(CANDLES, LINES)[0] == 200
    taken.release()
    assert pump.post(CANDLES, candle_lines(40_000))[0] == 200


def test_upload_size_is_limited(settings: Settings, db_path: Path) -> None:
    """Candles have the limit of the setting, ticks 8 MB; the answer names it."""
    pump = Pump(create_app(replace(settings, max_upload_mb=1)).test_client(), make_key(db_path))
    for path, limit, size in ((CANDLES, 1 << 20, 1_100_000), (TICKS, 8 << 20, 8_500_000)):
        for body in (b" " * size, gzip.compress(b" " * size)):
            status, answer = pump.post(path, body)
            assert (status, answer["type"], answer["limit_bytes"]) == (413, "too_large", limit)


def test_upload_is_refused_when_the_disk_is_nearly_full(settings: Settings, db_path: Path) -> None:
    """Reading goes on."""
    client = create_app(replace(settings, min_free_mb=10**9)).test_client()
    pump = Pump(client, make_key(db_path))
    for path, body in ((CANDLES, LINES), (TICKS, tick_lines("X", 1))):
        status, answer = pump.post(path, body)
        assert (status, answer["type"]) == (507, "disk_full")
    assert client.get("/api/v1/symbols").json == {"symbols": []}


def test_upload_stores_ticks_and_names_the_last(pump: Pump) -> None:
    """The answer has exactly the documented names."""
    body = tick_lines("EURUSD", 700)
    last = START * 1000 + 69_900
    answer = {"rows": 700, "inserted": 700, "duplicates": 0, "rejected": 0, "reasons": {}}
    answer |= {"errors": [], "warnings": [], "last": {"EURUSD": last}, "change": 1}
    assert pump.post(TICKS, body) == (200, answer | {"warnings": [f"EURUSD ticks: {OLD}"]})
    assert [candle[5] for candle in pump.candles()] == [600, 100]
    assert pump.post(TICKS, body) == (200, answer | {"inserted": 0, "duplicates": 700})


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", {"ticks": [{"symbol": "X", "time_msc": START * 1000, "bid": 1, "ask": 2}]}),
        ("?symbol=X", [{"time_msc": START * 1000, "bid": 1, "ask": 2}]),
        ("?symbol=X", b'{"time_msc":%d000,"bid":1,"ask":2}\n' % START),
        ("?symbol=X", b"time_msc,bid,ask\n%d000,1,2\n" % START),
        ("?symbol=X", b"time,bid,ask\n%d,1,2\n" % START),
        ("?symbol=X", b"<DATE>\t<TIME>\t<BID>\t<ASK>\n2023.11.14\t22:14:00.000\t1\t2\n"),
        ("?symbol=X&clock=%2B02:00", b"time_msc,bid,ask\n%d000,1,2\n" % (START + 7200)),
        (
            "",
            {
                "clock": "+02:00",
                "ticks": [{"symbol": "X", "time_msc": (START + 7200) * 1000, "bid": 1, "ask": 2}],
            },
        ),
    ],
)
def test_ticks_are_read_in_every_format(pump: Pump, query: str, body: Any) -> None:
    """The clock comes from the query or the body."""
    status, answer = pump.post(TICKS + query, body)
    assert (status, answer.get("last")) == (200, {"X": START * 1000}), answer


@pytest.mark.parametrize("body", [{"ticks": []}, {"ticks": [], "clock": "nyclose"}])
def test_upload_without_ticks_is_accepted(pump: Pump, body: Any) -> None:
    """A pump without new ticks sends such a body."""
    nothing = {"rows": 0, "inserted": 0, "duplicates": 0, "rejected": 0, "reasons": {}}
    nothing |= {"errors": [], "warnings": [], "last": {}, "change": 0}
    assert pump.post(TICKS, body) == (200, nothing)


def test_dry_run_of_ticks_stores_nothing(pump: Pump) -> None:
    """The report names the first and the last tick, as for candles."""
    status, answer = pump.post(f"{TICKS}?dry_run=1", tick_lines("X", 5))
    assert (status, answer["inserted"], answer["dry_run"]) == (200, 5, True)
    assert [*answer["first"]] == [*answer["last"]] == ["utc", "clock"]
    assert pump.client.get("/api/v1/symbols").json == {"symbols": []}


def test_upload_releases_its_snapshot_before_writing(pump: Pump, db_path: Path) -> None:
    """A snapshot held while a body arrives or others write delays checkpoints."""
    pump.post(CANDLES, LINES)
    db = connection.connect(db_path)
    busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").get
    db.close()
    assert busy == 0


def test_upload_with_an_unknown_parameter_is_refused(pump: Pump) -> None:
    """It may be a flag of the command line, or a typo."""
    for query in ("&dry-run=1", "&on-error=abort", "&clok=nyclose"):
        status, answer = pump.post(f"{CANDLES}{query}", LINES)
        assert (status, answer["type"]) == (400, "bad_parameter")
    assert pump.client.get("/api/v1/symbols").json == {"symbols": []}


def test_bad_rows_before_the_first_good_one_are_refused(pump: Pump) -> None:
    """The format is recognised from a later element."""
    good = b'{"symbol":"X","time_msc":1700000040000,"bid":1,"ask":2}'
    for bad in (b"null", b"1", b'"x"', b"{}", b"[1]"):
        status, answer = pump.post(TICKS, b'{"ticks":[' + bad + b"," + good + b"]}")
        assert (status, answer["rows"], answer["rejected"]) == (200, 2, 1), bad
