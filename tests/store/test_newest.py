"""Tests of gfil/store/newest.py: what it remembers is what a read would bring."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gfil import clocks, timeframes
from gfil.clocks import UTC, Clock
from gfil.store import candles, db, newest, pruning, symbols
from gfil.store.candles import Rows
from gfil.timeframes import DAY, M1, M3, MINUTE, Timeframe

START = 1_700_000_040  # a whole minute
NYCLOSE = clocks.parse("nyclose")
CLOCKS = (UTC, NYCLOSE, clocks.parse("Asia/Kolkata"))
NAMES = ("M3", "H1", "H2", "H4", "D1", "W1", "MN1")
VIEWS = [(timeframes.parse(name), clock) for name in NAMES for clock in CLOCKS]
STEPS = (0, 0, MINUTE, MINUTE, 3600, DAY)


@pytest.fixture
def connections(tmp_path: Path) -> Iterator[tuple[db.Connection, db.Connection]]:
    db.create(tmp_path / "gfil.db")
    writer = db.connect(tmp_path / "gfil.db")
    reader = db.connect(tmp_path / "gfil.db", readonly=True)
    yield writer, reader
    reader.close()
    writer.close()


def test_what_was_pruned_is_not_remembered(
    connections: tuple[db.Connection, db.Connection],
) -> None:
    writer, reader = connections
    minutes = [START + DAY * day for day in range(4)]
    flat = [1.0] * len(minutes)
    with db.transaction(writer):
        symbol = symbols.ensure(writer, "GOLD")
        candles.write(writer, symbol, M1, Rows(minutes, [0] * 4, flat, flat, flat, flat, flat))
    symbol = symbols.read(reader, "GOLD")
    assert len(newest.read(reader, symbol, M3, UTC, 300).candles) == 4
    aim = pruning.Aim(symbol, "M1", START + 2 * DAY, START + 90 * DAY, False)
    piece = pruning.find(writer, aim, 0, days=16, rows=100)
    assert piece is not None
    since = db.read_state(writer)
    with db.transaction(writer):
        assert pruning.remove(writer, aim, piece).rows == 2
    symbol = symbols.read(reader, "GOLD")
    assert len(newest.read(reader, symbol, M3, UTC, 300).candles) == 2
    assert symbol.change == since[1] + 1


def row(rng: random.Random, timeframe: Timeframe, clock: Clock, instant: int) -> Rows:
    start, stop = clock.bucket(timeframe, instant)
    values = [[rng.uniform(1, 2)], [3.0], [0.5], [rng.uniform(1, 2)], [float(rng.randrange(1, 99))]]
    return Rows([start], [stop - start - timeframe.seconds], *values)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_written_the_newest_are_those_that_a_read_brings(
    connections: tuple[db.Connection, db.Connection], seed: int
) -> None:
    writer, reader = connections
    rng, now = random.Random(seed), START
    for _ in range(150):
        with db.transaction(writer):
            symbol = symbols.ensure(writer, rng.choice(("GOLD", "GOLD", "OIL")))
            if rng.random() < 0.02:
                symbol = candles.set_clock(writer, symbol, rng.choice((NYCLOSE, UTC)))
            timeframe, clock = M1, UTC
            if rng.random() < 0.1:
                timeframe, clock = rng.choice(VIEWS[3:6] + VIEWS[9:15])
            now += rng.choice(STEPS)
            instant = now - rng.choice((0, 0, 0, rng.randrange(20 * DAY)))
            candles.write(
                writer, symbol, timeframe, row(rng, timeframe, clock, instant), clock=clock
            )
        with db.snapshot(reader):
            symbol = symbols.read(reader, symbol.name)
            for timeframe, clock in rng.sample(VIEWS, 5):
                limit = rng.choice((5, 300))
                found = newest.read(reader, symbol, timeframe, clock, limit)
                assert found == candles.read(reader, symbol, timeframe, clock, limit=limit)
