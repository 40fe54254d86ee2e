"""Outages: after every cut, kill and restart GFIL has all that the broker has, and nothing else.

Two symbols, one across each clock change of a year. Connections break, the server is killed, the
terminal stops, and the pump is killed.
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
from tests.pump.broker import (
    AUTUMN,
    SPRING,
    Broker,
    Source,
    Tick,
    make_source,
    make_sources,
)
from tests.pump.proxy import FaultyProxy
from tests.pump.pump_process import PumpProcess, read_all

ROUNDS = 60 if LONG else 2
TICKS = 60_000 if LONG else 4_000
FOLDER = WHOLE_FILES if LONG and WHOLE_FILES.is_dir() else SAMPLES
REAL_FILE = FOLDER / "ticks" / "oanda_XAUUSD_ticks_201405_first300k.csv.gz"
MAPS = ("--map", "SPRING.r=SPRING", "--map", "AUTUMN.r=AUTUMN")


def real_ticks(change: int) -> list[Tick]:
    """Return a broker's ticks, shifted so that the clock change lies in their middle."""
    with gzip.open(REAL_FILE, "rt", newline="") as lines:
        rows = list(islice(csv.DictReader(lines), TICKS))
    shift = change * 1000 - int(rows[len(rows) // 2]["time_msc"])
    ticks = [
        (int(row["time_msc"]) + shift, float(row["bid"]), float(row["ask"]), 0.0, 0.0, 6)
        for row in rows
    ]
    return list(dict.fromkeys(ticks))


@pytest.fixture(params=["made", "real"])
def sources(request: pytest.FixtureRequest) -> dict[str, Source]:
    """A symbol across each clock change; real ticks only where their file exists."""
    rng = seeded("sources")
    if request.param == "made":
        return make_sources(rng, TICKS)
    changes = {"SPRING.r": SPRING, "AUTUMN.r": AUTUMN}
    return {name: make_source(rng, at, real_ticks(at)) for name, at in changes.items()}


def check_stored(server: Server, sources: dict[str, Source]) -> None:
    """Check that GFIL has every tick and candle of the broker, and no other."""
    for name, source in sources.items():
        target = name.removesuffix(".r")
        assert read_all(server, "ticks", target) == source.ticks, name
        assert read_all(server, "candles", target, tf="M1") == source.m1, name
        hours = read_all(server, "candles", target, tf="H1")
        assert hours[: len(source.h1)] == source.h1, name
        days = read_all(server, "candles", target, tf="D1", clock="nyclose")
        assert days[: len(source.d1)] == source.d1, name


def test_undisturbed_pump_stores_what_the_broker_has(
    broker: Broker, pump: PumpProcess, server: Callable[..., Server], tmp_path: Path
) -> None:
    sources = make_sources(seeded("undisturbed"), 1500)
    key = make_key(tmp_path / "gfil.db")
    running = server(GFIL_DB=str(tmp_path / "gfil.db"), GFIL_WORKERS="1")
    for name, source in sources.items():
        broker.add_symbol(name, source.ticks, source.m1, source.h1, source.d1)
    pump.url = running.url
    pump.key_file.write_text(key)
    pump.run("--once", *MAPS)
    check_stored(running, sources)
    running.stop(signal.SIGKILL)


def test_outages_of_pump_server_terminal_and_network_leave_no_gap(
    broker: Broker,
    pump: PumpProcess,
    server: Callable[..., Server],
    tmp_path: Path,
    sources: dict[str, Source],
) -> None:
    """ACK-DURABLE and EXACTLY-ONCE, from the terminal on."""
    rng = seeded("outages")
    path = tmp_path / "gfil.db"
    pump.key_file.write_text(make_key(path))
    running = server(GFIL_DB=str(path), GFIL_WORKERS="1")
    proxy = FaultyProxy(running.url, rng)
    pump.url = proxy.url
    for name, source in sources.items():
        broker.add_symbol(name, source.ticks, source.m1, source.h1, source.d1)
    for number in range(ROUNDS):
        process = pump.start(*MAPS, "--every", "20")
        for step in range(5):
            broker.release((number + step / 5 + rng.random() / 5) / ROUNDS)
            time.sleep(rng.uniform(0.05, 0.25))
        if number % 3 == 0:
            broker.set_down(True)
            time.sleep(rng.uniform(0.1, 0.4))
            broker.set_down(False)
        if number % 3 == 1:
            running.stop(signal.SIGKILL)
            time.sleep(rng.uniform(0.0, 0.3))
            running = server(GFIL_DB=str(path), GFIL_WORKERS="1")
            proxy.upstream = running.url
        time.sleep(rng.uniform(0.0, 0.3))
        process.kill()
        process.communicate()
    broker.release(1.0)
    assert proxy.cuts > 0
    proxy.is_calm = True
    pump.run("--once", *MAPS, "--every", "20")
    check_stored(running, sources)
    proxy.close()
    running.stop(signal.SIGKILL)
