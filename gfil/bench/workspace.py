"""Workspace of the benchmark: its folders, sizes and databases."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from statistics import median
from time import perf_counter

from gfil.bench import market
from gfil.bench.results import time_ms
from gfil.errors import GfilError
from gfil.store import api_keys, symbol_settings, symbols
from gfil.store.candles import write
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection

OWN_CLOCK = "EURUSD"  # on the clock of most brokers, so H4 and D1 are stored twice
ON_UTC = "GBPUSD"
FURTHER = ("AUDUSD", "NZDUSD")
LIVE = tuple(f"LIVE{number:02}" for number in range(30))
LIVE_HOURS = 6  # their history has every sixth H1, enough for D1, W1 and MN1
WITH_OWN_CLOCK = {OWN_CLOCK, *LIVE}
PAGE = b"\1" * 4096
BATCH_WEEKS = 3  # about 21,000 candles in one transaction


@dataclass(frozen=True)
class Sizes:
    """Sizes of a run; `candles` is the number of M1 in the largest database, in four symbols.

    `years` is the span of the H1 before them: a little more than 300 months.
    """

    candles: int = 10_000_000
    few_candles: int = 100_000
    years: float = 25.5
    csv_rows: int = 1_000_000
    load_s: float = 20.0
    loads: int = 3
    throughput_s: float = 3.0
    throughputs: int = 5
    times: int = 31
    writes: int = 1000
    navigations: int = 15
    ticks: int = 1800
    tick_batches: int = 300
    upload_bytes: int = 500_000_000
    live_candles: int = 10_000
    viewers: int = 100
    pumped: int = 92_000


FULL = Sizes()
QUICK = Sizes(
    candles=40_000,
    few_candles=5_000,
    years=1.0,
    csv_rows=10_000,
    load_s=0.5,
    loads=1,
    throughput_s=0.2,
    throughputs=1,
    times=3,
    writes=50,
    navigations=1,
    ticks=60,
    tick_batches=4,
    upload_bytes=10_000_000,
    live_candles=1_000,
    viewers=20,
    pumped=2_000,
)


@dataclass(frozen=True)
class Workspace:
    """Folders of a run: `kept` for databases of later runs, `scratch` is deleted at the end."""

    kept: Path
    scratch: Path
    sizes: Sizes

    @cached_property
    def charts(self) -> Path:
        """Database of two symbols, one with its own clock, one on UTC, with years of candles."""
        return self._fill("charts.db", (OWN_CLOCK, ON_UTC), self.sizes.candles // 4)

    @cached_property
    def many(self) -> Path:
        """The `charts` database with two more symbols: the largest one."""
        return self._fill(self.charts.name, FURTHER, self.sizes.candles // 4)

    @cached_property
    def few(self) -> Path:
        """Database of the first symbol of `charts` with few M1."""
        return self._fill("few.db", (OWN_CLOCK,), self.sizes.few_candles)

    @cached_property
    def live(self) -> Path:
        """Database of many symbols, each with its own clock and years of candles."""
        return self._fill("live.db", LIVE, self.sizes.live_candles)

    def _fill(self, name: str, names: tuple[str, ...], count: int) -> Path:
        ends = dict.fromkeys([names[0], names[-1]])
        path, marker = self.kept / name, self.kept / ".".join([name, *ends])
        content = f"{market.SEED} {count} {self.sizes.years}"
        if marker.exists() and marker.read_text() == content:
            return path
        if path.exists() and names != FURTHER:
            raise GfilError(f"{path} exists and is of another run: use another folder with --keep")
        start = perf_counter()
        fill(path, names, count, self.sizes.years)
        marker.write_text(content)
        log(f"{name}: {count:,} M1 each of {len(names)} symbols in {perf_counter() - start:.0f} s")
        return path


def sync_ms(folder: Path, times: int) -> float:
    """Return the median time of an fdatasync on the disk of a folder."""
    times_ms = []
    with (folder / "synced").open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(PAGE)
            times_ms.append(time_ms(lambda: os.fdatasync(file.fileno())))
    return median(times_ms)


def log(line: str) -> None:
    """Print a line of progress on stderr."""
    print(line, file=sys.stderr, flush=True)


def add_key(path: Path) -> str:
    """Create a key of scope `write` in a database and return its secret."""
    db = connection.connect(path)
    with connection.transaction(db):
        _, key = api_keys.create(db, "bench", "write", now=market.STOP)
    db.close()
    return key


def fill(path: Path, names: Sequence[str], count: int, years: float = 0) -> None:
    """Write `count` M1 for each symbol, and H1 before them for `years`."""
    connection.create(path)
    db = connection.connect(path)
    for name in names:
        with connection.transaction(db):
            symbol = symbols.ensure(db, name)
            if name in WITH_OWN_CLOCK:
                symbol = symbol_settings.set_clock(db, symbol, market.CLOCK)
        newest = market.minutes(count, name)
        before = market.hours_before(newest, years, LIVE_HOURS if name in LIVE else 1)
        for part, limit in ((before, None), (newest, count)):
            for batch in _batches(part, limit, BATCH_WEEKS * part.every**2):
                with connection.transaction(db):
                    write.write_candles(db, symbol, part.timeframe, batch)
    db.close()  # checkpoints the WAL


def _batches(part: market.Part, count: int | None, size: int) -> Iterator[CandleColumns]:
    weeks = map(market.rows, market.walk(part, count))
    while several := list(islice(weeks, size)):
        columns = zip(*several, strict=True)
        yield CandleColumns(*([*chain.from_iterable(column)] for column in columns))
