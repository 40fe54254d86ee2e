"""Reading rows: stored candles, candles rolled up on demand, and growth with the database."""

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
CANDLES_MIN = 50
ONLY_MINUTES_FIT = clocks.parse("+00:01")
OTHER_CLOCKS = [
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
    """Query of a chart page for the first symbol of a database."""

    timeframe: Timeframe
    clock: Clock
    stop: int | None
    limit: int

    def __str__(self) -> str:
        return f"{self.timeframe.name} {self.clock.name}"


Prepare = Callable[[Query], Callable[[], int]]


@contextmanager
def open_reader(path: Path, name: str) -> Iterator[Prepare]:
    """Open a database as the server does; provide a function that prepares a query.

    A prepared query reads in one snapshot and returns the number of candles.
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
        # The last writable connection deletes the WAL when it closes.
        connection.connect(path).close()


def measure_hours(workspace: Workspace) -> Iterator[Result]:
    """Read 100 stored H1, and 100 H1 rolled up from M1."""
    times, what = workspace.sizes.times, "100 H1 from the store"
    with open_reader(workspace.charts, OWN_CLOCK) as prepare:
        stored_ms = median_ms(prepare(Query(H1, UTC, None, 100)), 10 * times)
        demanded_ms = median_ms(prepare(Query(H1, ONLY_MINUTES_FIT, None, 100)), times)
    yield Result("h1", f"{what}, stored", stored_ms, "ms", Goal("<", 0.2), Goal("<", 0.1))
    note = "on clock +00:01, whose hours consist of M1 only"
    what = f"{what}, on demand from M1"
    yield Result("h1", what, demanded_ms, "ms", Goal("<", 6), Goal("<", 3), note=note)


def measure_clocks(workspace: Workspace) -> Iterator[Result]:
    """Read 300 candles of long timeframes on clocks without stored candles."""
    medians = {}
    with open_reader(workspace.charts, ON_UTC) as prepare:
        for clock in OTHER_CLOCKS:
            for timeframe in (H4, D1, W1):
                query = Query(timeframe, clock, None, CHART_CANDLES)
                ask = prepare(query)
                name = f"{query}" if (n := ask()) == CHART_CANDLES else f"{query}, {n} candles"
                medians[name] = median_ms(ask, workspace.sizes.times)
    worst = max(medians, key=lambda name: medians[name])
    yield Result(
        "clocks",
        "300 candles of H4, D1, W1 on any other clock",
        medians[worst],
        "ms",
        Goal("<", 30),
        note=f"worst median: {worst}; of {', '.join(clock.name for clock in OTHER_CLOCKS)}",
    )


def measure_growth(workspace: Workspace) -> Iterator[Result]:
    """Run the same chart queries on a large and a small database, in turn."""
    ratios = {}
    with (
        open_reader(workspace.few, OWN_CLOCK) as small,
        open_reader(workspace.many, OWN_CLOCK) as large,
    ):
        for query in _growth_queries(small):
            ms = median_pair(small(query), large(query), workspace.sizes.times)
            ratios[f"{query}, {ms.first:.2f} ms and {ms.second:.2f} ms"] = ms.ratio
    worst = max(ratios, key=lambda name: ratios[name])
    few, many = workspace.sizes.few_candles, workspace.sizes.candles
    yield Result(
        "growth",
        f"any chart query at {many:,} candles, relative to {few:,}",
        ratios[worst],
        "×",
        Goal("≤", 1.3),
        note=f"worst of {len(ratios)}: {worst}",
    )


# Both databases must return equally many candles: the small one sets the limit.
def _growth_queries(small: Prepare) -> Iterator[Query]:
    for timeframe in timeframes.TIMEFRAMES:
        for clock in GROWTH_CLOCKS:
            held = small(Query(timeframe, clock, None, 2 * CHART_CANDLES))()
            if held >= CANDLES_MIN:
                yield Query(timeframe, clock, None, min(held * 2 // 3, CHART_CANDLES))
