"""The cache of newest pages: a cached page equals a fresh read."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gfil import clocks, timeframes
from gfil.clocks import UTC, Clock
from gfil.store import symbol_settings, symbols
from gfil.store.candles import latest_cache, read, write
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection
from gfil.store.removal import prune
from gfil.timeframes import DAY, M1, M3, MINUTE, Timeframe

START = 1_700_000_040  # a whole minute
NYCLOSE = clocks.parse("nyclose")
CLOCKS = (UTC, NYCLOSE, clocks.parse("Asia/Kolkata"))
NAMES = ("M3", "H1", "H2", "H4", "D1", "W1", "MN1")
VIEWS = [(timeframes.parse(name), clock) for name in NAMES for clock in CLOCKS]
STEPS = (0, 0, MINUTE, MINUTE, 3600, DAY)


@pytest.fixture
def connections(tmp_path: Path) -> Iterator[tuple[connection.Connection, connection.Connection]]:
    connection.create(tmp_path / "gfil.db")
    writer = connection.connect(tmp_path / "gfil.db")
    reader = connection.connect(tmp_path / "gfil.db", readonly=True)
    yield writer, reader
    reader.close()
    writer.close()


def test_cache_drops_pruned_candles(
    connections: tuple[connection.Connection, connection.Connection],
) -> None:
    writer, reader = connections
    minutes = [START + DAY * day for day in range(4)]
    flat = [1.0] * len(minutes)
    with connection.transaction(writer):
        symbol = symbols.ensure(writer, "GOLD")
        write.write_candles(
            writer, symbol, M1, CandleColumns(minutes, [0] * 4, flat, flat, flat, flat, flat)
        )
    symbol = symbols.read(reader, "GOLD")
    assert len(latest_cache.read_latest_page(reader, symbol, M3, UTC, 300).candles) == 4
    target = prune.PruneTarget(symbol, "M1", START + 2 * DAY, START + 90 * DAY, False)
    batch = prune.find_batch(writer, target, 0, days=16, rows=100)
    assert batch is not None
    since = connection.read_state(writer)
    with connection.transaction(writer):
        assert prune.remove_batch(writer, target, batch).rows == 2
    symbol = symbols.read(reader, "GOLD")
    assert len(latest_cache.read_latest_page(reader, symbol, M3, UTC, 300).candles) == 2
    assert symbol.change == since[1] + 1


def row(rng: random.Random, timeframe: Timeframe, clock: Clock, instant: int) -> CandleColumns:
    start, stop = clock.bucket(timeframe, instant)
    values = [[rng.uniform(1, 2)], [3.0], [0.5], [rng.uniform(1, 2)], [float(rng.randrange(1, 99))]]
    return CandleColumns([start], [stop - start - timeframe.seconds], *values)


@pytest.mark.parametrize("seed", range(3))
def test_cached_page_equals_fresh_read_after_every_write(
    connections: tuple[connection.Connection, connection.Connection], seed: int
) -> None:
    writer, reader = connections
    rng, now = random.Random(seed), START
    for _ in range(150):
        with connection.transaction(writer):
            symbol = symbols.ensure(writer, rng.choice(("GOLD", "GOLD", "OIL")))
            if rng.random() < 0.02:
                symbol = symbol_settings.set_clock(writer, symbol, rng.choice((NYCLOSE, UTC)))
            timeframe, clock = M1, UTC
            if rng.random() < 0.1:
                timeframe, clock = rng.choice(VIEWS[3:6] + VIEWS[9:15])
            now += rng.choice(STEPS)
            instant = now - rng.choice((0, 0, 0, rng.randrange(20 * DAY)))
            write.write_candles(
                writer, symbol, timeframe, row(rng, timeframe, clock, instant), clock=clock
            )
        with connection.snapshot(reader):
            symbol = symbols.read(reader, symbol.name)
            for timeframe, clock in rng.sample(VIEWS, 5):
                limit = rng.choice((5, 300))
                found = latest_cache.read_latest_page(reader, symbol, timeframe, clock, limit)
                assert found == read.read_candles(reader, symbol, timeframe, clock, limit=limit)
