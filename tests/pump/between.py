"""What lies between a pump and GFIL: a proxy that breaks things off, and a server that refuses."""

import contextlib
import gzip
import http.server
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.faults.test_lost_answers import read_message

FATES = ("delivered", "delivered", "refused", "cut in the request", "cut in the answer")
Answer = tuple[int, dict[str, Any], dict[str, str]]


class Proxy:
    """Passes on one request for each connection, or does not; to a server that may change."""

    def __init__(self, upstream: str, rng: random.Random) -> None:
        self.upstream, self.is_calm, self.cuts = upstream, False, 0
        self._rng = rng
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                fate = "delivered" if self.is_calm else self._rng.choice(FATES)
                self.cuts += fate != "delivered"
                threading.Thread(target=self._pass_on, args=(client, fate), daemon=True).start()

    def _pass_on(self, client: socket.socket, fate: str) -> None:
        place = urlsplit(self.upstream)
        with contextlib.suppress(OSError, StopIteration, ValueError), client:
            if fate == "refused":
                return
            with socket.create_connection((place.hostname, place.port), timeout=120) as server:
                server.sendall(_closing(_read_request(client), fate))
                answer = read_message(server)
                client.sendall(answer if fate == "delivered" else answer[:-20])


def _read_request(client: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data and (piece := client.recv(65536)):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line[15:] for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"]
    while lengths and len(body) < int(lengths[0]) and (piece := client.recv(65536)):
        body += piece
    return head + b"\r\nConnection: close\r\n\r\n" + body


def _closing(request: bytes, fate: str) -> bytes:
    return request[:-20] if fate == "cut in the request" else request


@contextlib.contextmanager
def refusing(
    judge: Callable[[str, str, bytes], Answer], named: list[tuple[str, bytes]] | None = None
) -> Iterator[str]:
    """Serve what `judge` makes of method, path and body: status, JSON, headers. Yield the URL.

    `named` gets each body that came under an Idempotency-Key, with that.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        """Answers by the judge."""

        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") else body
            key = self.headers.get("Idempotency-Key")
            if named is not None and key:
                named.append((key, body))
            status, told, headers = judge(self.command, self.path, body)
            content = orjson.dumps(told)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _do  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{served.server_port}"
    finally:
        served.shutdown()
        served.server_close()


GOOD: Answer = (200, {"rows": 0, "errors": [], "rejected": 0, "warnings": [], "last": {}}, {})


class Gfil:
    """Stands where GFIL is, knows one symbol, and takes what `judge` does not refuse."""

    def __init__(self, **known: Any) -> None:
        self.lines: list[bytes] = []
        self.posts: list[tuple[float, str, bytes]] = []
        self.facts: list[Any] = []
        self.symbol = {"symbol": "GOLD", "last_tick_msc": None, "last_time": None, **known}
        self.judge = lambda path, body: GOOD

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Answer one request."""
        if method == "GET":
            return 200, {"symbols": [self.symbol], "gaps": []}, {}
        if method == "PATCH":
            self.facts.append(orjson.loads(body))
            return GOOD
        self.posts.append((time.monotonic(), path, body))
        verdict = self.judge(path, body)
        if verdict[0] == 200 and path == "/api/v1/ticks":
            self.lines += body.splitlines()[1:]
        return verdict

    def times(self) -> list[int]:
        """When the ticks were that it took."""
        return [int(line.split(b",")[1]) for line in self.lines]
