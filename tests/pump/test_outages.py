"""Whatever is cut, killed or started again, in the end GFIL has what the broker has.

Two symbols, across both changes of the broker's clock in a year; ticks that come while connections
break, the server is killed, and the pump is.
"""

import csv
import gzip
import signal
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from tests.conftest import SAMPLES, WHOLE_FILES, Server
from tests.faults.senders import make_key
from tests.faults.sizes import LONG, seeded
from tests.pump.between import Proxy
from tests.pump.conftest import AUTUMN, SPRING, Source, make_source, make_sources
from tests.pump.world import Pump, Tick, World, read_all

ROUNDS = 60 if LONG else 2
TICKS = 60_000 if LONG else 4_000
FOLDER = WHOLE_FILES if LONG and WHOLE_FILES.is_dir() else SAMPLES
REAL_FILE = FOLDER / "ticks" / "oanda_XAUUSD_ticks_201405_first300k.csv.gz"


def real_ticks(change: int) -> list[Tick]:
    """A broker's ticks, moved so that the clock changes in the midst of them."""
    with gzip.open(REAL_FILE, "rt", newline="") as lines:
        rows = list(islice(csv.DictReader(lines), TICKS))
    shift = change * 1000 - int(rows[len(rows) // 2]["time_msc"])
    ticks = [
        (int(row["time_msc"]) + shift, float(row["bid"]), float(row["ask"]), 0.0, 0.0, 6)
        for row in rows
    ]
    return list(dict.fromkeys(ticks))


@pytest.fixture(params=["real", "made"])
def sources(request: pytest.FixtureRequest) -> dict[str, Source]:
    """A symbol across each change of the clock."""
    rng = seeded("sources")
    if request.param == "made":
        return make_sources(rng, TICKS)
    changes = {"SPRING.r": SPRING, "AUTUMN.r": AUTUMN}
    return {name: make_source(rng, at, real_ticks(at)) for name, at in changes.items()}


def check(server: Server, sources: dict[str, Source]) -> None:
    """GFIL has every tick and candle of the broker, and none beside."""
    for name, source in sources.items():
        target = name.removesuffix(".r")
        assert read_all(server, "ticks", target) == source.ticks, name
        assert read_all(server, "candles", target, tf="M1") == source.m1, name
        hours = read_all(server, "candles", target, tf="H1")
        assert hours[: len(source.h1)] == source.h1, name
        days = read_all(server, "candles", target, tf="D1", clock="nyclose")
        assert days[: len(source.d1)] == source.d1, name


def test_a_pump_that_nothing_disturbs_leaves_what_the_broker_has(
    world: World, pump: Pump, server: Callable[..., Server], tmp_path: Path
) -> None:
    """The measure for the others: across both changes of the clock."""
    sources = make_sources(seeded("undisturbed"), 1500)
    key = make_key(tmp_path / "gfil.db")
    running = server(GFIL_DB=str(tmp_path / "gfil.db"), GFIL_WORKERS="1")
    for name, source in sources.items():
        world.add(name, source.ticks, source.m1, source.h1, source.d1)
    pump.url = running.url
    pump.key_file.write_text(key)
    pump.run("--once", "--map", "SPRING.r=SPRING", "--map", "AUTUMN.r=AUTUMN")
    check(running, sources)
    running.stop(signal.SIGKILL)


def test_no_outage_of_pump_server_terminal_or_network_leaves_a_hole(
    world: World,
    pump: Pump,
    server: Callable[..., Server],
    tmp_path: Path,
    sources: dict[str, Source],
) -> None:
    """ACK-DURABLE and EXACTLY-ONCE from the terminal on."""
    rng = seeded("outages")
    path = tmp_path / "gfil.db"
    pump.key_file.write_text(make_key(path))
    running = server(GFIL_DB=str(path), GFIL_WORKERS="1")
    proxy = Proxy(running.url, rng)
    pump.url = proxy.url
    for name, source in sources.items():
        world.add(name, source.ticks, source.m1, source.h1, source.d1)
    maps = ("--map", "SPRING.r=SPRING", "--map", "AUTUMN.r=AUTUMN", "--every", "20")
    for number in range(ROUNDS):
        process = pump.start(*maps)
        for step in range(5):
            world.reach((number + step / 5 + rng.random() / 5) / ROUNDS)
            time.sleep(rng.uniform(0.05, 0.25))
        if number % 3 == 0:
            (world.folder / "down").touch()
            time.sleep(rng.uniform(0.1, 0.4))
            (world.folder / "down").unlink()
        if number % 3 == 1:
            running.stop(signal.SIGKILL)
            time.sleep(rng.uniform(0.0, 0.3))
            running = server(GFIL_DB=str(path), GFIL_WORKERS="1")
            proxy.upstream = running.url
        time.sleep(rng.uniform(0.0, 0.3))
        process.kill()
        process.communicate()
    world.reach(1.0)
    assert proxy.cuts > 0
    proxy.is_calm = True
    pump.run("--once", *maps)
    check(running, sources)
    proxy.close()
    running.stop(signal.SIGKILL)
