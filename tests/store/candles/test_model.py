"""The store compared with the plain-Python reference: random operations, all timeframes, clocks.

GFIL_SEED chooses the seed of the random walk, GFIL_LONG=1 the long size.
"""

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from gfil.store import symbols
from tests.faults.sizes import LONG, SEED
from tests.oracle.buckets import CHAIN, SECONDS, bucket
from tests.oracle.candles import Candle, Tick
from tests.store.model import Model, Row

HOUR, DAY = 3600, 86400

NEW_YORK = "America/New_York+07:00"
CLOCKS = (
    "UTC",
    "Europe/Athens",
    NEW_YORK,
    "Europe/London",
    "+05:30",
    "+02:00",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
)
CHANGES = (  # an instant at which a clock changes, and clocks it matters for
    ("2024-03-31T01:00", ("Europe/Athens", "Europe/London", "+02:00", "Europe/Bucharest")),
    ("2024-10-27T01:00", ("Europe/Athens", "Europe/London", "+02:00", NEW_YORK)),
    ("2024-03-10T07:00", (NEW_YORK, "Europe/Athens", "America/New_York", "+05:30")),
    ("2024-11-03T06:00", (NEW_YORK, "Europe/Athens", "+05:30", "Asia/Kathmandu")),
    ("2024-04-06T15:00", ("Australia/Lord_Howe", "+05:30", "Europe/Athens")),
    ("2024-10-05T15:30", ("Australia/Lord_Howe", "+05:30", "-03:30")),
    ("2018-11-04T03:00", ("America/Sao_Paulo", NEW_YORK, "-03:00")),
    ("2018-02-18T02:00", ("America/Sao_Paulo", "Europe/London", "-03:00")),
)
PRICES = (1.1, 1.2, 1.3, 1.4)
WEIGHTS = {"M1": 24, "M5": 6, "M15": 4, "M30": 4, "H1": 8, "H4": 12, "D1": 12}
TIMEFRAMES = tuple(name for name in SECONDS for _ in range(WEIGHTS.get(name, 1)))


def places(change: str) -> list[int]:
    """Return hours before, around and after a clock change, and a month later."""
    moment = round(datetime.fromisoformat(change).replace(tzinfo=UTC).timestamp())
    start = moment - moment % HOUR
    hours = (-50, -27, -8, -4, -3, -2, -1, 0, 1, 2, 5, 14, 23, 49)
    return [*(start + step * HOUR for step in hours), start - 20 * DAY, start + 20 * DAY]


def candle(four: tuple[float, float, float, float], volume: int) -> Candle:
    return four[0], max(four), min(four), four[1], float(volume)


def like(model: Model, timeframe: str, clock: str, time: int, how: str) -> Candle | None:
    """Return a candle similar to the rolled-up or the stored one of the same bucket."""
    within = bucket(timeframe, clock, time)
    known = model.reference.stored.get((timeframe, *within))
    if how != "stored" or known is None:
        known = model.reference.fold_base(timeframe, clock, within)
    if known is None:
        return None
    opening, high, low, closing, volume = known
    if how == "less":
        high, low = max(opening, closing), min(opening, closing)
        volume = max(0.0, volume - 1)
    if how == "more":
        high, volume = high + 0.1, volume + 1
    return opening, high, low, closing, volume


def random_rows(
    rng: random.Random, model: Model, change: str, timeframe: str, clock: str
) -> list[Row]:
    spots = rng.sample(places(change), 4)
    rows: list[Row] = []
    for _ in range(rng.choice((1, 3, 8, 40 if timeframe == "M1" else 12))):
        time = rng.choice(spots) + 60 * rng.randrange(120)
        how = rng.choice(("free", "free", "exact", "less", "more", "stored"))
        values = like(model, timeframe, clock, time, how) if how != "free" else None
        values = values or candle(tuple(rng.choices(PRICES, k=4)), rng.randrange(4))
        rows.append((bucket(timeframe, clock, time), values))
    return rows


def random_ticks(rng: random.Random, change: str) -> list[Tick]:
    spots = rng.sample(places(change), 4)
    ticks = []
    for _ in range(rng.choice((1, 3, 10, 40))):
        second = rng.choice(spots) + rng.choice((0, 59, rng.randrange(300)))
        volume = rng.choice((0, 0, 0, rng.randrange(3)))
        bid, ask, last = rng.choice((*PRICES, 0)), rng.choice((*PRICES, 0)), rng.choice((0, 0, 1.2))
        ticks.append((second * 1000 + rng.choice((0, 0, 500, 999)), bid, ask, last, volume, 6))
    return ticks


def random_prune(rng: random.Random, change: str) -> tuple[int, dict[str, int]]:
    """Return a time and retentions: shorter for finer timeframes, only for materialised ones."""
    latest = places(change)[-1]
    now = latest + rng.choice((0, DAY, 400 * DAY))
    reaches = rng.choice(("ticks", "M1", "M1", "M1", "M5", "M30", "H1", "H4", "D1"))
    days, least = {}, rng.choice((1, 17, 18, 19))
    for what in ("ticks", *CHAIN)[: ("ticks", *CHAIN).index(reaches) + 1]:
        days[what] = least
        least += rng.choice((0, 0, 1, 2))
    if reaches != "ticks" and rng.random() < 0.3:
        days |= {"W1": least + 8, "MN1": least + 9} if reaches == "D1" else {"M2": days["M1"]}
    return now, days


