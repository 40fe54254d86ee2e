"""Requests over raw sockets, cut at any byte, and rows to send."""

import socket
from urllib.parse import urlsplit

import orjson

MINUTE = 60
START = 1_700_000_040


def candle_lines(count: int, start: int = START) -> bytes:
    """Return minutes as CSV with a header, a line of 37 bytes for each."""
    lines = [
        b"%d,1.%05d,1.9,0.9,1.%05d,%07d.5\n" % (start + MINUTE * n, n % 89999, n % 88888, n % 9999)
        for n in range(count)
    ]
    return b"time,open,high,low,close,volume\n" + b"".join(lines)


def tick_lines(symbol: str, count: int, start: int = START) -> bytes:
    """Return ticks as JSON, ten a second."""
    ticks = [
        {"symbol": symbol, "time_msc": start * 1000 + 100 * n, "bid": 1 + n % 7 / 8, "ask": 2.0}
        for n in range(count)
    ]
    return orjson.dumps({"ticks": ticks})


def head_of(path: str, secret: str, *headers: str) -> bytes:
    """Return the head of a POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"X-API-Key: {secret}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def chunked(body: bytes, size: int = 4096) -> bytes:
    """Return a body as chunks."""
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def send(url: str, data: bytes, *, vanish: bool = False) -> bytes:
    """Send bytes and shut down sending; return the answer, or nothing with `vanish`."""
    place = urlsplit(url)
    assert place.hostname
    with socket.create_connection((place.hostname, place.port or 80), timeout=120) as connection:
        connection.sendall(data)
        if vanish:
            return b""
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def status_of(answer: bytes) -> int:
    """Return the status of an answer, 0 without an answer."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


def json_of(answer: bytes) -> dict[str, object]:
    """Return the JSON of an answer."""
    body = answer.partition(b"\r\n\r\n")[2]
    parsed: dict[str, object] = orjson.loads(body)
    return parsed
