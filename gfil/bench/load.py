"""Requests over kept connections: so many a second whatever happens, or as many as go."""

import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from gfil.errors import GfilError

RECEIVE_BYTES = 256 * 1024
ANSWER_MAX_S = 30
LEAD_S = 0.05

Address = tuple[str, int]


class _Connection:
    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection(address, ANSWER_MAX_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = b""
        self._missing: int | None = None

    def __enter__(self) -> "_Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, request: bytes) -> None:
        self._head, self._missing = b"", None
        self.socket.sendall(request)

    # Takes what has come; true when the answer is whole.
    def receive(self) -> bool:
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise GfilError("the server that is measured closed a connection")
        if self._missing is None:
            self._head += data
            head, end, body = self._head.partition(b"\r\n\r\n")
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
        raise GfilError(f"the server that is measured answers {status.decode('latin-1')}")
    for field in fields.split(b"\r\n"):
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise GfilError("the server that is measured names no Content-Length")


def request(path: str, *, gzipped: bool = False) -> bytes:
    """Return the bytes of a GET."""
    encoding = "Accept-Encoding: gzip\r\n" if gzipped else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{encoding}\r\n".encode()


def size_bytes(address: Address, asked: bytes) -> int:
    """Return the length of the body that one request brings."""
    with _Connection(address) as connection:
        connection.send(asked)
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.socket.recv(RECEIVE_BYTES)
        return _content_length(head.partition(b"\r\n\r\n")[0])


def latencies_ms(
    address: Address, requests: Sequence[bytes], rate: float, seconds: float, connections: int
) -> list[float]:
    """Send `rate` requests a second at even times, and return how long each took.

    The time runs from the moment a request was due, so a server that stalls pays for those that
    had to wait (an open loop).
    """
    count = max(int(rate * seconds), 1)
    start = time.perf_counter() + LEAD_S

    def ask_some(first: int) -> Iterator[float]:
        with _Connection(address) as connection:
            for number in range(first, count, connections):
                due = start + number / rate
                time.sleep(max(due - time.perf_counter(), 0))
                connection.ask(requests[number % len(requests)])
                yield (time.perf_counter() - due) * 1000

    with ThreadPoolExecutor(connections) as pool:
        parts = pool.map(lambda first: [*ask_some(first)], range(connections))
        return [latency for part in parts for latency in part]


def per_second(
    address: Address, requests: Sequence[bytes], seconds: float, connections: int
) -> float:
    """Ask again as soon as an answer is there, on every connection; return answers per second."""
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
