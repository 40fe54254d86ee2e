"""Viewers of live streams, many on one thread: they check events and reconnect like browsers."""

import http.client
import random
import re
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import orjson

from tests.conftest import wait_for
from tests.web.sse import parse_event

Sub = tuple[str, str, str]
"""Symbol, timeframe and clock."""
States = dict[int, list[float]]
"""Candles by their time."""

ID = re.compile(r"([0-9a-f]{16})-([0-9]{1,16})")
RETRY_S = 1.0  # until the server sends `retry`
TIMEOUT_S = 120
PAGE_MAX = 10_000


class Viewer:
    """One page: it reads its candles, then follows them, and checks each event strictly.

    `states` is all it holds, `wrongs` what no server should ever send. `since` is where the page
    that was read stands, `last_id` as a browser keeps it.
    """

    def __init__(self, subs: Sequence[Sub], headers: dict[str, str] | None = None) -> None:
        self.subs = subs
        self.headers = headers or {}
        self.states: dict[Sub, States] = {sub: {} for sub in subs}
        self.events: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.wrongs: list[str] = []
        self.resumed_s: list[float] = []
        self.since = self.last_id = ""
        self.must_read, self.is_away = True, False
        self.connection: socket.socket | None = None
        self.due = self.lost = 0.0
        self._retry_s = RETRY_S
        self._newest: dict[str, int] = {}
        self._is_stream = False
        self._head, self._chunked, self._body = b"", b"", b""

    def request(self) -> bytes:
        """Return the path of its stream request."""
        query = [("sub", ",".join(sub)) for sub in self.subs] + [("since", self.since)]
        lines = [f"GET /api/v1/stream?{urlencode(query)} HTTP/1.1", "Host: localhost"]
        own = self.headers | ({"Last-Event-ID": self.last_id} if self.last_id else {})
        return "\r\n".join([*lines, *(f"{name}: {own[name]}" for name in own), "", ""]).encode()

    def connect(self, url: str) -> None:
        """Connect, or reconnect."""
        place = urlsplit(url)
        self._head, self._chunked, self._body = b"", b"", b""
        client = socket.create_connection((str(place.hostname), place.port or 80), TIMEOUT_S)
        client.sendall(self.request())
        client.setblocking(False)
        self.connection = client

    def leave(self) -> None:
        """Disconnect, to reconnect when a browser would."""
        if self.connection is not None:
            self.connection.close()
        self.connection = None
        self.lost = self.lost or time.monotonic()
        self.due = time.monotonic() + self._retry_s

    def receive(self, data: bytes) -> None:
        """Process received bytes."""
        if b"\r\n\r\n" not in self._head:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._take_head(head)
        if self._is_stream:
            self._chunked += data
            self._take_chunks()

    def _take_head(self, head: bytes) -> None:
        status = int(head.split(b" ", 2)[1])
        self.statuses[status] += 1
        self._is_stream = status == 200
        wanted = (b"text/event-stream", b"x-accel-buffering: no", b"transfer-encoding: chunked")
        if self._is_stream and not all(word in head.lower() for word in wanted):
            self.wrongs.append(f"the head {head!r}")

    def _take_chunks(self) -> None:
        while b"\r\n" in self._chunked:
            size, _, rest = self._chunked.partition(b"\r\n")
            count = int(size, 16)
            if len(rest) < count + 2:
                return
            self._body, self._chunked = self._body + rest[:count], rest[count + 2 :]
            *events, self._body = self._body.split(b"\n\n")
            for event in events:
                self._take_event(event.decode())

    def _take_event(self, text: str) -> None:
        try:
            event = parse_event(text)
        except ValueError as error:
            self.wrongs.append(str(error))
            return
        self.events[event.name] += 1
        if self.lost:
            self.resumed_s.append(time.monotonic() - self.lost)
            self.lost = 0.0
        if event.retry_ms is not None:
            self._retry_s = event.retry_ms / 1000
        if event.name == "candle":
            self._take_candle(event.data)
        elif event.name == "reset":
            self.must_read = True
        elif event.name != "heartbeat":
            self.wrongs.append(f"the event {text!r}")
        if event.id is not None:
            self._take_id(event.id)

    def _take_candle(self, data: dict[str, Any]) -> None:
        sub = (data.pop("symbol"), data.pop("tf"), data.pop("clock"))
        start, opening, high, low, close, volume = data.pop("candle")
        is_sane = low <= min(opening, close) <= max(opening, close) <= high and volume >= 0
        if data or sub not in self.states or not is_sane:
            self.wrongs.append(f"the candle {sub} {start}")
            return
        self.states[sub][start] = [start, opening, high, low, close, volume]

    def _take_id(self, text: str) -> None:
        match = ID.fullmatch(text)
        if not match:
            self.wrongs.append(f"the id {text!r}")
            return
        epoch, change = match[1], int(match[2])
        if change < self._newest.get(epoch, 0):
            self.wrongs.append(f"the id {text} after {self._newest[epoch]}")
        self._newest[epoch] = change
        self.last_id = text


