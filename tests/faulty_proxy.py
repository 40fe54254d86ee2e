"""Faulty proxy before a real server: it passes requests on and breaks some as planned."""

import contextlib
import http.client
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import orjson

LOSE = "lose the answer"
HANG_UP = "hang up"
PASS = "pass"


@dataclass
class FaultyProxy:
    """`plan`: the fate of each request in turn, a status or one of the words; later ones pass.

    `bodies` and `keys` are those of every request, also of the ones that were not passed on.
    """

    url: str
    upstream: str
    plan: list[int | str]
    limit_bytes: int | None = None
    bodies: list[Any] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    passed: list[Any] = field(default_factory=list)


@contextmanager
def opened(
    upstream: str, *plan: int | str, limit_bytes: int | None = None
) -> Iterator[FaultyProxy]:
    """Start a faulty proxy before the server at `upstream`; beyond `limit_bytes` it answers 413."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_address[1]}"
    server.proxy = FaultyProxy(url, upstream, list(plan), limit_bytes)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.proxy  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """One connection through the proxy."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Handle a request as planned."""
        proxy: FaultyProxy = self.server.proxy  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        proxy.bodies.append(orjson.loads(body))
        proxy.keys.append(self.headers["Idempotency-Key"])
        fate = proxy.plan.pop(0) if proxy.plan else PASS
        if proxy.limit_bytes is not None and len(body) > proxy.limit_bytes:
            fate = 413
        if isinstance(fate, int):
            return self.answer(fate, b'{"detail":"so it is planned"}', [("Retry-After", "0")])
        if fate == HANG_UP:
            self.close_connection = True
            return None
        proxy.passed.append(proxy.bodies[-1])
        status, told = self.pass_on(proxy.upstream, body)
        if fate == LOSE:
            self.close_connection = True
            return None
        return self.answer(status, told, [])

    def pass_on(self, upstream: str, body: bytes) -> tuple[int, bytes]:
        """Pass the request on and return the answer of the server."""
        connection = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=120)
        try:
            connection.request("POST", self.path, body, dict(self.headers.items()))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def answer(self, status: int, body: bytes, headers: Sequence[tuple[str, str]]) -> None:
        """Answer without the server."""
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in [*headers, ("Content-Length", str(len(body)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Log nothing."""
