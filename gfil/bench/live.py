"""Live rows: latency from a tick to many viewers, alone and while chart pages are requested."""

import math
import shutil
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, chain, product
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import quote

import orjson

from gfil.bench import load, market, page
from gfil.bench.processes import (
    SERVE,
    Bounds,
    Server,
    all_but,
    cpu_seconds,
    proportional_mb,
    running_on,
    server,
    small_server,
    whole_machine,
)
from gfil.bench.results import Goal, Result, percentile
from gfil.bench.watching import Watched, watching
from gfil.bench.workspace import LIVE, Workspace, add_key, sync_ms
from gfil.store.engine import connection

RATE = 60.0
CONNECTIONS = 4
WARM_UPS = 4  # requests of every page
SETTLE_S = 1.0  # until the last tick has reached the viewers
# Each tick is one point above the previous one: a close shows the last tick it includes.
FIRST_POINTS = 1_000_000
VIEWS = [*product(("M1", "H1", "D1", "W1", "MN1"), ("UTC", market.CLOCK.name))]


class _Followed(NamedTuple):
    # Subscription of one viewer; all symbols, timeframes and clocks take turns.

    name: str
    timeframe: str
    clock: str

    def page(self) -> bytes:
        path = f"/chart/{self.name}?tf={self.timeframe}&clock={quote(self.clock, safe='')}"
        return load.request(path, gzipped=True)


class _Round(NamedTuple):
    # Answers under one load; CPU is in seconds per second.

    ticks: Sequence[load.Answer]
    pages: Sequence[load.Answer]
    server_cpu: float
    load_cpu: float


class _Run(NamedTuple):
    # One server and its viewers; the first round is the warm-up.

    rounds: Sequence[_Round]
    watched: Watched
    size_mb: float | None

    @property
    def server_cpu(self) -> float:
        return median(round_.server_cpu for round_ in self.rounds[1:])

    def pages_ms(self, percent: float) -> float:
        return median(
            percentile([answer.late_ms for answer in round_.pages], percent)
            for round_ in self.rounds[1:]
        )

    def ticks_ms(self) -> list[float]:
        return [tick.server_ms for round_ in self.rounds[1:] for tick in round_.ticks]

    # From each tick to the first candle that includes it, for every viewer of its symbol.
    def arrivals_ms(self) -> tuple[list[float], list[float]]:
        ticks = list(chain.from_iterable(round_.ticks for round_ in self.rounds))
        since_answered, since_due = [], []
        for number, shown in enumerate(self.watched.shown):
            points = [*accumulate((round(close * market.POINTS) for _, close in shown), max)]
            for at in range(len(self.rounds[0].ticks), len(ticks)):
                if at % len(LIVE) != number % len(LIVE):
                    continue
                index = bisect_left(points, FIRST_POINTS + at)
                arrived = shown[index][0] if index < len(shown) else math.inf
                since_answered.append((arrived - ticks[at].ended) * 1000)
                since_due.append((arrived - ticks[at].due) * 1000)
        return since_answered, since_due

    # Possible disturbances of the results.
    def note(self) -> str:
        load_cpu = median(round_.load_cpu for round_ in self.rounds[1:])
        resets = f"; {self.watched.resets} resets" if self.watched.resets else ""
        return f"the load takes {load_cpu + self.watched.cpu:.2f} of a core{resets}"


def measure_live(workspace: Workspace) -> Iterator[Result]:
    """Post ticks to a server of two workers with many viewers."""
    bounds = whole_machine()
    run = _measure(workspace, bounds, has_pages=False)
    since_answered, since_due = run.arrivals_ms()
    while_ = f"{RATE:.0f} ticks/s of {len(LIVE)} symbols, {workspace.sizes.viewers} viewers"
    what = f"commit (its 2xx) → arrival, {while_}"
    upper = f"since the tick was due: p99 {percentile(since_due, 99):.0f} ms; {run.note()}"
    yield Result(
        "live", f"{what}, p50", percentile(since_answered, 50), "ms", note=bounds.description
    )
    p99 = percentile(since_answered, 99)
    yield Result("live", f"{what}, p99", p99, "ms", Goal("<", 300), note=upper)
    sync = sync_ms(workspace.scratch, workspace.sizes.writes)
    goal = Goal("<", 2 + sync, f"2 ms and one fdatasync of {sync:.2f} ms")
    what = f"one tick posted, server side, {while_}"
    yield Result("live", f"{what}, p50", percentile(run.ticks_ms(), 50), "ms")
    yield Result("live", f"{what}, p99", percentile(run.ticks_ms(), 99), "ms", goal)
    yield Result(
        "live",
        "memory of the server, two workers, meanwhile (PSS)",
        run.size_mb,
        "MB",
        Goal("<", 200),
        Goal("<", 120),
        note="" if run.size_mb is not None else "not available on this system",
    )
    yield Result("live", "CPU of the server meanwhile", run.server_cpu, "cores")


