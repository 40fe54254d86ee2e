"""Subscription: one followed symbol, timeframe and clock, and its ranges that have changed."""

from collections.abc import Iterator

import apsw
import orjson

from gfil.clocks import Bucket
from gfil.store import symbols
from gfil.store.candles import read
from gfil.store.candles.rollup_on_demand import Candle
from gfil.store.change_log import LogEntry
from gfil.store.symbols import SERIES_PER_SYMBOL, Symbol
from gfil.timeframes import CHAIN
from gfil.web.stream.client_queue import EVENTS_MAX, ClientQueue, Events, Sub

SPANS_MAX = 32  # changed ranges of a subscription; beyond, its clients get a reset
SECONDS_IN_CHAIN = {timeframe.number: timeframe.seconds for timeframe in CHAIN}


class Subscription:
    """One subscription, shared by all its clients.

    `since` is the first change that is not read yet, None if everything is read.
    """

    def __init__(self, sub: Sub, symbol: Symbol | None) -> None:
        self.sub = sub
        self.symbol = symbol  # None: no symbol has this name
        self.queues: set[ClientQueue] = set()
        self.due = 0.0  # earliest time of the next read
        self.clear()

    def clear(self) -> None:
        """Clear the changed ranges after they were read."""
        self.since: int | None = None
        self._spans: set[Bucket] = set()
        self._must_reset = False

    def add_change(self, entry: LogEntry) -> None:
        """Add the range that a commit touched, if candles of this subscription depend on it."""
        number, timeframe = entry.series % SERIES_PER_SYMBOL, self.sub.timeframe
        if entry.start == entry.stop:
            self._must_reset = True
        elif number != timeframe.number and not (
            timeframe.seconds > SECONDS_IN_CHAIN.get(number, timeframe.seconds)
        ):
            return  # a candle depends on shorter timeframes of the chain only
        self._spans.add(Bucket(entry.start, entry.stop))
        self._must_reset = self._must_reset or len(self._spans) > SPANS_MAX
        self.since = self.since or entry.change

    def reset(self, symbol: Symbol | None, change: int) -> None:
        """Send all clients a reset, because the name now means another symbol or no symbol."""
        self.symbol, self._must_reset, self.due = symbol, True, 0.0
        self.since = self.since or change

    def read(self, db: apsw.Connection) -> Events | None:
        """Return the state of each changed candle; None if the clients need a reset.

        A reset is needed after too many changes and after deleted candles.
        """
        if self._must_reset or self.symbol is None:
            return None
        symbol = symbols.reload(db, self.symbol)  # its clock may have changed
        events: Events = {}
        for start, stop in self._buckets():
            limit = EVENTS_MAX + 1 - len(events)
            page = read.read_candles(db, symbol, *self.sub[1:], start, stop, limit)
            events |= {(self.sub, candle[0]): self._write(candle) for candle in page.candles}
            if len(events) > EVENTS_MAX:
                return None
        return events

    def _buckets(self) -> Iterator[Bucket]:
        # The changed ranges, widened to whole buckets; no bucket is in two of them.
        _, timeframe, clock = self.sub
        done: int | None = None
        for start, stop in sorted(self._spans):
            first = clock.bucket(timeframe, start).start
            first = first if done is None else max(first, done)
            if first < stop:
                done = clock.bucket(timeframe, stop - 1).stop
                yield Bucket(first, done)

    def _write(self, candle: Candle) -> bytes:
        symbol, timeframe, clock = self.sub
        state = {"symbol": symbol, "tf": timeframe.name, "clock": clock.name, "candle": candle}
        return b"event: candle\ndata: " + orjson.dumps(state) + b"\n"
