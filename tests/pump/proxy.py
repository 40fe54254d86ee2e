"""A proxy between a pump and GFIL that cuts connections at random."""

import contextlib
import random
import socket
import threading
from urllib.parse import urlsplit

from tests.faults.test_lost_answers import read_message

FATES = ("delivered", "delivered", "refused", "cut in the request", "cut in the answer")


class FaultyProxy:
    """Forwards one request for each connection, unless it cuts it; `upstream` may change."""

    def __init__(self, upstream: str, rng: random.Random) -> None:
        self.upstream, self.is_calm, self.cuts = upstream, False, 0
        self._rng = rng
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                fate = "delivered" if self.is_calm else self._rng.choice(FATES)
                self.cuts += fate != "delivered"
                threading.Thread(target=self._forward, args=(client, fate), daemon=True).start()

    def _forward(self, client: socket.socket, fate: str) -> None:
        address = urlsplit(self.upstream)
        with contextlib.suppress(OSError, StopIteration, ValueError), client:
            if fate == "refused":
                return
            with socket.create_connection((address.hostname, address.port), timeout=120) as server:
                request = _read_request(client)
                server.sendall(request[:-20] if fate == "cut in the request" else request)
                answer = read_message(server)
                client.sendall(answer if fate == "delivered" else answer[:-20])


def _read_request(client: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data and (part := client.recv(65536)):
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line[15:] for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"]
    while lengths and len(body) < int(lengths[0]) and (part := client.recv(65536)):
        body += part
    return head + b"\r\nConnection: close\r\n\r\n" + body
