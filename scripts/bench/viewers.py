"""Many stream subscribers in one process: `viewers.py HOST PORT SUB…`, one for each SUB.

The program prints `watching` when every stream has its first event, and receives events until a
line arrives on stdin. Then it prints as JSON the closes that each subscriber received, each with
its time by time.monotonic().
"""

import json
import re
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import orjson

RECEIVE_BYTES = 65536
WELCOME_MAX_S = 30.0
AGAIN_S = 0.1
CANDLE = re.compile(rb"^event: candle\ndata: (.*)$", re.MULTILINE)
RESET = b"event: reset\n"


class Viewer:
    """One stream. It keeps the bytes and parses them at the end, to cost little CPU meanwhile."""

    def __init__(self, host: str, port: int, sub: str) -> None:
        query = urlencode({"sub": sub})
        asked = f"GET /api/v1/stream?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n"
        self.received: list[tuple[float, bytes]] = []
        self.socket = socket.create_connection((host, port))
        self.socket.sendall(asked.encode())
        self.receive()

    def receive(self) -> None:
        """Receive the bytes that have arrived."""
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise SystemExit("a stream has ended")
        self.received.append((time.monotonic(), data))

    def is_refused(self) -> bool:
        """Return whether the server has refused the stream."""
        return b" 200 " not in self.received[0][1][:16]

    def is_welcome(self) -> bool:
        """Return whether the first event has arrived."""
        return any(b"\nid: " in data for _, data in self.received)

    def shown(self) -> Iterator[tuple[float, float]]:
        """Yield the close of each candle, and when the last byte of its event arrived."""
        rest = b""
        for at, data in self.received:
            whole, _, rest = (rest + data).rpartition(b"\n\n")
            for match in CANDLE.finditer(whole):
                yield at, orjson.loads(match[1])["candle"][4]

    def count_resets(self) -> int:
        """Return the number of reset events."""
        return b"".join(data for _, data in self.received).count(RESET)


def join(host: str, port: int, sub: str) -> Viewer:
    """Open a stream; retry while a server that has just started refuses it."""
    deadline = time.monotonic() + WELCOME_MAX_S
    while (viewer := Viewer(host, port, sub)).is_refused():
        viewer.socket.close()
        if time.monotonic() > deadline:
            raise SystemExit(f"the server refuses a stream: {viewer.received[0][1].decode()}")
        time.sleep(AGAIN_S)
    return viewer


def watch(viewers: list[Viewer]) -> dict[str, Any]:
    """Receive from all streams until a line arrives on stdin; return events and CPU share."""
    with selectors.DefaultSelector() as waiting:
        for viewer in viewers:
            waiting.register(viewer.socket, selectors.EVENT_READ, viewer)
        deadline = time.monotonic() + WELCOME_MAX_S
        while not all(viewer.is_welcome() for viewer in viewers):
            if time.monotonic() > deadline:
                raise SystemExit("some streams have no first event")
            take(waiting)
        print("watching", flush=True)
        waiting.register(sys.stdin, selectors.EVENT_READ)
        start, before = time.monotonic(), time.process_time()
        while take(waiting):
            pass
        cpu, seconds = time.process_time() - before, time.monotonic() - start
    return {
        "shown": [[*viewer.shown()] for viewer in viewers],
        "resets": sum(viewer.count_resets() for viewer in viewers),
        "cpu": cpu / seconds,
    }


def take(waiting: selectors.BaseSelector) -> bool:
    """Receive from each stream that has data; return False when a line has arrived on stdin."""
    for key, _ in waiting.select(WELCOME_MAX_S):
        if key.data is None:
            return False
        key.data.receive()
    return True


def main(host: str, port: str, *subs: str) -> None:
    """Run the program."""
    print(json.dumps(watch([join(host, int(port), sub) for sub in subs])))


if __name__ == "__main__":
    main(*sys.argv[1:])
