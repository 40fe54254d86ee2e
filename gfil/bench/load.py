"""Load generator over kept-alive connections: at a fixed rate, or as fast as possible."""

import contextlib
import http.client
import re
import selectors
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from gfil.errors import GfilError

RECEIVE_BYTES = 256 * 1024
ANSWER_MAX_S = 30
UPLOAD_MAX_S = 600
LEAD_S = 0.05
SERVER_TIMING = re.compile(rb"\r\nserver-timing: app;dur=([0-9.]+)", re.IGNORECASE)

Address = tuple[str, int]


class _Connection:
    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection(address, ANSWER_MAX_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = b""
        self._missing: int | None = None

    def __enter__(self) -> "_Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, request: bytes) -> None:
        self.head, self._missing = b"", None
        self.socket.sendall(request)

    # Reads received bytes; true when the answer is complete.
    def receive(self) -> bool:
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise GfilError("the measured server closed a connection")
        if self._missing is None:
            self.head += data
            head, end, body = self.head.partition(b"\r\n\r\n")
            if not end:
                return False
            self._missing = _content_length(head) - len(body)
        else:
            self._missing -= len(data)
        return self._missing <= 0

    def ask(self, request: bytes) -> None:
        self.send(request)
        while not self.receive():
            pass


def _content_length(head: bytes) -> int:
    status, _, fields = head.partition(b"\r\n")
    if b" 200 " not in status:
        raise GfilError(f"the measured server answers {status.decode('latin-1')}")
    for field in fields.split(b"\r\n"):
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise GfilError("the measured server sends no Content-Length")


def request(path: str, *, gzipped: bool = False) -> bytes:
    """Return the bytes of a GET request."""
    encoding = "Accept-Encoding: gzip\r\n" if gzipped else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{encoding}\r\n".encode()


def post(path: str, body: bytes, content_type: str, key: str) -> bytes:
    """Return the bytes of a POST request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def size_bytes(address: Address, asked: bytes) -> int:
    """Return the length of the body of the answer to a request."""
    with _Connection(address) as connection:
        connection.send(asked)
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.socket.recv(RECEIVE_BYTES)
        return _content_length(head.partition(b"\r\n\r\n")[0])


class Answer(NamedTuple):
    """One answer: when its request was due, when it was complete, and its head."""

    due: float
    ended: float
    head: bytes

    @property
    def late_ms(self) -> float:
        """Time from when the request was due to the complete answer."""
        return (self.ended - self.due) * 1000

    @property
    def server_ms(self) -> float:
        """Duration reported by the server."""
        found = SERVER_TIMING.search(self.head)
        if found is None:
            raise GfilError("the measured server sends no Server-Timing")
        return float(found[1])


def ask_evenly(
    address: Address, requests: Sequence[bytes], rate: float, seconds: float, connections: int
) -> list[Answer]:
    """Send `rate` requests per second at even times, and return the answers in that order."""
    count = max(int(rate * seconds), 1)
    start = time.monotonic() + LEAD_S
    answers: dict[int, Answer] = {}

    def ask_some(first: int) -> None:
        with _Connection(address) as connection:
            for number in range(first, count, connections):
                due = start + number / rate
                time.sleep(max(due - time.monotonic(), 0))
                connection.ask(requests[number % len(requests)])
                ended, head = time.monotonic(), connection.head.partition(b"\r\n\r\n")[0]
                answers[number] = Answer(due, ended, head)

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(ask_some, range(connections)))
    return [answers[number] for number in range(count)]


def latencies_ms(
    address: Address,
    requests: Sequence[bytes],
    rate: float,
    seconds: float,
    connections: int,
    *,
    by_server: bool = False,
) -> list[float]:
    """Send `rate` requests per second at even times, and return the latency of each.

    Latency counts from when a request was due, so a stalled server is charged for requests that
    waited (open loop). `by_server` uses the duration reported by the server instead.
    """
    answers = ask_evenly(address, requests, rate, seconds, connections)
    return [answer.server_ms if by_server else answer.late_ms for answer in answers]


def seconds_for_all(address: Address, requests: Sequence[bytes], connections: int) -> float:
    """Send every request once, split over the connections, and return the total time."""

    def ask_some(first: int) -> None:
        with _Connection(address) as connection:
            for asked in requests[first::connections]:
                connection.ask(asked)

    start = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(ask_some, range(connections)))
    return time.perf_counter() - start


def upload(address: Address, path: str, file: Path, key: str) -> tuple[bytes, float]:
    """Stream a file as a POST; return the answer and the duration in seconds."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection(*address, timeout=UPLOAD_MAX_S)
    with contextlib.closing(connection), file.open("rb") as body:
        headers = {"X-API-Key": key, "Content-Length": str(file.stat().st_size)}
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        answer = response.read()
    if response.status != 200:
        raise GfilError(f"the measured upload is answered {response.status}")
    return answer, time.perf_counter() - start


def per_second(
    address: Address, requests: Sequence[bytes], seconds: float, connections: int
) -> float:
    """Send the next request as soon as an answer arrives; return answers per second."""
    with ExitStack() as stack:
        waiting = stack.enter_context(selectors.DefaultSelector())
        number = 0
        for number in range(connections):
            connection = stack.enter_context(_Connection(address))
            connection.send(requests[number % len(requests)])
            waiting.register(connection.socket, selectors.EVENT_READ, connection)
        start, answers = time.perf_counter(), 0
        while (now := time.perf_counter()) < start + seconds:
            for key, _ in waiting.select(ANSWER_MAX_S):
                if key.data.receive():
                    answers += 1
                    number += 1
                    key.data.send(requests[number % len(requests)])
        return answers / (now - start)
