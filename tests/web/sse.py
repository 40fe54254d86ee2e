"""Strict parser of server-sent events: a block, a text, a socket."""

import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

WAIT_S = 120


class Event(NamedTuple):
    """One event: name, decoded data, id, retry delay."""

    name: str
    data: Any
    id: str | None
    retry_ms: int | None = None


def parse_event(block: str) -> Event:
    """Return the event of one block of lines, without the blank line after it.

    Raises:
        ValueError: GFIL sends no such thing.
    """
    lines = block.split("\n")
    fields = dict(line.split(": ", 1) for line in lines)
    known = {"event", "data"} <= fields.keys() <= {"event", "data", "id", "retry"}
    if len(fields) < len(lines) or not known:
        raise ValueError(f"the event {block!r}")
    retry = int(fields["retry"]) if "retry" in fields else None
    return Event(fields["event"], orjson.loads(fields["data"]), fields.get("id"), retry)


def parse(text: str) -> list[Event]:
    """Return the events of complete blocks of lines."""
    return [parse_event(block) for block in text.split("\n\n")[:-1]]


class Stream:
    """One live stream of a real server."""

    def __init__(self, url: str, query: str, **headers: str) -> None:
        where = urlsplit(url)
        self.socket = socket.create_connection((where.hostname, where.port), timeout=WAIT_S)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"GET /api/v1/stream?{query} HTTP/1.0", f"Host: {where.netloc}"]
        lines += [f"{name}: {value}" for name, value in given.items()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._file = self.socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers: dict[str, str] = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            self.headers[name.lower()] = value
        self.last_id: str | None = None

    def events(self) -> Iterator[Event]:
        """Yield events as they come, until the server ends the stream."""
        block: list[bytes] = []
        for line in self._file:
            block.append(line)
            if line == b"\n":
                for event in parse(b"".join(block).decode()):
                    self.last_id = event.id or self.last_id
                    yield event._replace(id=self.last_id)
                block = []

    def until(self, name: str) -> list[Event]:
        """Return what comes, the first event of this name the last of it; not for ever."""
        found, deadline = [], time.monotonic() + WAIT_S
        for event in self.events():
            found.append(event)
            if event.name == name:
                return found
            if time.monotonic() > deadline:
                break
        raise AssertionError(f"no {name} came: {found}")

    def rest(self) -> bytes:
        """Return all that comes until the server closes."""
        return self._file.read()

    def close(self) -> None:
        """Go."""
        self._file.close()
        self.socket.close()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