class Reader:
    """Reads candles as pages do, with If-None-Match."""

    def __init__(self, url: Callable[[], str], headers: dict[str, str] | None = None) -> None:
        self._url, self._headers = url, headers or {}
        self._known: dict[str, tuple[str, Any]] = {}

    def read(self, sub: Sub) -> dict[str, Any]:
        """Return the answer for all candles of one symbol, timeframe and clock.

        Raises:
            OSError, HTTPException: no answer arrived.
        """
        symbol, timeframe, clock = map(quote, sub)
        path = f"/api/v1/candles?symbol={symbol}&tf={timeframe}&clock={clock}&limit={PAGE_MAX}"
        tag, answer = self._known.get(path, ("", {}))
        place = urlsplit(self._url()).netloc
        connection = http.client.HTTPConnection(place, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path, headers=self._headers | {"If-None-Match": tag})
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status not in (200, 304):
            raise http.client.HTTPException(f"{response.status} {body!r}")
        if response.status == 200:
            answer = orjson.loads(body)
            assert answer["next_cursor"] is None
            self._known[path] = (response.headers["ETag"], answer)
        return answer

    def states(self, sub: Sub) -> States:
        """Return all candles by their time."""
        return {candle[0]: candle for candle in self.read(sub)["candles"]}


class Viewers:
    """Many viewers; one thread reads for all and reconnects them."""

    def __init__(
        self, url: Callable[[], str], viewers: Sequence[Viewer], rng: random.Random
    ) -> None:
        self.viewers, self.failure = viewers, ""
        self._url, self._rng = url, rng
        self._reader = Reader(url, viewers[0].headers)
        self._selector = selectors.DefaultSelector()
        self._ending = threading.Event()
        self._to_cut: list[Viewer] = []
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Viewers":
        self._thread.start()
        wait_for(lambda: self.failure or self.are_all_there(), "all viewers")
        assert not self.failure
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        for viewer in self.viewers:
            viewer.leave()

    def are_all_there(self) -> bool:
        """Return whether each is connected, has received an event and has read its page."""
        return all(
            viewer.connection and viewer.statuses and not (viewer.lost or viewer.must_read)
            for viewer in self.viewers
        )

    def cut(self, count: int) -> None:
        """Disconnect `count` random viewers; they reconnect."""
        self._to_cut += self._rng.sample(self.viewers, count)

    def send_away(self, count: int) -> None:
        """Disconnect `count` viewers until `let_in` is called."""
        away = self._rng.sample(self.viewers, count)
        for viewer in away:
            viewer.is_away = True
            self._to_cut.append(viewer)
        wait_for(lambda: not any(viewer.connection for viewer in away), "some to be away")

    def let_in(self) -> None:
        """Let the viewers that were sent away reconnect."""
        for viewer in self.viewers:
            viewer.is_away = False

    def differences(self, reader: Reader) -> list[str]:
        """Return the differences between viewers and the server; [] without any."""
        subs = dict.fromkeys(sub for viewer in self.viewers for sub in viewer.subs)
        wanted = {sub: reader.states(sub) for sub in subs}
        return [
            f"viewer {number} of {sub}: {_differ(viewer.states[sub], wanted[sub])}"
            for number, viewer in enumerate(self.viewers)
            for sub in viewer.subs
            if viewer.states[sub] != wanted[sub]
        ]

    def check(self) -> None:
        """Wait until all hold the candles of the server; no viewer got a wrong event."""
        found: list[str] = []
        reader = Reader(self._url, self.viewers[0].headers)

        def agree() -> bool:
            found[:] = self.differences(reader) if self.are_all_there() else ["not all are there"]
            return not found

        try:
            wait_for(agree, "the same candles everywhere")
        finally:
            print("\n".join(found[:10]), self.failure)
        assert [wrong for viewer in self.viewers for wrong in viewer.wrongs] == []

    def _work(self) -> None:
        try:
            while not self._ending.is_set():
                self._take_turns()
        except Exception as error:
            self.failure = repr(error)
            raise

    def _take_turns(self) -> None:
        for key, _ in self._selector.select(0.02):
            self._receive(key.data)
        while self._to_cut:
            self._lose(self._to_cut.pop())
        now = time.monotonic()
        for viewer in self.viewers:
            if now < viewer.due or viewer.is_away:
                continue
            try:
                if viewer.must_read and not self._read(viewer):
                    continue
                if viewer.connection is None:
                    viewer.connect(self._url())
                    self._selector.register(viewer.connection, selectors.EVENT_READ, viewer)
            except (OSError, http.client.HTTPException):
                self._lose(viewer)

    def _read(self, viewer: Viewer) -> bool:
        answers = {sub: self._reader.read(sub) for sub in viewer.subs}
        if len({answer["epoch"] for answer in answers.values()}) > 1:
            return False  # a retry reads one epoch
        for sub, answer in answers.items():
            viewer.states[sub] = {candle[0]: candle for candle in answer["candles"]}
        if not viewer.since:
            change = min(answer["change"] for answer in answers.values())
            viewer.since = f"{answers[viewer.subs[0]]['epoch']}-{change}"
        viewer.must_read = False
        return True

    def _receive(self, viewer: Viewer) -> None:
        assert viewer.connection is not None
        try:
            data = viewer.connection.recv(1 << 18)
        except OSError:
            data = b""
        if data:
            viewer.receive(data)
        else:
            self._lose(viewer)

    def _lose(self, viewer: Viewer) -> None:
        if viewer.connection is not None:
            self._selector.unregister(viewer.connection)
        viewer.leave()


def _differ(held: States, wanted: States) -> str:
    times = sorted(held.keys() | wanted.keys())
    wrong = [time for time in times if held.get(time) != wanted.get(time)]
    time = wrong[0]
    return f"{len(wrong)} candles, the first {held.get(time)}, not {wanted.get(time)}"
