"""Viewers of live streams in one process: `viewers.py HOST PORT SUB…`, one viewer per SUB.

The process prints `watching` when every viewer has its first event, receives events until a line
arrives on stdin, and then prints the closes each viewer received with monotonic times, as JSON.
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
FIRST_EVENT_MAX_S = 30.0
RETRY_S = 0.1
CANDLE = re.compile(rb"^event: candle\ndata: (.*)$", re.MULTILINE)
RESET = b"event: reset\n"


class Viewer:
    """One stream; received bytes are kept and parsed at the end, which costs least."""

    def __init__(self, host: str, port: int, sub: str) -> None:
        query = urlencode({"sub": sub})
        asked = f"GET /api/v1/stream?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n"
        self.received: list[tuple[float, bytes]] = []
        self.socket = socket.create_connection((host, port))
        self.socket.sendall(asked.encode())
        self.receive()

    def receive(self) -> None:
        """Read received bytes."""
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise SystemExit("a stream has ended")
        self.received.append((time.monotonic(), data))

    def is_refused(self) -> bool:
        """Return whether the server refused the stream."""
        return b" 200 " not in self.received[0][1][:16]

    def has_event(self) -> bool:
        """Return whether the first event has arrived."""
        return any(b"\nid: " in data for _, data in self.received)

    def shown(self) -> Iterator[tuple[float, float]]:
        """Yield the close of every received candle with the time of its event."""
        rest = b""
        for at, data in self.received:
            whole, _, rest = (rest + data).rpartition(b"\n\n")
            for match in CANDLE.finditer(whole):
                yield at, orjson.loads(match[1])["candle"][4]

    def count_resets(self) -> int:
        """Return the number of reset events."""
        return b"".join(data for _, data in self.received).count(RESET)


def join(host: str, port: int, sub: str) -> Viewer:
    """Return a new viewer; retry while a server that has just started refuses it."""
    deadline = time.monotonic() + FIRST_EVENT_MAX_S
    while (viewer := Viewer(host, port, sub)).is_refused():
        viewer.socket.close()
        if time.monotonic() > deadline:
            raise SystemExit(f"a stream is refused: {viewer.received[0][1].decode()}")
        time.sleep(RETRY_S)
    return viewer


def watch(viewers: list[Viewer]) -> dict[str, Any]:
    """Receive events of all viewers until a line arrives on stdin; return them and the CPU."""
    with selectors.DefaultSelector() as waiting:
        for viewer in viewers:
            waiting.register(viewer.socket, selectors.EVENT_READ, viewer)
        deadline = time.monotonic() + FIRST_EVENT_MAX_S
        while not all(viewer.has_event() for viewer in viewers):
            if time.monotonic() > deadline:
                raise SystemExit("the streams have no first event")
            receive_all(waiting)
        print("watching", flush=True)
        waiting.register(sys.stdin, selectors.EVENT_READ)
        start, before = time.monotonic(), time.process_time()
        while receive_all(waiting):
            pass
        cpu, seconds = time.process_time() - before, time.monotonic() - start
    return {
        "shown": [[*viewer.shown()] for viewer in viewers],
        "resets": sum(viewer.count_resets() for viewer in viewers),
        "cpu": cpu / seconds,
    }


def receive_all(waiting: selectors.BaseSelector) -> bool:
    """Read from all ready viewers; false when a line has arrived on stdin."""
    for key, _ in waiting.select(FIRST_EVENT_MAX_S):
        if key.data is None:
            return False
        key.data.receive()
    return True


def main(host: str, port: str, *subs: str) -> None:
    """Run viewers for the given subscriptions."""
    print(json.dumps(watch([join(host, int(port), sub) for sub in subs])))


if __name__ == "__main__":
    main(*sys.argv[1:])
