"""A broker and its terminal as the pump sees them, and the pump itself as a process beside them."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from tests.conftest import ROOT, Server, clean_environment

MINUTE, HOUR, DAY = 60, 3600, 86_400
FACTS = {
    "digits": 3,
    "description": "Gold vs US Dollar",
    "currency_base": "XAU",
    "currency_profit": "USD",
    "visible": True,
}
Tick = tuple[int, float, float, float, float, int]
Bar = tuple[int, float, float, float, float, int]


class World:
    """The files of one broker; see the stand-in module."""

    def __init__(
        self, folder: Path, zone: str = "America/New_York", shift_s: int = 7 * HOUR
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.told: dict[str, Any] = {
            "zone": zone,
            "shift_s": shift_s,
            "maxbars": 100_000,
            "symbols": {},
        }

    def add(
        self,
        name: str,
        ticks: Sequence[Tick] = (),
        m1: Sequence[Bar] = (),
        h1: Sequence[Bar] = (),
        d1: Sequence[Bar] = (),
    ) -> None:
        """Give the terminal a symbol."""
        self.told["symbols"][name] = FACTS
        held = {"ticks": ticks, "M1": m1, "H1": h1, "D1": d1}
        (self.folder / f"{name}.json").write_bytes(orjson.dumps(held))
        self.save()

    def save(self, **told: Any) -> None:
        """Write what does not change while a pump runs."""
        self.told |= told
        (self.folder / "world.json").write_text(json.dumps(self.told))

    def reach(self, share: float) -> None:
        """Let so much of the ticks have come."""
        new = self.folder / "reached.new"
        new.write_text(str(share))
        new.replace(self.folder / "reached")


class Pump:
    """A pump that can be started again and again on the same folder."""

    def __init__(self, world: World, folder: Path, url: str, key: str) -> None:
        self.world, self.folder, self.url = world, folder, url
        self.key_file = folder.with_suffix(".key")
        self.key_file.write_text(key)
        self.clock = "nyclose"
        self._started: list[subprocess.Popen[str]] = []

    def end(self) -> None:
        """End what still runs: a test has failed."""
        for process in self._started:
            process.kill()
            if process.stdout and not process.stdout.closed:
                process.communicate()

    def start(self, *options: str, **environment: str) -> subprocess.Popen[str]:
        """Start it; what it says goes to one pipe."""
        told = ["--url", self.url, "--key-file", str(self.key_file), "--dir", str(self.folder)]
        told += ["--tick-days", "9999", "--candles-every", "0.3"]
        told += ["--clock", self.clock] if self.clock else []
        path = f"{ROOT / 'tests' / 'pump' / 'terminal'}"
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "scripts" / "mt5_pump.py"), *told, *options],
            env=clean_environment(
                FAKE_MT5=str(self.world.folder), **({"PYTHONPATH": path} | environment)
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        return process

    def run(self, *options: str, status: int = 0, **environment: str) -> str:
        """Run it to its end, `--once` unless told; return what it said."""
        process = self.start(*(options or ("--once",)), **environment)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == status, said
        return said

    def spooled(self) -> list[Path]:
        """What waits on the disk."""
        return sorted((self.folder / "spool").glob("*.ticks"))


def make_ticks(rng: random.Random, start: int, count: int, gap_msc: int = 2000) -> list[Tick]:
    """Ticks from an instant on, some of them in one millisecond."""
    ticks, at, bid = [], start * 1000, 2000.0
    for _ in range(count):
        at += rng.choice((0, 1, rng.randrange(gap_msc), rng.randrange(gap_msc)))
        bid = round(bid + rng.uniform(-0.5, 0.5), 3)
        ticks.append((at, bid, round(bid + rng.random(), 3), 0.0, 0.0, rng.choice((2, 4, 6))))
    return list(dict.fromkeys(ticks))


def recent_ticks(count: int, name: str = "ticks") -> list[Tick]:
    """Ticks of the last half a minute."""
    return make_ticks(random.Random(name), int(time.time()) - 30, count, gap_msc=50)


def fold(ticks: Sequence[Tick], seconds: int = MINUTE) -> list[Bar]:
    """The broker's candles of ticks, with a volume that tells them from GFIL's own."""
    bars = []
    for start, some in groupby(ticks, key=lambda tick: tick[0] // 1000 // seconds * seconds):
        prices = [tick[1] for tick in some]
        bars.append((start, prices[0], max(prices), min(prices), prices[-1], len(prices) + 7))
    return bars


def make_bars(rng: random.Random, stop: int, count: int, seconds: int = MINUTE) -> list[Bar]:
    """Candles up to an instant."""
    bars = []
    for start in range(stop - count * seconds, stop, seconds):
        first, last = (round(rng.uniform(1990, 2010), 3) for _ in range(2))
        high, low = round(max(first, last) + 1, 3), round(min(first, last) - 1, 3)
        bars.append((start, first, high, low, last, rng.randrange(1, 500)))
    return bars


def read_all(server: Server, what: str, symbol: str, **query: str) -> list[tuple[float, ...]]:
    """Every tick or candle that GFIL has of a symbol."""
    rows: list[tuple[float, ...]] = []
    query = {"symbol": symbol, "from": "0", "limit": "10000", **query}
    while True:
        answer = orjson.loads(server.get(f"/api/v1/{what}?{urlencode(query)}").body)
        rows += map(tuple, answer.get(what, ()))
        if not (cursor := answer.get("next_cursor")):
            return rows
        query["cursor"] = cursor
