"""Uploads cut at any byte are refused, and complete when they are sent again."""

import gzip
import random
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.conftest import Server
from tests.faults.senders import make_key
from tests.faults.sizes import LONG, seeded
from tests.faults.sockets import (
    START,
    candle_lines,
    chunked,
    head_of,
    json_of,
    send,
    status_of,
    tick_lines,
)

CASES = 600 if LONG else 60
ROWS = 300
LARGE_ROWS = 240_000  # 9 MB
MINUTE = 60


class Site(NamedTuple):
    """A server, and a key that may write to it."""

    server: Server
    secret: str

    def get(self, path: str) -> bytes:
        """Return the body of an answer."""
        return self.server.get(path, X_API_Key=self.secret).body

    def holds(self, symbol: str) -> bool:
        """Return whether the symbol exists."""
        return self.server.get(f"/api/v1/symbols/{symbol}", X_API_Key=self.secret).status == 200


@pytest.fixture(scope="module")
def site(server: Callable[..., Server]) -> Site:
    """Two workers."""
    running = server(GFIL_WORKERS="2")
    return Site(running, make_key(running.db, "admin"))


def wrap(body: bytes, way: str) -> tuple[bytes, tuple[str, ...]]:
    """Return the body as sent, and the headers that describe it."""
    packed = gzip.compress(body, mtime=0) if way.startswith("gzip") else body
    encoding = ("Content-Encoding: gzip",) if way == "gzip declared" else ()
    if way.endswith("chunked"):
        return chunked(packed, 1000), (*encoding, "Transfer-Encoding: chunked")
    return packed, (*encoding, f"Content-Length: {len(packed)}")


WAYS = ("length", "chunked", "gzip", "gzip declared", "gzip chunked")


def cut(site: Site, path: str, body: bytes, rng: random.Random) -> None:
    """Send the first part of a request: any answer must be 400."""
    way = rng.choice(WAYS)
    wire, headers = wrap(body, way)
    end = rng.choice((rng.randrange(len(wire)), len(wire) - 1, len(wire) - rng.randrange(1, 40)))
    data = head_of(path, site.secret, *headers) + wire[:end]
    answer = send(site.server.url, data, vanish=rng.random() < 0.3)
    assert status_of(answer) in (0, 400), (way, end, len(wire), answer)


def cut_gzip(site: Site, path: str, body: bytes, rng: random.Random) -> None:
    """Send a complete request whose gzip stream is cut."""
    packed = gzip.compress(body, mtime=0)
    rest = packed[: rng.randrange(3, len(packed))]
    length = f"Content-Length: {len(rest)}"
    answer = send(site.server.url, head_of(path, site.secret, length) + rest)
    assert status_of(answer) == 400, (len(rest), len(packed), answer)


def test_small_upload_that_is_cut_stores_nothing(site: Site) -> None:
    """By length, in chunks, as gzip; the whole upload sent after it is stored in full."""
    rng = seeded("cut uploads")
    for case in range(CASES):
        symbol = f"CUT{case}"
        if rng.random() < 0.5:
            path = f"/api/v1/candles?symbol={symbol}&tf=M1"
            body = candle_lines(ROWS)
        else:
            path, body = "/api/v1/ticks", tick_lines(symbol, ROWS)
        rng.choice((cut, cut, cut_gzip))(site, path, body, rng)
        assert not site.holds(symbol), case
        wire, headers = wrap(body, rng.choice(WAYS))
        answer = send(site.server.url, head_of(path, site.secret, *headers) + wire)
        told = json_of(answer)
        assert (status_of(answer), told["rows"], told["inserted"]) == (200, ROWS, ROWS), case


def test_large_upload_that_is_cut_keeps_its_whole_batches(site: Site) -> None:
    """The answer counts their rows; the whole upload sent again stores the rest."""
    rng = seeded("large cut uploads")
    body = candle_lines(LARGE_ROWS)
    path = "/api/v1/candles?symbol=LARGE&tf=M1"
    for end in (rng.randrange(len(body) // 2, len(body) * 3 // 4), len(body) - 1):  # each adds rows
        data = head_of(path, site.secret, f"Content-Length: {len(body)}") + body[:end]
        answer = send(site.server.url, data)
        detail = str(json_of(answer)["detail"])
        assert status_of(answer) == 400, answer
        assert f"{end:,} of {len(body):,} bytes arrived" in detail
        held = json_of(b"\r\n\r\n" + site.get("/api/v1/symbols/LARGE"))["timeframes"]
        assert isinstance(held, list)
        assert f"{held[0]['count']:,} rows before are stored" in detail
        assert held[0]["last"] == START + MINUTE * (held[0]["count"] - 1)
    for symbol in ("LARGE", "UNCUT"):
        path = f"/api/v1/candles?symbol={symbol}&tf=M1"
        answer = send(
            site.server.url, head_of(path, site.secret, f"Content-Length: {len(body)}") + body
        )
        told = json_of(answer)
        assert (status_of(answer), told["rejected"]) == (200, 0)
        assert told["inserted"] == LARGE_ROWS - int(str(told["unchanged"]))
    for tf in ("M1", "H1", "D1"):
        exports = [site.get(f"/api/v1/export?symbol={s}&tf={tf}") for s in ("LARGE", "UNCUT")]
        assert exports[0] == exports[1] != b""


@pytest.mark.parametrize(
    "wire",
    [
        b"zz\r\nabc\r\n0\r\n\r\n",  # size is no hexadecimal number
        b"5\r\nabcdefgh\r\n0\r\n\r\n",  # chunk longer than its size
        b"fffffffffffffffffff\r\nabc",
        b"-5\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\n",  # last line missing
    ],
)
def test_malformed_chunks_are_refused(site: Site, wire: bytes) -> None:
    """The next request works."""
    path = "/api/v1/candles?symbol=CHUNKS&tf=M1"
    answer = send(site.server.url, head_of(path, site.secret, "Transfer-Encoding: chunked") + wire)
    assert status_of(answer) == 400
    assert not site.holds("CHUNKS")
