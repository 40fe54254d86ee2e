"""Client queue: events that wait for one live stream, merged so that a slow client costs little."""

import math
import threading
import time
from typing import NamedTuple

import orjson

from gfil.clocks import Clock
from gfil.timeframes import Timeframe
from gfil.web.request import metrics

EVENTS_MAX = 100  # that wait for one client; beyond, the client gets a reset
RESET_SPACING_S = 5.0
HEARTBEAT_S = 14.0  # with the wait of a worker thread at most 15
RETRY_MS = 1000  # delay of a browser before it reconnects


class Sub(NamedTuple):
    """One subscription of a client; `symbol` is the stored name when the client connected."""

    symbol: str
    timeframe: Timeframe
    clock: Clock


Events = dict[tuple[Sub, int], bytes]
"""States of candles by subscription and start, as events without the final blank line."""


class Position(NamedTuple):
    """The last change of an epoch that a client knows; it knows every earlier one."""

    epoch: str
    change: int


class ClientQueue:
    """Queue of one live stream: the hub pushes events, the thread of the request sends them.

    A candle that changes again before its state is sent is sent once, in its last state. Each chunk
    ends with the id from which the stream resumes without a hole.
    """

    def __init__(self, since: Position | None) -> None:
        self.since = since
        self._changed = threading.Condition()
        self._events: Events = {}
        self._reached = self._sent = since  # `_sent` is None: no id to resume from
        self._is_admitted = self._has_begun = self._must_reset = False
        self._reset_due = -math.inf
        self._heartbeat_due = math.inf

    def push(self, events: Events, reached: Position, *, reset: bool = False) -> None:
        """Add events or a reset, and the position that they bring the client to."""
        with self._changed:
            if not self._is_admitted:
                self._sent = None if reset else self.since or reached
            if reset or not self._reached or self._reached.epoch != reached.epoch:
                self._reached = reached
            self._reached = max(self._reached, reached)  # the client may have known more at first
            if reset or len(self._events) + len(events) > EVENTS_MAX:
                self._must_reset = True
                self._events.clear()
            elif not self._must_reset:  # the reload after a reset covers the events
                self._events.update(events)
            if self._events or self._must_reset or not self._is_admitted:
                self._changed.notify()
            self._is_admitted = True

    def next_chunk(self, wait_s: float) -> bytes:
        """Return the next bytes to send; empty if nothing is due within `wait_s`."""
        with self._changed:
            if not self._is_due(time.monotonic()):
                self._changed.wait(wait_s)
            now = time.monotonic()
            if not self._is_due(now):
                return b""
            if self._has_begun:
                return self._next_events(now)
            self._has_begun = True
            return f"retry: {RETRY_MS}\n".encode() + self._heartbeat(now)

    def _is_due(self, now: float) -> bool:
        if not self._has_begun:
            return self._is_admitted
        is_ready = now >= self._reset_due if self._must_reset else bool(self._events)
        return is_ready or now >= self._heartbeat_due

    def _next_events(self, now: float) -> bytes:
        if self._must_reset and now >= self._reset_due:
            self._must_reset, self._reset_due = False, now + RESET_SPACING_S
            metrics.STREAM_RESETS.inc()
            body = b"event: reset\ndata: {}\n"
        elif self._events:
            body = b"\n".join(self._events.values())
        else:
            return self._heartbeat(now)
        self._events.clear()
        self._sent = self._reached
        self._heartbeat_due = now + HEARTBEAT_S
        return self._end(body)

    def _heartbeat(self, now: float) -> bytes:
        if not self._must_reset and not self._events:
            self._sent = self._reached
        self._heartbeat_due = now + HEARTBEAT_S
        return self._end(
            b"event: heartbeat\ndata: " + orjson.dumps({"time": round(time.time(), 3)}) + b"\n"
        )

    def _end(self, body: bytes) -> bytes:
        if self._sent is None:
            return body + b"\n"
        return body + f"id: {self._sent.epoch}-{self._sent.change}\n\n".encode()
