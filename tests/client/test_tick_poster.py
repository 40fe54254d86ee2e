"""Tests of gfil/client/tick_poster.py with a real server and a faulty proxy before it."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest

from gfil.client.tick_poster import Poster, Tick, parse_url
from gfil.errors import BadParameter, Forbidden, GfilError, TooLarge, Unauthorized
from gfil.store import api_keys
from gfil.store.engine import connection
from tests import faulty_proxy
from tests.conftest import Server
from tests.faulty_proxy import HANG_UP, LOSE, PASS

FIRST_MSC = 1709251200000


@pytest.fixture(scope="module")
def running(server: Callable[..., Server]) -> Server:
    return server(GFIL_WORKERS="1")


@pytest.fixture(scope="module")
def key(running: Server) -> str:
    return make_key(running, "write")


def make_key(running: Server, scope: str) -> str:
    db = connection.connect(running.db)
    with connection.transaction(db):
        _, secret = api_keys.create(db, "test", scope, now=int(time.time()))
    db.close()
    return secret


@pytest.fixture
def symbol() -> str:
    """Return a symbol that no other test uses."""
    return f"T{secrets.token_hex(8)}"


def ticks_of(symbol: str, count: int, each_msc: int = 1) -> list[Tick]:
    return [
        Tick(at + 2, symbol, FIRST_MSC + at // each_msc, 1 + at / 1000, 2 + at / 1000)
        for at in range(count)
    ]


def stored(running: Server, symbol: str) -> list[list[float]]:
    answer = orjson.loads(running.get(f"/api/v1/ticks?symbol={symbol}&limit=1000").body)
    found: list[list[float]] = answer["ticks"]
    return found


def as_stored(ticks: list[Tick]) -> list[list[float]]:
    return [list(tick[2:]) for tick in ticks]


@contextmanager
def poster_of(url: str, key: str, **named: Any) -> Iterator[Poster]:
    poster = Poster(parse_url(url), key, **named)
    yield poster
    poster.close()


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost/", "http://localhost"),
        (" http://[::1]:81/gfil/ ", "http://[::1]:81/gfil"),
        ("https://charts.example.com/api/v1/ticks", "https://charts.example.com"),
    ],
)
def test_url_is_parsed(text: str, url: str) -> None:
    assert parse_url(text).url == url


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a URL"),
        ("127.0.0.1:8000", "is not a URL"),
        ("ftp://127.0.0.1", "is not a URL"),
        ("http://", "is not a URL"),
        ("http://127.0.0.1:99999", "is not a URL"),
        ("http://127.0.0.1/?key=1", "is not a URL"),
        ("http://127.0.0.1/a b", "is not a URL"),
        ("http://me:secret@127.0.0.1", "must not contain a user or password"),
        ("http://example.com", "unencrypted: use https, or --insecure"),
        ("http://localhost.example.com", "unencrypted"),
        ("http://10.0.0.1", "unencrypted"),
    ],
)
def test_invalid_url_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadParameter, match=why):
        parse_url(text)


def test_insecure_allows_plain_http() -> None:
    assert parse_url("http://10.0.0.1", insecure=True).url == "http://10.0.0.1"


def test_ticks_are_stored_unchanged(running: Server, key: str, symbol: str) -> None:
    given = [Tick(2, symbol, FIRST_MSC, 1.5, 1.75, 1.625, 3.0, 6), *ticks_of(symbol, 2)[1:]]
    with poster_of(running.url, key) as poster:
        ((sent, answer),) = poster.post(given)
    assert sent == given
    assert (answer["rows"], answer["inserted"]) == (2, 2)
    assert stored(running, symbol) == as_stored(given)


@pytest.mark.parametrize(
    "plan",
    [[503, 429, 507, PASS], [502, PASS], [LOSE, PASS], [HANG_UP, 503, LOSE, LOSE]],
    ids=str,
)
def test_failed_request_is_retried_with_the_same_idempotency_key(
    running: Server, key: str, plan: list[int | str]
) -> None:
    said: list[str] = []
    symbol = f"AGAIN_{plan[0]}".replace(" ", "_")
    given = ticks_of(symbol, 10)
    with (
        faulty_proxy.opened(running.url, *plan) as before,
        poster_of(before.url, key, first_retry_s=10, report=said.append) as poster,
    ):
        answers = list(poster.post(given))
    assert len(set(before.keys)) == 1
    assert [answer["inserted"] for _, answer in answers] == [10]
    assert stored(running, symbol) == as_stored(given)
    assert len(said) == 2
    assert said[0].endswith("; retrying")
    assert said[1] == f"{before.url} accepts ticks again"


def test_closed_kept_alive_connection_is_reopened(running: Server, key: str, symbol: str) -> None:
    said: list[str] = []
    with (
        faulty_proxy.opened(running.url, PASS, HANG_UP) as before,
        poster_of(before.url, key, report=said.append) as poster,
    ):
        for tick in ticks_of(symbol, 3):
            list(poster.post([tick]))
    assert said == []
    assert stored(running, symbol) == as_stored(ticks_of(symbol, 3))


def test_too_large_request_is_split_between_milliseconds(
    running: Server, key: str, symbol: str
) -> None:
    given = ticks_of(symbol, 40, each_msc=3)
    with (
        faulty_proxy.opened(running.url, limit_bytes=1500) as before,
        poster_of(before.url, key) as poster,
    ):
        answers = list(poster.post(given))
    assert [tick for sent, _ in answers for tick in sent] == given
    assert sum(answer["inserted"] for _, answer in answers) == 40
    assert stored(running, symbol) == as_stored(given)
    times = [{tick["time_msc"] for tick in body["ticks"]} for body in before.passed]
    assert len(times) > 3
    assert sum(map(len, times)) == len(set.union(*times))


def test_too_large_millisecond_is_an_error(running: Server, key: str, symbol: str) -> None:
    with (
        faulty_proxy.opened(running.url, limit_bytes=500) as before,
        poster_of(before.url, key) as poster,
        pytest.raises(TooLarge, match="413, so it is planned"),
    ):
        list(poster.post(ticks_of(symbol, 20, each_msc=20)))
    assert before.passed == []


@pytest.mark.parametrize(
    ("status", "kind"), [(401, Unauthorized), (403, Forbidden), (400, GfilError), (301, GfilError)]
)
def test_permanent_error_is_not_retried(
    running: Server, key: str, status: int, kind: type[GfilError]
) -> None:
    with (
        faulty_proxy.opened(running.url, status) as before,
        poster_of(before.url, key) as poster,
        pytest.raises(kind, match=f"http://.* refuses: {status}, "),
    ):
        list(poster.post(ticks_of("ONCE", 1)))
    assert len(before.bodies) == 1


def test_invalid_or_read_only_key_is_an_error(running: Server) -> None:
    reader = make_key(running, "read")
    refused = [("x", Unauthorized, "401, this key is not valid"), (reader, Forbidden, "403, ")]
    for key, kind, why in refused:
        with (
            poster_of(running.url, key) as poster,
            pytest.raises(kind, match=f"{running.url} refuses: {why}"),
        ):
            list(poster.post(ticks_of("X", 1)))


def test_retries_end_after_their_limit(running: Server, key: str) -> None:
    with (
        faulty_proxy.opened(running.url, *[503] * 20) as before,
        poster_of(before.url, key, retry_s=0.3) as poster,
        pytest.raises(GfilError) as caught,
    ):
        list(poster.post(ticks_of("X", 1)))
    assert caught.value.detail == f"{before.url}: 503, so it is planned; gave up after 1 s"


def test_unknown_server_is_not_retried() -> None:
    with poster_of("http://127.0.0.1:9", "x") as poster, pytest.raises(GfilError) as caught:
        list(poster.post(ticks_of("X", 1)))
    assert caught.value.detail == "cannot reach http://127.0.0.1:9: Connection refused"


def test_other_server_that_answers_200_is_refused(key: str, running: Server) -> None:
    with (
        faulty_proxy.opened(running.url, 200) as before,
        poster_of(before.url, key) as poster,
        pytest.raises(GfilError, match="is not a GFIL server"),
    ):
        list(poster.post(ticks_of("X", 1)))
