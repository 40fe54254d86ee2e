"""The history of a symbol that comes through the pump, from a stand-in for the terminal."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from urllib.request import urlopen

import orjson

from gfil.bench import market
from gfil.bench.processes import SERVE, run, server, whole_machine
from gfil.bench.results import Goal, Result
from gfil.bench.workspace import Workspace, add_key
from gfil.config import ROOT
from gfil.errors import GfilError
from gfil.store.engine import connection

NAME = "PUMPED"  # as in scripts/bench/terminal
TERMINAL = ROOT / "scripts/bench/terminal"
PUMP = ROOT / "scripts/mt5_pump.py"


def measure_pump(place: Workspace) -> Iterator[Result]:
    """Start the pump on an unknown symbol and wait until all of its history is stored."""
    count, path, folder = place.sizes.pumped, place.scratch / "pump.db", place.scratch / "pump"
    bars = place.scratch / "bars.json"
    _write_bars(bars, count)
    connection.create(path)
    variables = {"GFIL_KEY": add_key(path), "BENCH_BARS": str(bars), "PYTHONPATH": str(TERMINAL)}
    with server(SERVE, path, whole_machine()) as measured:
        told = ["--url", measured.url, "--clock", market.CLOCK.name, "--dir", str(folder), "--once"]
        done = run([str(PUMP), *told], path, variables)
        if done.status:
            raise GfilError(f"the pump to measure fails: {done.errors.strip()}")
        with urlopen(f"{measured.url}/api/v1/symbols/{NAME}") as answer:
            (held,) = (each["count"] for each in orjson.loads(answer.read())["timeframes"][:1])
    if held != count:
        raise GfilError(f"of {count} M1 the pump has brought {held}")
    what = f"{count:,} M1 of one symbol through the pump"
    note = f"the pump takes {done.cpu_s:.1f} s of CPU of it"
    yield Result("pump", what, done.seconds, "s", Goal("<", 10), note=note)


def _write_bars(path: Path, count: int) -> None:
    weeks = [*market.walk(market.minutes(count, NAME), count)]
    columns = [[*chain.from_iterable(column)] for column in zip(*weeks, strict=True)]
    walls = [market.CLOCK.wall(time) for time in columns[0]]
    prices = [[price / market.POINTS for price in column] for column in columns[1:5]]
    path.write_bytes(orjson.dumps([walls, *prices, columns[5]]))
