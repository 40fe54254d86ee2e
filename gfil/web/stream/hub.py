"""Live: finds what any process has committed, and shows it to every viewer of this worker."""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import apsw

from gfil.errors import Busy, GfilError
from gfil.store import change_log, symbols
from gfil.store.engine import connection
from gfil.store.engine.pool import FileIdentity, identify_file
from gfil.store.symbols import SERIES_PER_SYMBOL
from gfil.web.request import metrics
from gfil.web.stream.client_queue import ClientQueue, Events, Position, Sub
from gfil.web.stream.subscription import Subscription

LOOK_S = 0.02  # between looks whether anybody has committed
IDLE_S = 0.5  # that a look waits where nobody would see what it finds
TELL_ALL_S = 1.0
SPACING_S = 0.2  # between two states of one candle
RETRY_AFTER_S = 5


class Hub:
    """All live streams of one worker. Viewers join and leave; `look` comes round as a job.

    One connection watches the data version, which tells of the commits of all processes and reads
    no page (sqlite.org/pragma.html#pragma_data_version); what they touched stands in the change
    log. A candle is read once, for all who follow it. The topics belong to the thread that looks.
    """

    def __init__(self, path: Path, streams_max: int) -> None:
        self.path = path
        self.streams_max = streams_max
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._present: dict[ClientQueue, Sequence[Sub]] = {}
        self._welcomed: dict[ClientQueue, Sequence[Subscription]] = {}
        self._topics: dict[Sub, Subscription] = {}
        self._db: connection.Connection | None = None
        self._home: FileIdentity | None = None
        self._version = -1
        self._reached = Position("", 0)
        self._rest_until = self._tell_all_due = 0.0

    def join(self, subs: Sequence[Sub], since: Position | None) -> ClientQueue:
        """Return a new viewer, to be shown what changed after `since`; it has to `leave`.

        Raises:
            Busy: there are as many as there may be.
        """
        viewer = ClientQueue(since)
        with self._lock:
            if len(self._present) >= self.streams_max:
                metrics.STREAMS_REFUSED.inc()
                raise Busy("all live streams are taken", RETRY_AFTER_S)
            self._present[viewer] = subs
            metrics.STREAMS.set(len(self._present))
        self._wanted.set()
        return viewer

    def leave(self, viewer: ClientQueue) -> None:
        """Let a viewer go; one that has gone already stays away."""
        with self._lock:
            self._present.pop(viewer, None)
            metrics.STREAMS.set(len(self._present))

    def look(self) -> None:
        """Show the viewers what has changed since the last look."""
        self._wanted.clear()
        with self._lock:
            present = dict(self._present)
        self._forget(present)
        if not present:
            self._wanted.wait(IDLE_S)
        elif time.monotonic() >= self._rest_until:
            try:
                self._look(self._open(), present)
            except (GfilError, apsw.Error):
                self.close()
                raise

    def _forget(self, present: Mapping[ClientQueue, Sequence[Sub]]) -> None:
        for viewer in self._welcomed.keys() - present.keys():
            for topic in self._welcomed.pop(viewer):
                topic.viewers.discard(viewer)
                if not topic.viewers:
                    self._topics.pop(topic.sub, None)

    def _open(self) -> connection.Connection:
        home = identify_file(self.path)
        if self._db is None or home != self._home:
            self.close()
            self._db = connection.connect(self.path, readonly=True)
            if home != self._home:
                self._reached = Position("", 0)  # another file is another history
            self._home = home
        return self._db

    def close(self) -> None:
        """Close the connection; the next look opens another."""
        self._version = -1
        if self._db is not None:
            self._db.close()
            self._db = None

    def _look(
        self, db: connection.Connection, present: Mapping[ClientQueue, Sequence[Sub]]
    ) -> None:
        now = time.monotonic()
        version = db.pragma("data_version")
        new = present.keys() - self._welcomed.keys()
        due = any(topic.since and topic.due <= now for topic in self._topics.values())
        if version == self._version and not new and not due:
            return
        with connection.snapshot(db):
            self._follow(db)
            self._show(db, now)
            for viewer in new:
                self._welcome(db, viewer, present[viewer])
        self._version = version
        self._rest_until = 2 * time.monotonic() - now  # requests want the processor too

    def _follow(self, db: connection.Connection) -> None:
        # Marks in the topics what has been committed since the last time.
        before, reached = self._reached, Position(*connection.read_state(db))
        if reached == before:
            return
        topics = defaultdict(list)
        for topic in self._topics.values():
            topics[topic.symbol.id if topic.symbol else None].append(topic)
        if reached.epoch == before.epoch and change_log.covers(before.change, reached.change):
            anew = [*topics[None]]  # there may be such a symbol by now
            for entry in change_log.read_since(db, before.change, filter(None, topics)):
                touched = topics[entry.series // SERIES_PER_SYMBOL]
                for topic in touched:
                    topic.mark(entry)
                anew += touched if entry.start == entry.stop else ()
        else:
            anew = [*self._topics.values()]
        for topic in anew:
            symbol = symbols.find(db, topic.sub.symbol)
            if symbol or topic.symbol:
                topic.begin_anew(symbol, reached.change)
        self._reached = reached

    def _show(self, db: connection.Connection, now: float) -> None:
        events: defaultdict[ClientQueue, Events] = defaultdict(dict)
        resets: set[ClientQueue] = set()
        behind: dict[ClientQueue, int] = {}
        read: dict[
            Subscription, Events | None
        ] = {}  # as one may fail, none is settled before all are
        for topic in self._topics.values():
            if topic.since is None:
                continue
            if topic.due <= now:
                read[topic] = topic.read(db)
                continue
            for viewer in topic.viewers:
                behind[viewer] = min(topic.since - 1, behind.get(viewer, topic.since))
        for topic, states in read.items():
            for viewer in topic.viewers:
                events[viewer].update(states or {})
            resets |= topic.viewers if states is None else set()
            topic.settle()
            topic.due = now + SPACING_S
        # Those that nothing is shown to learn only now and then how far they are: it is for the
        # id of their heartbeats.
        is_due = now >= self._tell_all_due
        for viewer in self._welcomed if is_due else events.keys() | resets:
            change = behind.get(viewer)
            reached = self._reached if change is None else self._reached._replace(change=change)
            viewer.show(events.get(viewer, {}), reached, reset=viewer in resets)
        if is_due:
            self._tell_all_due = now + TELL_ALL_S

    def _welcome(self, db: connection.Connection, viewer: ClientQueue, subs: Sequence[Sub]) -> None:
        missed = self._read_missed(db, subs, viewer.since)
        topics = [
            self._topics.get(sub) or Subscription(sub, symbols.find(db, sub.symbol)) for sub in subs
        ]
        # From here on nothing fails: it is welcome in all of its topics, or in none.
        for topic in topics:
            self._topics[topic.sub] = topic
            topic.viewers.add(viewer)
        self._welcomed[viewer] = topics
        viewer.show(missed or {}, self._reached, reset=missed is None)

    def _read_missed(
        self, db: connection.Connection, subs: Sequence[Sub], since: Position | None
    ) -> Events | None:
        # What has changed since then, or None where that is not known or too much.
        if since is None:
            return {}
        if since.epoch != self._reached.epoch or since.change > self._reached.change:
            return None
        topics = [Subscription(sub, symbols.find(db, sub.symbol)) for sub in subs]
        if all(topic.symbol and topic.symbol.change <= since.change for topic in topics):
            return {}
        if not change_log.covers(since.change, self._reached.change):
            return None
        ids = [topic.symbol.id if topic.symbol else 0 for topic in topics]
        for entry in change_log.read_since(db, since.change, ids):
            for topic, symbol_id in zip(topics, ids, strict=True):
                if symbol_id == entry.series // SERIES_PER_SYMBOL:
                    topic.mark(entry)
        missed: Events = {}
        for topic in topics:
            if topic.since or not topic.symbol:
                states = topic.read(db)
                if states is None:
                    return None
                missed |= states
        return missed
