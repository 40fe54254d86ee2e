"""What the tests of the pump share: a server for all of them, and a broker's world for each."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Server
from tests.faults.senders import make_key
from tests.pump.between import Gfil
from tests.pump.world import DAY, HOUR, Bar, Pump, Tick, World, fold, make_bars, make_ticks

SPRING = 1_710_054_000  # 2024-03-10 07:00 UTC: New York's wall leaps from 2:00 to 3:00
AUTUMN = 1_730_613_600  # 2024-11-03 06:00 UTC: it falls from 2:00 back to 1:00


@dataclass
class Source:
    """What a broker has of one symbol."""

    ticks: list[Tick]
    m1: list[Bar]
    h1: list[Bar]
    d1: list[Bar]


def make_source(rng: random.Random, change: int, ticks: list[Tick]) -> Source:
    """Ticks across a change of the clock, the M1 of them and of some hours before, H1 and D1."""
    first = ticks[0][0] // 1000 // HOUR * HOUR
    m1 = [*make_bars(rng, first, 300), *fold(ticks)]
    h1 = make_bars(rng, m1[0][0], 30, HOUR)
    midnight = h1[0][0] // DAY * DAY - (2 if change == SPRING else 3) * HOUR
    return Source(ticks, m1, h1, make_bars(rng, midnight, 9, DAY))


def make_sources(rng: random.Random, count: int) -> dict[str, Source]:
    """A symbol across each of the two changes of a year."""
    return {
        name: make_source(rng, change, make_ticks(rng, change - count, count, gap_msc=8000))
        for name, change in (("SPRING.r", SPRING), ("AUTUMN.r", AUTUMN))
    }


@dataclass
class Place:
    """A running server with a key."""

    server: Server
    key: str


@pytest.fixture(scope="session")
def place(server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One server for every test that does not break it: each has symbols of its own."""
    path = tmp_path_factory.mktemp("pump") / "gfil.db"
    key = make_key(path)
    return Place(server(GFIL_DB=str(path), GFIL_WORKERS="1"), key)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A broker without symbols."""
    return World(tmp_path / "world")


@pytest.fixture
def pump(world: World, tmp_path: Path, place: Place) -> Iterator[Pump]:
    """A pump from that broker to the server."""
    pump = Pump(world, tmp_path / "pump", place.server.url, place.key)
    yield pump
    pump.end()


@pytest.fixture
def gfil() -> Gfil:
    """A GFIL that is told what to answer."""
    return Gfil()
