"""A broker for the stand-in of the package MetaTrader5, and makers of its data."""

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

MINUTE, HOUR, DAY = 60, 3600, 86_400
SPRING = 1_710_054_000  # 2024-03-10 07:00 UTC: New York's clock skips 2:00 to 3:00
AUTUMN = 1_730_613_600  # 2024-11-03 06:00 UTC: New York's clock repeats 1:00 to 2:00
FACTS = {
    "digits": 3,
    "description": "Gold vs US Dollar",
    "currency_base": "XAU",
    "currency_profit": "USD",
    "visible": True,
}
Tick = tuple[int, float, float, float, float, int]
Bar = tuple[int, float, float, float, float, int]


class Broker:
    """Writes the files that the stand-in module reads."""

    def __init__(
        self, folder: Path, zone: str = "America/New_York", shift_s: int = 7 * HOUR
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.settings: dict[str, Any] = {
            "zone": zone,
            "shift_s": shift_s,
            "maxbars": 100_000,
            "symbols": {},
        }

    def add_symbol(
        self,
        name: str,
        ticks: Sequence[Tick] = (),
        m1: Sequence[Bar] = (),
        h1: Sequence[Bar] = (),
        d1: Sequence[Bar] = (),
    ) -> None:
        """Give the terminal a symbol."""
        self.settings["symbols"][name] = FACTS
        data = {"ticks": ticks, "M1": m1, "H1": h1, "D1": d1}
        (self.folder / f"{name}.json").write_bytes(orjson.dumps(data))
        self.save()

    def save(self, **settings: Any) -> None:
        """Write the settings; a running pump does not see the change."""
        self.settings |= settings
        (self.folder / "broker.json").write_text(json.dumps(self.settings))

    def release(self, share: float) -> None:
        """Let this share of each symbol's ticks have arrived, 0 to 1; a running pump sees it."""
        new = self.folder / "released.new"
        new.write_text(str(share))
        new.replace(self.folder / "released")

    def set_down(self, is_down: bool) -> None:
        """Stop or start the terminal; a running pump sees it."""
        marker = self.folder / "down"
        if is_down:
            marker.touch()
        else:
            marker.unlink()


@dataclass
class Source:
    """The data of one symbol at the broker."""

    ticks: list[Tick]
    m1: list[Bar]
    h1: list[Bar]
    d1: list[Bar]


def make_source(rng: random.Random, change: int, ticks: list[Tick]) -> Source:
    """Return ticks across a clock change, their M1 and those of some hours before, H1 and D1."""
    first = ticks[0][0] // 1000 // HOUR * HOUR
    m1 = [*make_bars(rng, first, 300), *roll_up(ticks)]
    h1 = make_bars(rng, m1[0][0], 30, HOUR)
    midnight = h1[0][0] // DAY * DAY - (2 if change == SPRING else 3) * HOUR
    return Source(ticks, m1, h1, make_bars(rng, midnight, 9, DAY))


def make_sources(rng: random.Random, count: int) -> dict[str, Source]:
    """Return a symbol across each of the two clock changes of a year."""
    return {
        name: make_source(rng, change, make_ticks(rng, change - count, count, gap_msc=8000))
        for name, change in (("SPRING.r", SPRING), ("AUTUMN.r", AUTUMN))
    }


def make_ticks(rng: random.Random, start: int, count: int, gap_msc: int = 2000) -> list[Tick]:
    """Return ticks from a time on, some of them in the same millisecond."""
    ticks, time_msc, bid = [], start * 1000, 2000.0
    for _ in range(count):
        time_msc += rng.choice((0, 1, rng.randrange(gap_msc), rng.randrange(gap_msc)))
        bid = round(bid + rng.uniform(-0.5, 0.5), 3)
        ask = round(bid + rng.random(), 3)
        ticks.append((time_msc, bid, ask, 0.0, 0.0, rng.choice((2, 4, 6))))
    return list(dict.fromkeys(ticks))


def recent_ticks(count: int, name: str = "ticks") -> list[Tick]:
    """Return ticks of the last half minute."""
    return make_ticks(random.Random(name), int(time.time()) - 30, count, gap_msc=50)


def roll_up(ticks: Sequence[Tick], seconds: int = MINUTE) -> list[Bar]:
    """Return the broker's candles of ticks; their volume differs from the one GFIL derives."""
    bars = []
    for start, group in groupby(ticks, key=lambda tick: tick[0] // 1000 // seconds * seconds):
        prices = [tick[1] for tick in group]
        bars.append((start, prices[0], max(prices), min(prices), prices[-1], len(prices) + 7))
    return bars


def make_bars(rng: random.Random, stop: int, count: int, seconds: int = MINUTE) -> list[Bar]:
    """Return candles up to a time."""
    bars = []
    for start in range(stop - count * seconds, stop, seconds):
        first, last = (round(rng.uniform(1990, 2010), 3) for _ in range(2))
        high, low = round(max(first, last) + 1, 3), round(min(first, last) - 1, 3)
        bars.append((start, first, high, low, last, rng.randrange(1, 500)))
    return bars
