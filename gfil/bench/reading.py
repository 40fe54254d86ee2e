"""What charts ask of the store: kept candles, candles rolled up on demand, and how both grow."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gfil import clocks, timeframes
from gfil.bench import market
from gfil.bench.results import Goal, Result, median_ms, median_pair
from gfil.bench.workspace import ON_UTC, OWN_CLOCK, Workspace
from gfil.clocks import UTC, Clock
from gfil.store import symbols
from gfil.store.candles import read
from gfil.store.engine import connection
from gfil.timeframes import D1, H1, H4, W1, Timeframe

CHART_CANDLES = 300
HELD_MIN = 50
ONLY_MINUTES_FIT = clocks.parse("+00:01")
UNKEPT = [
    clocks.parse(name)
    for name in (
        "Asia/Kolkata",
        "America/New_York+07:00",
        "Europe/London",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Asia/Tokyo",
    )
]
GROWTH_CLOCKS = (UTC, market.CLOCK, clocks.parse("Asia/Kolkata"))


class Query(NamedTuple):
    """One question a chart asks about the first symbol of a database."""

    timeframe: Timeframe
    clock: Clock
    stop: int | None
    limit: int

    def __str__(self) -> str:
        return f"{self.timeframe.name} {self.clock.name}"


Prepare = Callable[[Query], Callable[[], int]]


@contextmanager
def asking(path: Path, name: str) -> Iterator[Prepare]:
    """Open a database as the server does; lend what turns a query into a call that asks it.

    Each call is one snapshot and returns the number of candles.
    """
    db = connection.connect(path, readonly=True)
    symbol = symbols.read(db, name)

    def prepare(query: Query) -> Callable[[], int]:
        timeframe, clock, stop, limit = query

        def ask() -> int:
            with connection.snapshot(db):
                page = read.read_candles(db, symbol, timeframe, clock, stop=stop, limit=limit)
            return len(page.candles)

        return ask

    try:
        yield prepare
    finally:
        db.close()
        connection.connect(
            path
        ).close()  # the last one to close takes the WAL away, if it may write


def measure_hours(place: Workspace) -> Iterator[Result]:
    """Read 100 H1 that are kept, and 100 that only M1 can make."""
    times, what = place.sizes.times, "100 H1 from the store"
    with asking(place.charts, OWN_CLOCK) as prepare:
        kept_ms = median_ms(prepare(Query(H1, UTC, None, 100)), 10 * times)
        demanded_ms = median_ms(prepare(Query(H1, ONLY_MINUTES_FIT, None, 100)), times)
    yield Result("h1", f"{what}, kept", kept_ms, "ms", Goal("<", 0.2), Goal("<", 0.1))
    note = "on the clock +00:01, whose hours only M1 tiles"
    what = f"{what}, on demand from M1"
    yield Result("h1", what, demanded_ms, "ms", Goal("<", 6), Goal("<", 3), note=note)


def measure_clocks(place: Workspace) -> Iterator[Result]:
    """Read 300 candles of long timeframes on clocks that nothing is kept for."""
    medians = {}
    with asking(place.charts, ON_UTC) as prepare:
        for clock in UNKEPT:
            for timeframe in (H4, D1, W1):
                query = Query(timeframe, clock, None, CHART_CANDLES)
                ask = prepare(query)
                name = f"{query}" if (n := ask()) == CHART_CANDLES else f"{query}, {n} candles"
                medians[name] = median_ms(ask, place.sizes.times)
    worst = max(medians, key=lambda name: medians[name])
    yield Result(
        "clocks",
        "300 candles of H4, D1, W1 on any other clock",
        medians[worst],
        "ms",
        Goal("<", 30),
        note=f"worst median: {worst}; of {', '.join(clock.name for clock in UNKEPT)}",
    )


def measure_growth(place: Workspace) -> Iterator[Result]:
    """Ask the same chart queries of a large and of a small database, in turn."""
    ratios = {}
    with asking(place.few, OWN_CLOCK) as small, asking(place.many, OWN_CLOCK) as large:
        for query in _growth_queries(small):
            ms = median_pair(small(query), large(query), place.sizes.times)
            ratios[f"{query}, {ms.first:.2f} ms and {ms.second:.2f} ms"] = ms.ratio
    worst = max(ratios, key=lambda name: ratios[name])
    few, many = place.sizes.few_candles, place.sizes.candles
    yield Result(
        "growth",
        f"any chart query at {many:,} candles against {few:,}",
        ratios[worst],
        "×",
        Goal("≤", 1.3),
        note=f"worst of {len(ratios)}: {worst}",
    )


# The larger database must not have to answer more than the smaller one can.
def _growth_queries(small: Prepare) -> Iterator[Query]:
    for timeframe in timeframes.TIMEFRAMES:
        for clock in GROWTH_CLOCKS:
            held = small(Query(timeframe, clock, None, 2 * CHART_CANDLES))()
            if held >= HELD_MIN:
                yield Query(timeframe, clock, None, min(held * 2 // 3, CHART_CANDLES))
