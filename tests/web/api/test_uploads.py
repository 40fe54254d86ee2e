"""`POST /api/v1/candles` and the rules of every upload: stored rows, refusals, their sentences."""

import gzip
from dataclasses import replace
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import orjson
import pytest

from gfil import create_app
from gfil.config import Settings
from gfil.store.engine import connection
from gfil.web.api import uploads
from tests.faults.senders import make_key
from tests.faults.sockets import START, candle_lines, tick_lines
from tests.web.api.pump import OLD, Pump

MINUTE = 60
CANDLES = "/api/v1/candles?symbol=EURUSD&tf=M1"
TICKS = "/api/v1/ticks"
LINES = candle_lines(3)
FIRST_HOUR = [[START // 3600 * 3600, 1.0, 1.9, 0.9, 1.00002, 4.5]]


def count(**counts: int) -> dict[str, int]:
    """Return all seven counts, 0 unless given."""
    names = ("inserted", "updated", "unchanged", "kept", "duplicates", "rejected")
    return {"rows": sum(counts.values())} | {name: counts.get(name, 0) for name in names}


def test_candles_are_stored_derived_and_counted(pump: Pump) -> None:
    status, told = pump.post(CANDLES, LINES)
    assert (status, told) == (
        200,
        {"format": "csv", "symbol": "EURUSD", "tf": "M1", "clock": "UTC"}
        | count(inserted=3)
        | {"reasons": {}, "errors": [], "warnings": [f"EURUSD M1: {OLD}"]}
        | {"from": START, "to": START + 2 * MINUTE, "change": 1},
    )
    assert pump.candles("H1") == FIRST_HOUR


def test_repeated_rows_change_nothing(pump: Pump) -> None:
    pump.post(CANDLES, LINES)
    _, told = pump.post(CANDLES, LINES)
    assert told | count(unchanged=3) == told
    assert told["change"] == 1


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
def test_every_format_is_read(pump: Pump, query: str, body: Any) -> None:
    status, told = pump.post(CANDLES + query, body)
    assert (status, told["inserted"]) == (200, 1), told
    assert pump.candles() == [[START, 1.0, 2.0, 1.0, 2.0, 5.0]]


def test_columns_name_symbol_and_timeframe(pump: Pump) -> None:
    body = (
        b"symbol,tf,time,open,high,low,close\nA+B,M1,%d,1,2,1,2\nC,H1,1699999200,1,2,1,2\n" % START
    )
    status, told = pump.post("/api/v1/candles", body)
    assert (status, told["inserted"], told["symbols"]) == (200, 2, ["A+B", "C"])
    assert pump.candles(symbol="A+B") == [[START, 1.0, 2.0, 1.0, 2.0, 0.0]]


def test_bad_rows_are_named_and_good_rows_stored(pump: Pump) -> None:
    status, told = pump.post(CANDLES, LINES + b"junk\n%d,1,1,1,nan,1\n" % (START + 180))
    assert status == 200
    assert told | count(inserted=3, rejected=2) == told
    assert told["reasons"] == {"missing_field": 1, "not_finite": 1}
    assert told["errors"][0] == {"row": 5, "reason": "missing_field", "text": "junk"}


def test_abort_refuses_all_rows_for_one_bad_row(pump: Pump) -> None:
    status, told = pump.post(f"{CANDLES}&on_error=abort", LINES + b"junk\n")
    assert (status, told["type"]) == (422, "refused")
    assert told | count(rejected=4) == told
    assert "file" not in told
    assert pump.candles() == []


def test_fill_keeps_stored_candles(pump: Pump) -> None:
    pump.post(CANDLES, LINES)
    other = LINES.replace(b"1.9", b"1.8") + b"%d,1,1,1,1,1\n" % (START + 180)
    _, told = pump.post(f"{CANDLES}&mode=fill", other)
    assert told | count(kept=3, inserted=1) == told
    assert pump.candles()[0][2] == 1.9


def test_dry_run_reports_and_stores_nothing(pump: Pump) -> None:
    status, told = pump.post(f"{CANDLES}&dry_run=1", LINES, Idempotency_Key="1")
    assert (status, told["dry_run"], told["spacing"]) == (200, True, "1 minute")
    assert told | count(inserted=3) == told
    assert told["first"] == {"utc": "2023-11-14 22:14", "clock": "2023-11-14 22:14"}
    assert pump.candles() == []
    status, told = pump.post(f"{CANDLES}&dry_run=1", LINES, Idempotency_Key="1")
    assert (status, told["change"]) == (200, 0)


REFUSED: dict[str, tuple[str, Any, int, str]] = {
    "no symbol": ("?tf=M1", LINES, 400, "the symbol is unknown: name it with symbol"),
    "no timeframe": ("?symbol=X", LINES, 400, "the timeframe is unknown: name it with tf"),
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
def test_wrong_upload_is_refused_with_a_sentence(pump: Pump, case: str) -> None:
    query, body, status, words = REFUSED[case]
    answered, told = pump.post(f"/api/v1/candles{query}", body)
    assert answered == status, told
    assert words in told["detail"]
    assert "--" not in told["detail"]
    assert pump.client.get("/api/v1/symbols").json == {"symbols": []}


def test_refusal_quotes_the_body_unchanged(pump: Pump) -> None:
    """Option names inside a user's text are not reworded."""
    _, told = pump.post("/api/v1/candles?symbol=X&tf=M1", b"run --force-tf --dry-run\n")
    assert "the input begins with 'run --force-tf --dry-run'; columns can name" in told["detail"]


def test_refusal_names_its_parameter(pump: Pump) -> None:
    _, told = pump.post("/api/v1/candles?symbol=X", LINES)
    assert (told["type"], told["parameter"]) == ("bad_parameter", "tf")


def test_force_tf_stores_rows_of_another_spacing(pump: Pump) -> None:
    rows = [[START + 120 * n, 1, 1, 1, 1, 1] for n in range(0, 400, 20)]
    assert pump.post("/api/v1/candles?symbol=X&tf=M1", rows)[0] == 422
    status, told = pump.post("/api/v1/candles?symbol=X&tf=M1&force_tf=1", rows)
    assert (status, told["inserted"]) == (200, 20)


def test_symbol_in_another_case_is_refused(pump: Pump) -> None:
    pump.post(CANDLES, LINES)
    status, told = pump.post("/api/v1/candles?symbol=eurusd&tf=M1", LINES)
    assert (status, told["type"]) == (409, "symbol_case")


def test_large_upload_is_stored_in_batches_without_idempotency(pump: Pump) -> None:
    body = candle_lines(230_000)
    status, told = pump.post(f"{CANDLES}&on_error=abort", body)
    assert (status, told["type"]) == (413, "too_large")
    status, told = pump.post(CANDLES, body, Idempotency_Key="1")
    assert (status, told["inserted"]) == (200, 230_000)
    assert told["change"] > 1
    warning, _ = told["warnings"]  # and that the days are old
    assert warning.startswith("the Idempotency-Key is not used for a body above 8 MB")
    status, told = pump.post(CANDLES, body, Idempotency_Key="")
    assert (status, told["type"]) == (400, "bad_request")
    rows = [f"[{START + MINUTE * n},1,1,1,1,1]" + " " * 20 for n in range(240_000)]
    broken = "[" + ",".join(rows) + ",[17"
    status, told = pump.post("/api/v1/candles?symbol=J&tf=M1", broken.encode())
    assert (status, told["detail"]) == (
        400,
        "the body is truncated; 240,000 rows before are stored",
    )


def test_too_many_uploads_at_once_are_busy(pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_upload_beyond_its_limit_is_refused(settings: Settings, db_path: Path) -> None:
    pump = Pump(create_app(replace(settings, max_upload_mb=1)).test_client(), make_key(db_path))
    for path, limit, size in ((CANDLES, 1_000_000, 1_000_001), (TICKS, 8_000_000, 8_000_001)):
        for body in (b" " * size, gzip.compress(b" " * size)):
            status, told = pump.post(path, body)
            assert (status, told["type"], told["limit_bytes"]) == (413, "too_large", limit)


def test_upload_is_refused_when_the_disk_is_nearly_full(settings: Settings, db_path: Path) -> None:
    client = create_app(replace(settings, min_free_mb=10**9)).test_client()
    pump = Pump(client, make_key(db_path))
    for path, body in ((CANDLES, LINES), (TICKS, tick_lines("X", 1))):
        status, told = pump.post(path, body)
        assert (status, told["type"]) == (507, "disk_full")
    assert client.get("/api/v1/symbols").json == {"symbols": []}


def test_upload_releases_its_read_snapshot(pump: Pump, db_path: Path) -> None:
    """A snapshot held while a body arrives would hold up checkpoints."""
    pump.post(CANDLES, LINES)
    db = connection.connect(db_path)
    busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").get
    db.close()
    assert busy == 0


def test_upload_with_unknown_parameter_stores_nothing(pump: Pump) -> None:
    for query in ("&dry-run=1", "&on-error=abort", "&clok=nyclose"):
        status, told = pump.post(f"{CANDLES}{query}", LINES)
        assert (status, told["type"]) == (400, "bad_parameter")
    assert pump.client.get("/api/v1/symbols").json == {"symbols": []}


TYPED_BODIES = {
    "ticks": (
        TICKS,
        {"ticks": [{"symbol": "GOLDA", "time_msc": START * 1000, "bid": 1, "ask": 2}]},
    ),
    "a tick without a price": (TICKS, {"symbol": "GOLDA", "ticks": [[START, 0, 0], [START, 1, 2]]}),
    "a tick with a null": (TICKS, {"symbol": "GOLDA", "ticks": [[START, None, 2], [START, 1, 2]]}),
    "candles": (
        "/api/v1/candles?symbol=GOLDA&tf=M1",
        [[START, 1, 2, 1, 2, 5], [START + 60, 1, 0, 1, 2, 5]],
    ),
    "refused with abort": (
        "/api/v1/candles?symbol=GOLDA&tf=M1&on_error=abort",
        {"candles": [[START, 1, 2, 1, 2, 5], [START + 60, 1, 0, 1, 2, 5]]},
    ),
    "unknown symbol": (TICKS, {"ticks": [[START, 1, 2]]}),
}


@pytest.mark.parametrize("case", TYPED_BODIES)
def test_json_content_type_gives_the_answer_of_the_general_way(pump: Pump, case: str) -> None:
    """A body of type application/json takes the direct way, one without a type does not."""
    path, body = TYPED_BODIES[case]
    data = orjson.dumps(body)
    direct = pump.post(path, data, Content_Type="application/json")
    path, data = path.replace("GOLDA", "GOLDB"), data.replace(b"GOLDA", b"GOLDB")
    general = pump.post(path, data)
    change = {"change": direct[1]["change"]} if "change" in direct[1] else {}
    text = orjson.dumps(general[1] | change).replace(b"GOLDB", b"GOLDA")
    assert (direct[0], direct[1]) == (general[0], orjson.loads(text))


def test_repeated_json_body_gets_the_stored_answer(pump: Pump) -> None:
    path, body = TYPED_BODIES["ticks"]
    headers = {"Content_Type": "application/json", "Idempotency_Key": "k1"}
    first = pump.post(path, orjson.dumps(body), **headers)
    assert first[1]["inserted"] == 1
    assert pump.post(path, orjson.dumps(body), **headers) == first
