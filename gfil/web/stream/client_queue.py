"""Viewers: what waits to be sent on one live stream, merged, so that a slow client costs little."""

import math
import threading
import time
from typing import NamedTuple

import orjson

from gfil.clocks import Clock
from gfil.timeframes import Timeframe
from gfil.web.request import metrics

EVENTS_MAX = 100  # that wait for one viewer; beyond, it reads anew
RESET_SPACING_S = 5.0
HEARTBEAT_S = 14.0  # with all that may come between, 15
RETRY_MS = 1000  # after which a browser connects again


class Sub(NamedTuple):
    """What a viewer follows; `symbol` is the name as it was stored when it came."""

    symbol: str
    timeframe: Timeframe
    clock: Clock


Events = dict[tuple[Sub, int], bytes]
"""The state of candles, by what they are of and when they start, as events without their end."""


class Position(NamedTuple):
    """How far a viewer has come: every change of the epoch up to this one is known to it."""

    epoch: str
    change: int


class ClientQueue:
    """One live stream: one thread puts in what changed, another takes out what is to be sent.

    A candle that changes again before its state was taken is sent once, as it is by then. What is
    taken ends with the id from which the stream can be resumed without a hole.
    """

    def __init__(self, since: Position | None) -> None:
        self.since = since
        self._changed = threading.Condition()
        self._events: Events = {}
        self._reached = self._sent = since  # `_sent`: None until it is known to be of use
        self._is_welcome = self._has_begun = self._must_reset = False
        self._reset_due = -math.inf
        self._heartbeat_due = math.inf

    def show(self, events: Events, reached: Position, *, reset: bool = False) -> None:
        """Have events sent, or a reset instead; with them the viewer has reached a position."""
        with self._changed:
            if not self._is_welcome:
                self._sent = None if reset else self.since or reached
            if reset or not self._reached or self._reached.epoch != reached.epoch:
                self._reached = reached
            self._reached = max(self._reached, reached)  # it may have known more when it came
            if reset or len(self._events) + len(events) > EVENTS_MAX:
                self._must_reset = True
                self._events.clear()
            elif not self._must_reset:  # what comes before the reset is read anew after it
                self._events.update(events)
            if self._events or self._must_reset or not self._is_welcome:
                self._changed.notify()
            self._is_welcome = True

    def take(self, wait_s: float) -> bytes:
        """Return what is to be sent now; after so long at most, then it may be nothing."""
        with self._changed:
            if not self._is_due(time.monotonic()):
                self._changed.wait(wait_s)
            now = time.monotonic()
            if not self._is_due(now):
                return b""
            if self._has_begun:
                return self._take(now)
            self._has_begun = True
            return f"retry: {RETRY_MS}\n".encode() + self._beat(now)

    def _is_due(self, now: float) -> bool:
        if not self._has_begun:
            return self._is_welcome
        is_ready = now >= self._reset_due if self._must_reset else bool(self._events)
        return is_ready or now >= self._heartbeat_due

    def _take(self, now: float) -> bytes:
        if self._must_reset and now >= self._reset_due:
            self._must_reset, self._reset_due = False, now + RESET_SPACING_S
            metrics.STREAM_RESETS.inc()
            body = b"event: reset\ndata: {}\n"
        elif self._events:
            body = b"\n".join(self._events.values())
        else:
            return self._beat(now)
        self._events.clear()
        self._sent = self._reached
        self._heartbeat_due = now + HEARTBEAT_S
        return self._end(body)

    def _beat(self, now: float) -> bytes:
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
