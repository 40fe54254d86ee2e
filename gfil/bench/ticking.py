"""Tick rows: single ticks over HTTP, batches of ticks, and single ticks during a large upload."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate, cycle, islice
from pathlib import Path
from random import Random

import orjson

from gfil.bench import load, market
from gfil.bench.processes import SERVE, Server, server, watch_growth_mb, whole_machine
from gfil.bench.results import Goal, Result, percentile
from gfil.bench.workspace import ON_UTC, Workspace, add_key, fill, sync_ms
from gfil.store.engine import connection
from gfil.wording import MB

NAMES = [f"TICK{number:02}" for number in range(30)]
RATE = 60.0
CONNECTIONS = 4
BATCH_TICKS = 1000
BATCH_NAMES = 4
BATCH_CONNECTIONS = 2
PAGE_RATE = 20.0
ROUND_S = 4.0  # of load during the upload, repeated until it has ended
PAGES = [load.request(f"/chart/{ON_UTC}?tf={tf}", gzipped=True) for tf in ("M1", "H1", "D1", "W1")]


def measure_tick(workspace: Workspace) -> Iterator[Result]:
    """Post single ticks at the rate of a market."""
    path, key = _create(workspace, "tick.db")
    posts = [_post(key, [tick]) for tick in _ticks(2 * workspace.sizes.ticks, NAMES, RATE)]
    first, second = posts[: workspace.sizes.ticks], posts[workspace.sizes.ticks :]
    with server(SERVE, path, whole_machine()) as measured:
        _send(measured, first)
        took = _send(measured, second)
    sync = sync_ms(workspace.scratch, workspace.sizes.writes)
    goal = Goal("<", 2 + sync, f"2 ms and one fdatasync of {sync:.2f} ms")
    what = f"one tick posted, {RATE:.0f}/s of {len(NAMES)} symbols, server side"
    yield Result("tick", f"{what}, p50", percentile(took, 50), "ms")
    yield Result("tick", f"{what}, p99", percentile(took, 99), "ms", goal)


def measure_ticks(workspace: Workspace) -> Iterator[Result]:
    """Post batches as fast as the server accepts them."""
    path, key = _create(workspace, "ticks.db")
    count = workspace.sizes.tick_batches * BATCH_TICKS
    ticks = _ticks(count, NAMES[:BATCH_NAMES], 200.0)
    posts = [_post(key, ticks[at : at + BATCH_TICKS]) for at in range(0, count, BATCH_TICKS)]
    with server(SERVE, path, whole_machine()) as measured:
        seconds = load.seconds_for_all(measured.address, posts, BATCH_CONNECTIONS)
    yield Result(
        "ticks",
        f"ticks over HTTP in batches of {BATCH_TICKS}, with all derived candles",
        count / seconds,
        "/s",
        Goal("≥", 20_000),
        Goal("≥", 50_000),
        note=f"JSON, {BATCH_NAMES} symbols, {BATCH_CONNECTIONS} connections",
    )


def measure_upload(workspace: Workspace) -> Iterator[Result]:
    """Upload a large CSV of several symbols during single ticks and page requests."""
    path, key = _create(workspace, "upload.db")
    fill(path, [ON_UTC], workspace.sizes.few_candles)
    file = workspace.scratch / "upload.csv"
    rows = market.write_symbols_csv(file, workspace.sizes.upload_bytes)
    with server(SERVE, path, whole_machine()) as measured, ThreadPoolExecutor(4) as pool:
        _load(pool, measured, key, 0)
        with watch_growth_mb(measured.process) as growth:
            upload = pool.submit(load.upload, measured.address, "/api/v1/candles?tf=M1", file, key)
            ticks, pages = _load_until(pool, measured, key, upload)
            answer, seconds = upload.result()
    counts = orjson.loads(answer)
    size_mb = file.stat().st_size / MB
    what = f"an upload of {size_mb:,.0f} MB CSV over HTTP"
    note = f"{counts['inserted']:,} of {rows:,} candles stored; {RATE:.0f} ticks/s during it"
    yield Result("upload", what, rows / seconds, "/s", note=note)
    yield Result("upload", f"{what}: memory growth of a worker", growth.mb, "MB", Goal("<", 32))
    yield Result(
        "upload",
        "one tick during it, server side, p99",
        percentile(ticks, 99),
        "ms",
        Goal("<", 100),
    )
    yield Result("upload", "`/chart/S` during it, p99", percentile(pages, 99), "ms", Goal("<", 50))


def _create(workspace: Workspace, name: str) -> tuple[Path, str]:
    path = workspace.scratch / name
    connection.create(path)
    return path, add_key(path)


def _ticks(count: int, names: Sequence[str], rate: float) -> list[dict[str, object]]:
    rng = Random(f"{market.SEED} ticks")
    prices = accumulate(rng.choices((-1, 0, 1), k=count), initial=market.PRICE_POINTS)
    return [
        {
            "symbol": name,
            "time_msc": market.STOP * 1000 + int(number * 1000 / rate),
            "bid": price / market.POINTS,
            "ask": (price + 9) / market.POINTS,
            "flags": 6,
        }
        for number, (name, price) in enumerate(
            zip(islice(cycle(names), count), prices, strict=False)
        )
    ]


def _post(key: str, ticks: Sequence[dict[str, object]]) -> bytes:
    body = orjson.dumps({"ticks": ticks})
    return load.post("/api/v1/ticks", body, "application/json", key)


def _send(measured: Server, posts: Sequence[bytes]) -> list[float]:
    seconds = len(posts) / RATE
    return load.latencies_ms(measured.address, posts, RATE, seconds, CONNECTIONS, by_server=True)


def _load_until(
    pool: ThreadPoolExecutor, measured: Server, key: str, upload: "Future[tuple[bytes, float]]"
) -> tuple[list[float], list[float]]:
    ticks: list[float] = []
    pages: list[float] = []
    while not upload.done():
        some_ticks, some_pages = _load(pool, measured, key, len(ticks))
        ticks, pages = ticks + some_ticks, pages + some_pages
    return ticks, pages


def _load(
    pool: ThreadPoolExecutor, measured: Server, key: str, done: int
) -> tuple[list[float], list[float]]:
    count = int(RATE * ROUND_S)
    posts = [_post(key, [tick]) for tick in _ticks(done + count, NAMES, RATE)[done:]]
    ticks = pool.submit(_send, measured, posts)
    pages = pool.submit(load.latencies_ms, measured.address, PAGES, PAGE_RATE, ROUND_S, CONNECTIONS)
    return ticks.result(), pages.result()
