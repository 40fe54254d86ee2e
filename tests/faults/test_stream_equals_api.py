"""A live subscriber holds what the API answers after any change: STREAM-NO-GAP."""

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from gfil import clocks, timeframes
from gfil.errors import SymbolUnknown
from gfil.store import symbol_settings, symbols
from gfil.store.candles import read
from gfil.store.engine import connection
from gfil.web.stream import hub as module
from gfil.web.stream.client_queue import ClientQueue, Position, Sub
from gfil.web.stream.hub import Hub
from tests.faults import workloads
from tests.faults.power import Step
from tests.faults.sizes import LONG, seeded
from tests.oracle.database import State, check_logged, read_state
from tests.web.sse import parse

CLOCKS = ("UTC", workloads.NEW_YORK, "Asia/Kathmandu", "Europe/Athens")
ELSEWHERE = (
    ("M1", "M2", "M15", "H1", "H4", "D1", "W1") if not LONG else ()
)  # on other clocks than UTC
SUBS = [
    Sub(workloads.SYMBOL, timeframe, clocks.parse(clock))
    for timeframe in timeframes.TIMEFRAMES
    for clock in CLOCKS
    if clock == "UTC" or not ELSEWHERE or timeframe.name in ELSEWHERE
]
LEAVES = 0.15  # share of commits at which a subscriber disconnects and misses updates
ALL = 10_000
Held = dict[Sub, dict[int, list[float]]]


def read_all(db: apsw.Connection) -> Held:
    """Return the answer of the database to each subscription."""
    symbol = symbols.find(db, workloads.SYMBOL)
    if symbol is None:
        return {sub: {} for sub in SUBS}
    pages = {sub: read.read_candles(db, symbol, *sub[1:], limit=ALL) for sub in SUBS}
    return {sub: {row[0]: [*row] for row in page.candles} for sub, page in pages.items()}


class Following:
    """A subscriber of all timeframes, as a page is one, whose stream breaks at times."""

    def __init__(self, live: Hub, db: apsw.Connection, rng: random.Random) -> None:
        self._live, self._db, self._rng = live, db, rng
        self.held = read_all(db)
        self.resets = self.shown = 0
        self._since = Position(*connection.read_state(db))
        self._viewer: ClientQueue | None = live.join(SUBS, self._since)
        self._behind_for = 0  # commits until it disconnects

    def look(self) -> None:
        """Receive or miss the updates of a commit; the last ones before a break are held back."""
        if self._viewer and self._behind_for == 0 and self._rng.random() < LEAVES:
            self._behind_for, module.SPACING_S = self._rng.randrange(2, 7), 3600
        elif self._behind_for:
            self._behind_for -= 1
        if self._viewer and self._behind_for == 1:
            self._live.leave(self._viewer)
            self._viewer, self._behind_for, module.SPACING_S = None, 0, 0
        elif not self._viewer and self._rng.random() < 0.5:
            self._viewer = self._live.join(SUBS, self._since)
        self._live._rest_until = 0.0
        self._live.poll()
        while self._viewer and (text := self._viewer.next_chunk(0)):
            for event in parse(text.decode()):
                self._take(event.name, event.data)
                self._since = _position(event.id) if event.id else self._since

    def _take(self, name: str, data: dict[str, object]) -> None:
        if name == "reset":
            self.held, self.resets = read_all(self._db), self.resets + 1
        elif name == "candle":
            row = data["candle"]
            assert isinstance(row, list)
            parsed = timeframes.parse(str(data["tf"])), clocks.parse(str(data["clock"]))
            self.held[Sub(str(data["symbol"]), *parsed)][row[0]] = row
            self.shown += 1

    def is_there(self) -> bool:
        """Return whether the subscriber is connected and must hold every candle."""
        return self._viewer is not None and not self._behind_for


def _position(text: str) -> Position:
    epoch, _, change = text.rpartition("-")
    return Position(epoch, int(change))


def clock_changes(rng: random.Random) -> list[Step]:
    """Candles on several clocks, and a symbol whose clock changes."""

    def redraw(name: str) -> Step:
        def step(db: apsw.Connection) -> None:
            with connection.transaction(db), contextlib.suppress(SymbolUnknown):
                symbol = symbols.read(db, workloads.SYMBOL)
                symbol_settings.set_clock(db, symbol, clocks.parse(name))

        return step

    steps = workloads.late_candles(rng)
    for _ in range(12):
        steps.insert(rng.randrange(1, len(steps)), redraw(rng.choice(CLOCKS)))
    return steps


def renames(rng: random.Random) -> list[Step]:
    """A name that moves from one symbol to another, with ticks and candles between."""

    def rename(old: str, new: str) -> Step:
        def step(db: apsw.Connection) -> None:
            with connection.transaction(db), contextlib.suppress(SymbolUnknown):
                symbols.rename(db, symbols.read(db, old), new)

        return step

    steps: list[Step] = []
    for number, more in enumerate(workloads.pumped_candles(rng)):
        steps.append(more)
        if number % 6 == 5:
            steps.append(rename(workloads.SYMBOL, f"OLD{number}"))
        if number % 12 == 11:
            steps += [
                more,
                rename(workloads.SYMBOL, f"NEW{number}"),
                rename("OLD5", workloads.SYMBOL),
            ]
    return steps


@pytest.mark.parametrize(
    "work",
    [
        *(
            workloads.pumped_ticks,
            workloads.late_ticks,
            workloads.pumped_candles,
            workloads.late_candles,
        ),
        *(workloads.deletions, clock_changes, renames),
    ],
)
def test_subscriber_holds_what_the_api_answers_after_every_commit(
    work: Callable[[random.Random], list[Step]],
    db_path: Path,
    db: apsw.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The change log names every candle that a commit added, changed or removed."""
    monkeypatch.setattr(module, "SPACING_S", 0)
    monkeypatch.setattr("gfil.web.stream.client_queue.RESET_SPACING_S", 0)
    monkeypatch.setattr("gfil.web.stream.client_queue.EVENTS_MAX", 10_000)
    monkeypatch.setattr("gfil.web.stream.subscription.EVENTS_MAX", 10_000)
    for number in range(10 if LONG else 1):
        rng = seeded(f"followed {work.__name__} {number}")
        run(work(rng), db_path, db, rng)


def run(steps: list[Step], db_path: Path, db: apsw.Connection, rng: random.Random) -> None:
    """Run the steps and check after each."""
    live = Hub(db_path, 1)
    live.poll()
    following = Following(live, db, rng)
    try:
        before: State = read_state(db)
        for number, step in enumerate(steps):
            step(db)
            after = read_state(db)
            check_logged(before, after)
            before = after
            following.look()
            if following.is_there() and (LONG or number % 8 == 0 or number + 1 == len(steps)):
                wanted = read_all(db)
                wrong = [sub for sub in SUBS if following.held[sub] != wanted[sub]]
                assert wrong == [], f"after step {number}"
    finally:
        live.close()
    assert following.shown + following.resets > 0
    print(f"{following.shown} shown, {following.resets} resets")
