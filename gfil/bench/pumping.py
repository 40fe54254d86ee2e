"""Pump row: the MT5 pump sends the history of a symbol from a simulated terminal."""

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


def measure_pump(workspace: Workspace) -> Iterator[Result]:
    """Run the pump once for an unknown symbol until its whole history is stored."""
    count, path, folder = (
        workspace.sizes.pumped,
        workspace.scratch / "pump.db",
        workspace.scratch / "pump",
    )
    bars = workspace.scratch / "bars.json"
    _write_bars(bars, count)
    connection.create(path)
    variables = {"GFIL_KEY": add_key(path), "BENCH_BARS": str(bars), "PYTHONPATH": str(TERMINAL)}
    with server(SERVE, path, whole_machine()) as measured:
        options = [
            "--url",
            measured.url,
            "--clock",
            market.CLOCK.name,
            "--dir",
            str(folder),
            "--once",
        ]
        done = run([str(PUMP), *options], path, variables)
        if done.status:
            raise GfilError(f"the measured pump failed: {done.errors.strip()}")
        with urlopen(f"{measured.url}/api/v1/symbols/{NAME}") as answer:
            stored = orjson.loads(answer.read())["timeframes"][0]["count"]
    if stored != count:
        raise GfilError(f"the pump stored {stored:,} of {count:,} M1")
    what = f"{count:,} M1 of one symbol through the pump"
    note = f"of it {done.cpu_s:.1f} s of CPU of the pump"
    yield Result("pump", what, done.seconds, "s", Goal("<", 10), note=note)


def _write_bars(path: Path, count: int) -> None:
    weeks = [*market.walk(market.minutes(count, NAME), count)]
    columns = [[*chain.from_iterable(column)] for column in zip(*weeks, strict=True)]
    walls = [market.CLOCK.wall(time) for time in columns[0]]
    prices = [[price / market.POINTS for price in column] for column in columns[1:5]]
    path.write_bytes(orjson.dumps([walls, *prices, columns[5]]))
