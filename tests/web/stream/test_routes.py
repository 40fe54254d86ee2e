"""`GET /api/v1/stream`: refusals, and the events of a real server."""

import signal
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import orjson
import pytest
from flask.testing import FlaskClient

from gfil.store.engine import connection
from tests.conftest import STOP_MAX_S, Server, limit_s, wait_for
from tests.faults.senders import make_key
from tests.web.sse import Stream
from tests.web.walks import store as store_candles

START = 1_700_006_400
VOLUMES = count(100)  # each more than the one before, or it would be kept
MADE = [(START + 60 * index, 1.0, 2.0, 0.5, 1.5, 10.0) for index in range(3)]


@pytest.fixture(scope="module")
def running(server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A public server with EURUSD and two streams for each of its two workers."""
    path = tmp_path_factory.mktemp("streamed") / "gfil.db"
    connection.create(path)
    store_candles(path, "EURUSD", MADE)
    return server(GFIL_DB=str(path), GFIL_READ="public", GFIL_STREAMS_MAX="2")


@pytest.fixture(scope="module")
def secret(running: Server) -> str:
    """A key of the scope write."""
    return make_key(running.db, "write")


@pytest.fixture
def connect(running: Server) -> Iterator[Callable[..., Stream]]:
    """`connect(query, **headers)`: a stream that is closed after the test."""
    opened: list[Stream] = []

    def open_(query: str = "sub=EURUSD,M1", **headers: str) -> Stream:
        def got_in() -> bool:  # those of the test before may not be missed yet
            opened.append(Stream(running.url, query, **headers))
            return opened[-1].status != 503

        wait_for(got_in, "a free stream")
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


def post(running: Server, secret: str, close: float, time_: int = START) -> str:
    """Correct one M1; return the id of the change."""
    row = [time_, 1.0, max(2.0, close), 0.5, close, float(next(VOLUMES))]
    body = orjson.dumps([row])
    path = "/api/v1/candles?symbol=EURUSD&tf=M1"
    answer = running.request("POST", path, body, X_API_Key=secret)
    assert answer.status == 200, answer.body
    db = connection.connect(running.db, readonly=True)
    epoch, change = connection.read_state(db)
    db.close()
    return f"{epoch}-{change}"


def test_commit_arrives_as_an_event(
    running: Server, connect: Callable[..., Stream], secret: str
) -> None:
    live = connect("sub=eurusd,1m&sub=EURUSD,D1")
    assert live.status == 200
    assert live.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert live.headers["x-accel-buffering"] == "no"
    assert live.headers["cache-control"] == "no-store"
    (hello,) = live.until("heartbeat")
    assert abs(hello.data["time"] - time.time()) < 60
    reached = post(running, secret, 1.75)
    events = live.events()
    first, second = next(events), next(events)
    *_, volume = first.data["candle"]
    assert volume >= 100
    assert first.data == {
        "symbol": "EURUSD",
        "tf": "M1",
        "clock": "UTC",
        "candle": [START, 1.0, 2.0, 0.5, 1.75, volume],
    }
    assert (second.data["tf"], second.id) == ("D1", reached)


@pytest.mark.parametrize("by", ["since", "Last_Event_ID"])
def test_stream_resumes_from_last_event_id(
    running: Server, connect: Callable[..., Stream], secret: str, by: str
) -> None:
    """STREAM-NO-GAP: the header precedes `since`."""
    with_old = connect()
    with_old.until("heartbeat")
    since = with_old.last_id
    reached = post(running, secret, 1.2 if by == "since" else 1.3)
    if by == "since":
        resumed = connect(f"sub=EURUSD,M1&since={since}")
    else:
        resumed = connect("sub=EURUSD,M1&since=old-1", **{by: since})
    hello, candle = resumed.until("candle")
    assert hello.id == since
    assert (candle.data["candle"][0], candle.id) == (START, reached)


@pytest.mark.parametrize("headers", [{"Last_Event_ID": "nonsense"}, {"Last_Event_ID": "x-1"}])
def test_id_of_another_server_is_a_reset(
    connect: Callable[..., Stream], headers: dict[str, str]
) -> None:
    assert [event.name for event in connect(**headers).until("reset")] == ["heartbeat", "reset"]


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("", 400, "sub is missing"),
        ("&".join(["sub=EURUSD,M1"] * 33), 400, "1 to 32 sub=SYMBOL,TF[,CLOCK] are needed, not 33"),
        ("sub=EURUSD", 400, "a sub is SYMBOL,TF or SYMBOL,TF,CLOCK, not 'EURUSD'"),
        ("sub=,M1", 400, "a sub is SYMBOL,TF or SYMBOL,TF,CLOCK, not ',M1'"),
        (
            "sub=EURUSD,M1,UTC,x",
            400,
            "a sub is SYMBOL,TF or SYMBOL,TF,CLOCK, not 'EURUSD,M1,UTC,x'",
        ),
        ("sub=EURUSD,M7", 400, "unknown timeframe 'M7'"),
        ("sub=EURUSD,M1,Mars", 400, "unknown clock 'Mars'"),
        ("sub=EURUSD,M1,", 400, "unknown clock ''"),
        ("sub=NOBODY,M1", 404, "unknown symbol 'NOBODY'"),
        ("sub=EURUSD,M1&sub=NOBODY,M1", 404, "unknown symbol 'NOBODY'"),
        ("sub=EURUSD,M1&since=5", 400, "since must be EPOCH-CHANGE, as in the id of an event"),
        ("sub=EURUSD,M1&since=a-1&since=a-2", 400, "since is given 2 times"),
    ],
)
def test_bad_parameters_of_stream_are_refused(
    client: FlaskClient, db_path: Path, query: str, status: int, detail: str
) -> None:
    store_candles(db_path, "EURUSD", MADE)
    answer = client.get(f"/api/v1/stream?{query}")
    assert answer.status_code == status
    assert answer.json is not None
    assert answer.json["detail"].startswith(detail)


def test_process_without_jobs_refuses_streams(client: FlaskClient, db_path: Path) -> None:
    store_candles(db_path, "EURUSD", MADE)
    answer = client.get("/api/v1/stream?sub=EURUSD,M1")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_unescaped_plus_in_a_subscription_is_read_as_plus(connect: Callable[..., Stream]) -> None:
    assert connect("sub=EURUSD,D1,America/New_York+07:00").status == 200


def test_head_request_opens_no_stream(running: Server) -> None:
    for _ in range(6):  # more than there are
        answer = running.request("HEAD", "/api/v1/stream?sub=EURUSD,M1")
        assert (answer.status, answer.body) == (200, b"")


def streams(running: Server, secret: str) -> int:
    """The number of open streams in the metrics."""
    text = running.get("/metrics", X_API_Key=secret).body.decode()
    (line,) = [line for line in text.splitlines() if line.startswith("gfil_streams ")]
    return int(float(line.split()[1]))


def test_stream_beyond_the_limit_is_busy(
    running: Server, connect: Callable[..., Stream], secret: str
) -> None:
    """The kernel chooses the worker, so several tries fill all of them."""
    wait_for(lambda: streams(running, secret) == 0, "those of the tests before to be gone")
    opened: list[Stream] = []

    def all_are_taken() -> bool:
        opened.append(Stream(running.url, "sub=EURUSD,M1"))
        return opened[-1].status == 503 and streams(running, secret) == 4

    wait_for(all_are_taken, "both workers to be full")
    refused = opened[-1]
    assert refused.headers["retry-after"] == "5"
    assert orjson.loads(refused.rest())["detail"] == "all live streams are taken"
    assert running.get("/healthz").status == 200
    for each in opened:
        each.close()
    wait_for(lambda: streams(running, secret) == 0, "the clients' leaving to be noticed")
    assert connect().status == 200


def test_stopping_server_ends_its_streams(server: Callable[..., Server], db_path: Path) -> None:
    """DRAIN: at once, and after a complete last event."""
    store_candles(db_path, "EURUSD", MADE)
    running = server(GFIL_DB=str(db_path), GFIL_READ="public")
    opened = [Stream(running.url, "sub=EURUSD,M1") for _ in range(5)]
    for each in opened:
        each.until("heartbeat")
    running.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    for each in opened:
        assert list(each.events()) == []
        each.close()
    assert running.process.wait(STOP_MAX_S) == 0
    assert time.monotonic() - began < limit_s(10)
