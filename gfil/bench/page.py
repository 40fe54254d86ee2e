"""Page rows: latency under a steady load, throughput against a bare hello, memory of the server."""

import time
from collections.abc import Iterator
from statistics import median
from urllib.parse import urlencode

from gfil.bench import load, market
from gfil.bench.processes import (
    HELLO,
    SERVE,
    Bounds,
    all_but_the_last_core,
    proportional_mb,
    running_on,
    server,
    small_server,
    whole_machine,
)
from gfil.bench.results import Goal, Result, percentile
from gfil.bench.workspace import OWN_CLOCK, Workspace

RATE = 50.0
CONNECTIONS = 16
BUSY_CONNECTIONS = 8
WARM_UPS = 8  # requests of every page, so that each worker has rendered it
WARM_UP_S = 2.0
SETTLE_S = 2.0
PATHS = [
    f"/chart/{OWN_CLOCK}?" + urlencode({"tf": timeframe, "clock": clock})
    for timeframe in ("M1", "H1", "D1", "W1", "MN1")
    for clock in ("UTC", market.CLOCK.name)
]
PAGES = [load.request(path, gzipped=True) for path in PATHS]
PLAIN_PAGES = [load.request(path) for path in PATHS]


def _load(address: load.Address, seconds: float) -> list[float]:
    return load.latencies_ms(address, PAGES, RATE, seconds, CONNECTIONS)


def measure_page(workspace: Workspace) -> Iterator[Result]:
    """Request pages at a steady rate on the whole machine."""
    yield from _measure_load(workspace, "page", whole_machine())


def measure_small_page(workspace: Workspace) -> Iterator[Result]:
    """Request pages at the same rate on a small server."""
    with small_server() as bounds:
        yield from _measure_load(workspace, "page-small", bounds)


def _measure_load(workspace: Workspace, row: str, bounds: Bounds) -> Iterator[Result]:
    runs = []
    with server(SERVE, workspace.charts, bounds) as measured:
        _load(measured.address, WARM_UPS * len(PAGES) / RATE)
        for _ in range(workspace.sizes.loads):
            runs.append(_load(measured.address, workspace.sizes.load_s))
    what = f"`/chart/S`, 300 candles inline, {RATE:.0f} pages/s"
    note = f"{bounds.description}; gzipped, M1 H1 D1 W1 MN1 on UTC and the symbol's clock in turn"
    middle = median(percentile(run, 50) for run in runs)
    tail = median(percentile(run, 99) for run in runs)
    yield Result(row, f"{what}, p50", middle, "ms", Goal("<", 5), note=note)
    yield Result(row, f"{what}, p99", tail, "ms", Goal("<", 50), Goal("<", 10), note=note)


def measure_hello(workspace: Workspace) -> Iterator[Result]:
    """Request pages, then hellos, as fast as possible, in turn."""
    bounds, ours = all_but_the_last_core()
    seconds, ratios, pages, hellos = workspace.sizes.throughput_s, [], [], []
    with (
        server(SERVE, workspace.charts, bounds) as charts,
        server(HELLO, workspace.charts, bounds) as bare,
        running_on(ours),
    ):
        hello = [load.request("/")]
        for address, requests in ((charts.address, PLAIN_PAGES), (bare.address, hello)):
            load.per_second(address, requests, WARM_UP_S, BUSY_CONNECTIONS)
        for _ in range(workspace.sizes.throughputs):
            pages.append(load.per_second(charts.address, PLAIN_PAGES, seconds, BUSY_CONNECTIONS))
            hellos.append(load.per_second(bare.address, hello, seconds, BUSY_CONNECTIONS))
            ratios.append(pages[-1] / hellos[-1])
        size = load.size_bytes(charts.address, PLAIN_PAGES[0])
    yield Result(
        "hello",
        "pages/s divided by requests/s of a bare Flask hello, uncompressed",
        median(ratios),
        "×",
        Goal("≥", 0.5),
        Goal("≥", 0.7),
        peers={"pages/s": median(pages), "hellos/s": median(hellos)},
        note=f"{size:,} bytes per page; both servers on {bounds.description}, "
        f"the client on {ours.description}",
    )


def measure_memory(workspace: Workspace) -> Iterator[Result]:
    """Measure the memory of the whole server after the load."""
    with server(SERVE, workspace.charts, whole_machine()) as measured:
        _load(measured.address, workspace.sizes.load_s)
        time.sleep(SETTLE_S)
        size = proportional_mb(measured.process)
    yield Result(
        "memory",
        "memory of the server, two workers, after the page load (PSS)",
        size,
        "MB",
        Goal("<", 200),
        Goal("<", 120),
        note="" if size is not None else "not available on this system",
    )
