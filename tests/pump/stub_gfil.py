"""A stub of GFIL for answers that the real server gives rarely."""

import contextlib
import gzip
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson

Answer = tuple[int, dict[str, Any], dict[str, str]]  # status, JSON, headers
OK: Answer = (200, {"rows": 0, "errors": [], "rejected": 0, "warnings": [], "last": {}}, {})


@contextlib.contextmanager
def serve(
    answer: Callable[[str, str, bytes], Answer], keyed: list[tuple[str, bytes]] | None = None
) -> Iterator[str]:
    """Serve the answers of a function of method, path and body; yield the URL.

    `keyed` collects the Idempotency-Key and the body of each request that has a key.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        """Calls the function."""

        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") else body
            key = self.headers.get("Idempotency-Key")
            if keyed is not None and key:
                keyed.append((key, body))
            status, document, headers = answer(self.command, self.path, body)
            content = orjson.dumps(document)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _do  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class StubGfil:
    """Knows one symbol and stores every row, unless `answer_post` says otherwise."""

    def __init__(self, **known: Any) -> None:
        self.tick_lines: list[bytes] = []
        self.posts: list[tuple[float, str, bytes]] = []  # time.monotonic(), path, body
        self.facts: list[Any] = []
        self.symbol = {"symbol": "GOLD", "last_tick_msc": None, "last_time": None, **known}
        self.answer_post: Callable[[str, bytes], Answer] = lambda path, body: OK

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Answer one request."""
        if method == "GET":
            return 200, {"symbols": [self.symbol], "gaps": []}, {}
        if method == "PATCH":
            self.facts.append(orjson.loads(body))
            return OK
        self.posts.append((time.monotonic(), path, body))
        answer = self.answer_post(path, body)
        if answer[0] == 200 and path == "/api/v1/ticks":
            self.tick_lines += body.splitlines()[1:]
        return answer

    def tick_times(self) -> list[int]:
        """Return the times of the stored ticks."""
        return [int(line.split(b",")[1]) for line in self.tick_lines]


def problem(status: int, detail: str, **fields: Any) -> Answer:
    """Return an answer that refuses a request."""
    return status, {"status": status, "detail": detail, **fields}, {}
