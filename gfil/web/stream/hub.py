"""Hub: polls for the commits of every process and fans changed candles out to its clients."""

import threading
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
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

POLL_S = 0.02  # between polls for commits
IDLE_S = 0.5  # wait of a poll while no client is connected
PUSH_ALL_S = 1.0
SPACING_S = 0.2  # between two states of one candle
RETRY_AFTER_S = 5

Clients = Mapping[ClientQueue, Sequence[Sub]]
Reads = dict[Subscription, Events | None]


class Hub:
    """All live streams of one worker. Clients join and leave; `poll` runs as a job.

    One connection polls the data version, which counts the commits of all processes and reads no
    page (sqlite.org/pragma.html#pragma_data_version). The change log names the touched ranges. A
    candle is read once for all its clients. Only the polling thread uses the subscriptions.
    """

    def __init__(self, path: Path, streams_max: int) -> None:
        self.path = path
        self.streams_max = streams_max
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._clients: dict[ClientQueue, Sequence[Sub]] = {}
        self._admitted: dict[ClientQueue, Sequence[Subscription]] = {}
        self._subscriptions: dict[Sub, Subscription] = {}
        self._db: connection.Connection | None = None
        self._file: FileIdentity | None = None
        self._version = -1
        self._reached = Position("", 0)
        self._rest_until = self._push_all_due = 0.0

    def join(self, subs: Sequence[Sub], since: Position | None) -> ClientQueue:
        """Return the queue of a new client, which gets the changes after `since` first.

        The caller must call `leave`.

        Raises:
            Busy: the worker has as many streams as it may have.
        """
        queue = ClientQueue(since)
        with self._lock:
            if len(self._clients) >= self.streams_max:
                metrics.STREAMS_REFUSED.inc()
                raise Busy("all live streams are taken", RETRY_AFTER_S)
            self._clients[queue] = subs
            metrics.STREAMS.set(len(self._clients))
        self._wanted.set()
        return queue

    def leave(self, queue: ClientQueue) -> None:
        """Remove a client; a second call does nothing."""
        with self._lock:
            self._clients.pop(queue, None)
            metrics.STREAMS.set(len(self._clients))

    def poll(self) -> None:
        """Push the changes since the last poll to the clients."""
        self._wanted.clear()
        with self._lock:
            clients = dict(self._clients)
        self._remove_gone(clients)
        if not clients:
            self._wanted.wait(IDLE_S)
        elif time.monotonic() >= self._rest_until:
            try:
                self._poll(self._open(), clients)
            except (GfilError, apsw.Error):
                self.close()
                raise

    def _remove_gone(self, clients: Clients) -> None:
        for queue in self._admitted.keys() - clients.keys():
            for subscription in self._admitted.pop(queue):
                subscription.queues.discard(queue)
                if not subscription.queues:
                    self._subscriptions.pop(subscription.sub, None)

    def _open(self) -> connection.Connection:
        file = identify_file(self.path)
        if self._db is None or file != self._file:
            self.close()
            self._db = connection.connect(self.path, readonly=True)
            if file != self._file:
                self._reached = Position("", 0)  # another file has another history
            self._file = file
        return self._db

    def close(self) -> None:
        """Close the connection; the next poll opens another."""
        self._version = -1
        if self._db is not None:
            self._db.close()
            self._db = None

    def _poll(self, db: connection.Connection, clients: Clients) -> None:
        now = time.monotonic()
        version = db.pragma("data_version")
        new = clients.keys() - self._admitted.keys()
        due = any(each.since and each.due <= now for each in self._subscriptions.values())
        if version == self._version and not new and not due:
            return
        with connection.snapshot(db):
            self._collect_changes(db)
            self._push_changes(db, now)
            for queue in new:
                self._admit(db, queue, clients[queue])
        self._version = version
        self._rest_until = 2 * time.monotonic() - now  # leaves half of the time to requests

    def _collect_changes(self, db: connection.Connection) -> None:
        before, reached = self._reached, Position(*connection.read_state(db))
        if reached == before:
            return
        by_symbol = defaultdict(list)
        for each in self._subscriptions.values():
            by_symbol[each.symbol.id if each.symbol else None].append(each)
        if reached.epoch == before.epoch and change_log.covers(before.change, reached.change):
            changed = [*by_symbol[None]]  # a symbol of this name may exist now
            for entry in change_log.read_since(db, before.change, filter(None, by_symbol)):
                touched = by_symbol[entry.series // SERIES_PER_SYMBOL]
                for each in touched:
                    each.add_change(entry)
                changed += touched if entry.start == entry.stop else ()
        else:
            changed = [*self._subscriptions.values()]
        for each in changed:
            symbol = symbols.find(db, each.sub.symbol)
            if symbol or each.symbol:
                each.reset(symbol, reached.change)
        self._reached = reached

    def _push_changes(self, db: connection.Connection, now: float) -> None:
        events: defaultdict[ClientQueue, Events] = defaultdict(dict)
        resets: set[ClientQueue] = set()
        # A read may fail: no subscription is cleared before all are read.
        for subscription, states in self._read_due(db, now).items():
            for queue in subscription.queues:
                events[queue].update(states or {})
            resets |= subscription.queues if states is None else set()
            subscription.clear()
            subscription.due = now + SPACING_S
        # A client without events learns its position only now and then, for its heartbeats.
        is_due = now >= self._push_all_due
        behind = self._find_behind()
        for queue in self._admitted if is_due else events.keys() | resets:
            change = behind.get(queue)
            reached = self._reached if change is None else self._reached._replace(change=change)
            queue.push(events.get(queue, {}), reached, reset=queue in resets)
        if is_due:
            self._push_all_due = now + PUSH_ALL_S

    def _read_due(self, db: connection.Connection, now: float) -> Reads:
        changed = (each for each in self._subscriptions.values() if each.since is not None)
        return {each: each.read(db) for each in changed if each.due <= now}

    def _find_behind(self) -> dict[ClientQueue, int]:
        # The last change that each client with a held back subscription has received in full.
        behind: dict[ClientQueue, int] = {}
        for each in self._subscriptions.values():
            if each.since is not None:
                for queue in each.queues:
                    behind[queue] = min(each.since - 1, behind.get(queue, each.since))
        return behind

    def _admit(self, db: connection.Connection, queue: ClientQueue, subs: Sequence[Sub]) -> None:
        missed = self._read_missed(db, subs, queue.since)
        subscriptions = [
            self._subscriptions.get(sub) or Subscription(sub, symbols.find(db, sub.symbol))
            for sub in subs
        ]
        # From here on nothing fails: the client gets all of its subscriptions or none.
        for each in subscriptions:
            self._subscriptions[each.sub] = each
            each.queues.add(queue)
        self._admitted[queue] = subscriptions
        queue.push(missed or {}, self._reached, reset=missed is None)

    def _read_missed(
        self, db: connection.Connection, subs: Sequence[Sub], since: Position | None
    ) -> Events | None:
        # The changes after `since`, or None where they are unknown or too many.
        if since is None:
            return {}
        if since.epoch != self._reached.epoch or since.change > self._reached.change:
            return None
        missing = [Subscription(sub, symbols.find(db, sub.symbol)) for sub in subs]
        if all(each.symbol and each.symbol.change <= since.change for each in missing):
            return {}
        if not change_log.covers(since.change, self._reached.change):
            return None
        _collect_missed(db, missing, since.change)
        missed: Events = {}
        for each in missing:
            if each.since or not each.symbol:
                states = each.read(db)
                if states is None:
                    return None
                missed |= states
        return missed


def _collect_missed(
    db: connection.Connection, missing: Collection[Subscription], since: int
) -> None:
    ids = [each.symbol.id if each.symbol else 0 for each in missing]
    for entry in change_log.read_since(db, since, ids):
        for each, symbol_id in zip(missing, ids, strict=True):
            if symbol_id == entry.series // SERIES_PER_SYMBOL:
                each.add_change(entry)
