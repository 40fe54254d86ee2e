"""Large uploads through the real server are stored whole, in flat memory."""

import gzip
from collections.abc import Callable

import orjson
import pytest

from tests.conftest import Server
from tests.faults.memory import GROWTH_MAX_MB, Worker
from tests.faults.senders import make_key
from tests.faults.sizes import LONG
from tests.faults.sockets import START, candle_lines, chunked, head_of, json_of, send, status_of

MB = 1024 * 1024
SMALL_ROWS = 180_000  # 7 MB, one transaction
LARGE_ROWS = 8_000_000 if LONG else 800_000  # 300 MB, 30 MB
MINUTE = 60


@pytest.fixture(scope="module")
def running(server: Callable[..., Server]) -> Server:
    """One worker that has served a request."""
    running = server(GFIL_WORKERS="1")
    secret = make_key(running.db)
    path = "/api/v1/candles?symbol=WARM&tf=M1"
    assert running.request("POST", path, candle_lines(20_000), X_API_Key=secret).status == 200
    return running


def test_eight_megabytes_are_stored_in_one_transaction(running: Server) -> None:
    """They need little more memory than their bytes."""
    secret = make_key(running.db)
    worker = Worker(running)
    body = candle_lines(SMALL_ROWS)
    assert 6 * MB < len(body) < 8 * MB
    before = worker.begin()
    path = "/api/v1/candles?symbol=SMALL&tf=M1"
    answer = running.request("POST", path, body, X_API_Key=secret)
    told = orjson.loads(answer.body)
    assert (answer.status, told["inserted"], told["rejected"]) == (200, SMALL_ROWS, 0)
    assert worker.peak() - before < GROWTH_MAX_MB


@pytest.mark.parametrize("way", ["length", "gzip", "chunked"])
def test_large_upload_is_streamed(running: Server, way: str) -> None:
    """By Content-Length and in chunks."""
    secret = make_key(running.db)
    worker = Worker(running)
    rows = LARGE_ROWS if way == "length" else 300_000
    symbol = f"LARGE.{way}"
    start = START - MINUTE * rows
    body = candle_lines(rows, max(start, 0))
    path = f"/api/v1/candles?symbol={symbol}&tf=M1"
    if way == "chunked":
        head, wire = "Transfer-Encoding: chunked", chunked(body, 100_000)
    else:
        wire = gzip.compress(body, 1) if way == "gzip" else body
        head = f"Content-Length: {len(wire)}"
    before = worker.begin()
    answer = send(running.url, head_of(path, secret, head) + wire)
    told = json_of(answer)
    assert (status_of(answer), told["inserted"], told["rejected"]) == (200, rows, 0)
    assert worker.peak() - before < GROWTH_MAX_MB


@pytest.mark.parametrize("path", ["/login", "/logout", "/api/v1/symbols/WARM"])
def test_other_routes_refuse_large_bodies(running: Server, path: str) -> None:
    """The limit is 2 MB or less; the next request works."""
    secret = make_key(running.db)
    method = "PATCH" if "symbols" in path else "POST"
    form = {"Content_Type": "application/x-www-form-urlencoded"} if method == "POST" else {}
    body = b"key=" + b"x" * 3 * MB
    answer = running.request(method, path, body, X_API_Key=secret, **form)
    assert answer.status in (303, 413)
    assert running.get("/healthz").status == 200


@pytest.mark.parametrize("key", ["good", "wrong", "none"])
def test_client_that_sends_too_much_gets_its_answer(
    server: Callable[..., Server], key: str
) -> None:
    """The client sends everything before it reads."""
    running = server(GFIL_WORKERS="1", GFIL_MAX_UPLOAD_MB="1")
    headers = {"good": {"X_API_Key": make_key(running.db)}, "wrong": {"X_API_Key": "x"}, "none": {}}
    status = 413 if key == "good" else 401
    for path in ("/api/v1/candles?symbol=X&tf=M1", "/api/v1/ticks", "/api/v1/nothing"):
        answer = running.request("POST", path, bytes(30 * MB), **headers[key])
        assert answer.status == (404 if path.endswith("nothing") else status)
        assert running.get("/healthz").status == 200
