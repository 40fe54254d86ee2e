"""Topics: one symbol, timeframe and clock that is followed live, and what of it is to be read."""

from collections.abc import Iterator

import apsw
import orjson

from gfil.clocks import Bucket
from gfil.store import symbols
from gfil.store.candles import read
from gfil.store.candles.rollup_query import Candle
from gfil.store.change_log import LogEntry
from gfil.store.symbols import SERIES_PER_SYMBOL, Symbol
from gfil.timeframes import CHAIN
from gfil.web.stream.client_queue import EVENTS_MAX, ClientQueue, Events, Sub

SPANS_MAX = 32  # until they are read; more are not told apart
SECONDS_IN_CHAIN = {timeframe.number: timeframe.seconds for timeframe in CHAIN}


class Subscription:
    """What several viewers follow. `since` is the first change that is not read yet, or None."""

    def __init__(self, sub: Sub, symbol: Symbol | None) -> None:
        self.sub = sub
        self.symbol = symbol  # None: there is none of this name
        self.viewers: set[ClientQueue] = set()
        self.due = 0.0  # when it may be read again
        self.settle()

    def settle(self) -> None:
        """Forget what was to be read: it has been."""
        self.since: int | None = None
        self._spans: set[Bucket] = set()
        self._is_anew = False

    def mark(self, entry: LogEntry) -> None:
        """Remember what a commit touched, if candles of this are among it."""
        number, timeframe = entry.series % SERIES_PER_SYMBOL, self.sub.timeframe
        if entry.start == entry.stop:
            self._is_anew = True
        elif number != timeframe.number and not (
            timeframe.seconds > SECONDS_IN_CHAIN.get(number, timeframe.seconds)
        ):
            return  # a candle follows shorter ones of the chain, and no others
        self._spans.add(Bucket(entry.start, entry.stop))
        self._is_anew = self._is_anew or len(self._spans) > SPANS_MAX
        self.since = self.since or entry.change

    def begin_anew(self, symbol: Symbol | None, change: int) -> None:
        """Have all viewers read anew: the name is that of another symbol, or of none."""
        self.symbol, self._is_anew, self.due = symbol, True, 0.0
        self.since = self.since or change

    def read(self, db: apsw.Connection) -> Events | None:
        """Return the state of each candle that was touched, as an event by what tells it apart.

        None: they are too many, or candles have gone; whoever shows them has to read them anew.
        """
        if self._is_anew or self.symbol is None:
            return None
        symbol = symbols.reload(db, self.symbol)  # its clock may be another by now
        events: Events = {}
        for start, stop in self._buckets():
            limit = EVENTS_MAX + 1 - len(events)
            page = read.read_candles(db, symbol, *self.sub[1:], start, stop, limit)
            events |= {(self.sub, candle[0]): self._write(candle) for candle in page.candles}
            if len(events) > EVENTS_MAX:
                return None
        return events

    def _buckets(self) -> Iterator[Bucket]:
        # The touched spans, widened to whole buckets, none of which is in two of them.
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