def measure_live_page(workspace: Workspace) -> Iterator[Result]:
    """Request pages of ticking symbols from a small server with many viewers."""
    with small_server() as bounds:
        run = _measure(workspace, bounds, has_pages=True)
    while_ = f"{RATE:.0f} ticks/s and {workspace.sizes.viewers} viewers"
    what = f"`/chart/S`, 300 candles inline, {page.RATE:.0f} pages/s during {while_}"
    note = f"{bounds.description}; gzipped, M1 H1 D1 W1 MN1 on UTC and the symbol's clock in turn"
    p50, p99 = run.pages_ms(50), run.pages_ms(99)
    yield Result("live-page", f"{what}, p50", p50, "ms", Goal("<", 5), note=note)
    yield Result(
        "live-page", f"{what}, p99", p99, "ms", Goal("<", 50), Goal("<", 10), note=run.note()
    )
    since_answered, _ = run.arrivals_ms()
    arrived = percentile(since_answered, 99)
    what = "the same, commit (its 2xx) → arrival, p99"
    yield Result("live-page", what, arrived, "ms", Goal("<", 300))
    what = "the same, one tick posted, server side, p99"
    yield Result("live-page", what, percentile(run.ticks_ms(), 99), "ms")
    yield Result("live-page", "CPU of the server", run.server_cpu, "cores")


def _measure(workspace: Workspace, bounds: Bounds, *, has_pages: bool) -> _Run:
    path = Path(tempfile.mkdtemp(dir=workspace.scratch)) / "watched.db"
    shutil.copy(workspace.live, path)
    connection.create(path)  # upgrades a kept database of an older schema
    key = add_key(path)
    followed = [
        _Followed(LIVE[number % len(LIVE)], *VIEWS[(number + number // len(LIVE)) % len(VIEWS)])
        for number in range(workspace.sizes.viewers)
    ]
    pages = [view.page() for view in followed] if has_pages else []
    warm_up_s = WARM_UPS * len(followed) / page.RATE
    rounds: list[_Round] = []
    with (
        server(SERVE, path, bounds) as measured,
        running_on(all_but(bounds)),
        watching(measured.address, [",".join(view) for view in followed]) as watched,
    ):
        for seconds in (warm_up_s, *[workspace.sizes.load_s] * workspace.sizes.loads):
            sent = sum(len(round_.ticks) for round_ in rounds)
            rounds.append(_load(measured, _posts(key, sent, seconds), pages, seconds))
        time.sleep(SETTLE_S)
        size = proportional_mb(measured.process)
    shutil.rmtree(path.parent)  # with its WAL
    return _Run(rounds, watched, size)


def _posts(key: str, sent: int, seconds: float) -> list[bytes]:
    # Made beforehand, with the stamps of when they will be sent.
    now = time.time() + load.LEAD_S
    return [
        load.post("/api/v1/ticks", orjson.dumps({"ticks": [tick]}), "application/json", key)
        for number in range(int(RATE * seconds))
        for price in [(FIRST_POINTS + sent + number) / market.POINTS]
        for tick in [
            {
                "symbol": LIVE[(sent + number) % len(LIVE)],
                "time_msc": int((now + number / RATE) * 1000),
                "bid": price,
                "ask": price,
                "flags": 6,
            }
        ]
    ]


def _load(
    measured: Server, posts: Sequence[bytes], pages: Sequence[bytes], seconds: float
) -> _Round:
    start, ours, its = time.monotonic(), time.process_time(), cpu_seconds(measured.process)
    with ThreadPoolExecutor(1) as pool:
        ask = (measured.address, posts, RATE, seconds, CONNECTIONS)
        ticks = pool.submit(load.ask_evenly, *ask)
        drawn = []
        if pages:
            rate, connections = page.RATE, page.CONNECTIONS
            drawn = load.ask_evenly(measured.address, pages, rate, seconds, connections)
        answers = ticks.result()
    took = time.monotonic() - start
    server_cpu = (cpu_seconds(measured.process) - its) / took
    return _Round(answers, drawn, server_cpu, (time.process_time() - ours) / took)