def step(rng: random.Random, model: Model, change: str, clocks: tuple[str, ...]) -> None:
    """Do one random operation on the database and the reference."""
    doings = {"write": 12, "fill": 2, "ticks": 6, "delete": 3, "clock": 1, "price": 1, "prune": 2}
    what = rng.choices([*doings], [*doings.values()])[0]
    timeframe = rng.choice(TIMEFRAMES)
    clock = rng.choice(("UTC", *clocks))
    if what == "clock":
        model.set_clock(clock)
    elif what == "price":
        model.set_price(rng.choice((None, *symbols.PRICES)))
    elif what == "prune":
        model.prune(*random_prune(rng, change))
    elif what == "ticks":
        model.write_ticks(random_ticks(rng, change))
    elif what == "delete":
        start = rng.choice(places(change)) + rng.choice((0, 60, -90))
        stop = start + rng.choice((HOUR, 5 * HOUR, DAY, 3 * DAY, 40 * DAY))
        model.delete(start, stop, rng.choice((None, timeframe)))
    else:
        rows = random_rows(rng, model, change, timeframe, clock)
        now = rng.choice((math.inf, math.inf, rows[0][0][0] + 30))  # M1 may be forming
        model.write(timeframe, clock, rows, fill=what == "fill", now=now)


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Model]:
    model = Model(tmp_path / "gfil.db")
    yield model
    model.close()


@pytest.mark.parametrize(("change", "clocks"), CHANGES)
def test_random_operations_agree_with_reference(
    model: Model, change: str, clocks: tuple[str, ...]
) -> None:
    """DERIVED=BASE and laws 3 to 10, after every step."""
    print(f"GFIL_SEED={SEED}")
    rng = random.Random(f"{SEED} {change}")
    for _ in range(400 if LONG else 40):
        step(rng, model, change, clocks)
        model.check_tables()
        if rng.random() < (1 if LONG else 0.15):
            clock = rng.choice(("UTC", *clocks))
            model.check_answers(clock)
            for timeframe in rng.sample([*SECONDS], 5):
                model.check_pages(rng, timeframe, clock)
    for clock in CLOCKS if LONG else ("UTC", *clocks):
        model.check_answers(clock)


HOWS = ("free", "exact", "less", "more", "stored")
ROW = st.tuples(
    st.integers(0, 15),  # which of the places
    st.integers(0, 119),  # minutes after it
    st.tuples(*[st.sampled_from(PRICES)] * 4),
    st.integers(0, 3),
    st.sampled_from(HOWS),
)


class StoreMachine(RuleBasedStateMachine):
    """Operations chosen by Hypothesis, on the database and the reference."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.model = Model(Path(self.folder.name) / "gfil.db")

    @initialize(change=st.sampled_from(CHANGES))
    def begin(self, change: tuple[str, tuple[str, ...]]) -> None:
        self.change, clocks = change
        self.clocks = ("UTC", *clocks)

    def clock(self, number: int) -> str:
        return self.clocks[number % len(self.clocks)]

    @rule(
        rows=st.lists(ROW, min_size=1, max_size=8),
        timeframe=st.sampled_from(TIMEFRAMES),
        clock=st.integers(0, 4),
        fill=st.sampled_from((False, False, False, True)),
        early=st.sampled_from((False, False, True)),
    )
    def write(self, rows: list[tuple], timeframe: str, clock: int, fill: bool, early: bool) -> None:
        name = self.clock(clock)
        made = []
        for place, minute, prices, volume, how in rows:
            time = places(self.change)[place] + 60 * minute
            values = like(self.model, timeframe, name, time, how) if how != "free" else None
            made.append((bucket(timeframe, name, time), values or candle(prices, volume)))
        now = made[0][0][0] + 30 if early else math.inf
        self.model.write(timeframe, name, made, fill=fill, now=now)

    @rule(seed=st.integers(0, 999))
    def write_ticks(self, seed: int) -> None:
        self.model.write_ticks(random_ticks(random.Random(seed), self.change))

    @rule(price=st.sampled_from((None, *symbols.PRICES)))
    def set_price(self, price: str | None) -> None:
        self.model.set_price(price)

    @rule(
        place=st.integers(0, 15),
        shift=st.sampled_from((0, 60, -90)),
        length=st.sampled_from((HOUR, 5 * HOUR, DAY, 3 * DAY, 40 * DAY)),
        timeframe=st.none() | st.sampled_from(TIMEFRAMES),
    )
    def delete(self, place: int, shift: int, length: int, timeframe: str | None) -> None:
        start = places(self.change)[place] + shift
        self.model.delete(start, start + length, timeframe)

    @rule(seed=st.integers(0, 999))
    def prune(self, seed: int) -> None:
        self.model.prune(*random_prune(random.Random(seed), self.change))

    @rule(clock=st.integers(0, 4))
    def set_clock(self, clock: int) -> None:
        self.model.set_clock(self.clock(clock))

    @rule(clock=st.integers(0, 4), seed=st.integers(0, 99))
    def ask(self, clock: int, seed: int) -> None:
        self.model.check_answers(self.clock(clock))
        rng = random.Random(seed)
        for timeframe in SECONDS:
            self.model.check_pages(rng, timeframe, self.clock(clock))

    @invariant()
    def derived_is_base(self) -> None:
        self.model.check_tables()

    def teardown(self) -> None:
        self.model.close()
        self.folder.cleanup()


def test_hypothesis_operations_agree_with_reference() -> None:
    """A Hypothesis state machine shrinks a failure to its shortest form."""
    print(f"GFIL_SEED={SEED}")
    limits = settings(
        max_examples=400 if LONG else 60,
        stateful_step_count=50 if LONG else 15,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(seed(SEED)(StoreMachine), settings=limits)
