"""Streams of a real server during faults of all kinds: STREAM-NO-GAP and DRAIN."""

import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Server, limit_s, wait_for
from tests.faults import workloads
from tests.faults.killing import Standing
from tests.faults.senders import Job, Senders, candle_job, make_key, tick_jobs
from tests.faults.sizes import LONG, seeded
from tests.faults.viewers import Sub, Viewer, Viewers

SYMBOLS = ("EURUSD", "GBPUSD", "XAUUSD")
KATHMANDU = "Asia/Kathmandu"
FOLLOWED = (
    *(("M1", "UTC"), ("M1", "UTC"), ("M2", "UTC"), ("M5", "UTC"), ("H1", "UTC"), ("H4", "UTC")),
    *(
        ("D1", "UTC"),
        ("W1", "UTC"),
        ("MN1", "UTC"),
        ("D1", workloads.NEW_YORK),
        ("H4", workloads.NEW_YORK),
    ),
    *(("M15", KATHMANDU), ("H1", KATHMANDU), ("D1", KATHMANDU), ("W1", KATHMANDU)),
)
VIEWERS = 100
PRELOADED = 900  # M1 of each symbol
BULK = 2500  # M1 of one upload
TICKS = 12_000 if LONG else 1000  # of each symbol
CLIENTS, REST_S = 3, 0.04  # about 60 requests a second
ROUNDS = 24 if LONG else 2
RESTART_MAX_S = limit_s(25.0)
ABORTED = 66.6  # a price that is never committed


def subs_of(rng: random.Random) -> list[Sub]:
    """Return the subscriptions of one viewer: mostly one chart, sometimes several."""
    if rng.random() < 0.15:
        symbol = rng.choice(SYMBOLS)
        return [(symbol, timeframe, "UTC") for timeframe in ("M1", "M2", "M3", "M5")]
    count = rng.choice((1, 1, 1, 3))
    return list(dict.fromkeys((rng.choice(SYMBOLS), *rng.choice(FOLLOWED)) for _ in range(count)))


def history(rng: random.Random) -> list[Job]:
    """Return the M1 stored before the viewers connect."""
    days = [
        Job(
            f"days of {symbol}",
            f"/api/v1/candles?symbol={symbol}&tf=D1&clock=nyclose",
            b"time,open,high,low,close,volume\n2023-10-10,1,2,0.5,1.5,9\n2023-10-11,1,2,0.5,1.5,9\n",
        )
        for symbol in SYMBOLS
    ]
    return days + [
        candle_job(
            f"minutes of {symbol}",
            symbol,
            ((start, row) for (start, _), row in workloads.minutes(rng, workloads.DAY, PRELOADED)),
        )
        for symbol in SYMBOLS
    ]


def traffic(rng: random.Random) -> list[Job]:
    """Return mixed requests: ticks, late candles, corrections and whole files."""
    jobs = []
    for symbol in SYMBOLS:
        start_msc = (workloads.DAY + 60 * PRELOADED) * 1000
        ticks = workloads.ticks_of(rng, start_msc, TICKS)
        some = TICKS // 3
        jobs += tick_jobs(rng, symbol, ticks[:some], 4)  # groups of one millisecond
        jobs += tick_jobs(rng, f"{symbol}", ticks[some:], 40)
        for number in range(len(jobs) // 12):
            at = workloads.DAY + 60 * rng.randrange(PRELOADED)
            rows = [(at + 60 * n, workloads.candle(rng)) for n in range(rng.choice((1, 1, 4, 90)))]
            jobs.append(candle_job(f"late {symbol} {number}", symbol, rows))
    distinct = {job.name: job for job in jobs}
    jobs = sorted(distinct.values(), key=lambda job: rng.random())
    return jobs[: len(jobs) // 2] + bulk(rng) + jobs[len(jobs) // 2 :]


def bulk(rng: random.Random) -> list[Job]:
    """Return uploads of whole files before and over the stored rows."""
    return [
        Job(
            f"bulk {symbol}",
            f"/api/v1/candles?symbol={symbol}&tf=M1",
            workloads.csv(workloads.minutes(rng, workloads.DAY - 60 * (BULK - 100), BULK)),
        )
        for symbol in SYMBOLS[:2]
    ]


def prepare(standing: Standing, secret: str, rng: random.Random) -> None:
    """Send the history."""
    with Senders(standing.url, secret, history(rng), rng) as senders:
        pass
    assert senders.statuses.keys() == {200}


def abort(standing: Standing, secret: str) -> None:
    """Send candles with a wrong last row: none is ever committed or shown."""
    good = f"{workloads.DAY},{ABORTED},{ABORTED},{ABORTED},{ABORTED},1\n"
    answer = standing.running.request(
        "POST",
        f"/api/v1/candles?symbol={SYMBOLS[0]}&tf=M1&on_error=abort",
        f"time,open,high,low,close,volume\n{good}{workloads.DAY + 60},1,0,2,1,1\n".encode(),
        X_API_Key=secret,
    )
    assert answer.status == 422


def delete(standing: Standing, secret: str, rng: random.Random) -> None:
    """Delete an hour or so of one symbol."""
    start = workloads.DAY + 60 * rng.randrange(PRELOADED)
    path = f"/api/v1/candles?symbol={rng.choice(SYMBOLS)}&from={start}&to={start + 4000}"
    answer = standing.running.request("DELETE", path, X_API_Key=secret)
    assert answer.status == 200, answer.body


def make_viewers(standing: Standing, rng: random.Random) -> Viewers:
    return Viewers(standing.url, [Viewer(subs_of(rng)) for _ in range(VIEWERS)], rng)


def tell(viewers: Viewers) -> None:
    """Print the counts of the viewers."""
    resumed = sorted(each for viewer in viewers.viewers for each in viewer.resumed_s)
    events: Counter[str] = sum((viewer.events for viewer in viewers.viewers), Counter())
    statuses: Counter[int] = sum((viewer.statuses for viewer in viewers.viewers), Counter())
    half, last = (resumed[len(resumed) // 2], resumed[-1]) if resumed else (0, 0)
    print(f"{dict(events)} {dict(statuses)}, {len(resumed)} resumed {half:.2f} s, {last:.2f} s")


def test_every_viewer_ends_with_the_candles_of_the_server_after_faults(
    server: Callable[..., Server], tmp_path: Path
) -> None:
    """Viewers disconnect, workers are killed and reloaded, during ticks, files and deletions."""
    rng = seeded("streams")
    path = tmp_path / "gfil.db"
    secret = make_key(path, "admin")
    standing = Standing(lambda **more: server(GFIL_READ="public", **more), path)
    prepare(standing, secret, rng)
    jobs = traffic(rng)
    sending = Senders(standing.url, secret, jobs, rng, clients=CLIENTS, rest_s=REST_S)
    with make_viewers(standing, rng) as viewers:
        with sending as senders:
            for number in range(1, ROUNDS + 1):
                share = number * len(jobs) // (ROUNDS + 1)
                wait_for(
                    lambda share=share: len(senders.done) > share or not senders.is_busy,
                    f"{share} requests are stored",
                    60,
                )
                viewers.cut(VIEWERS // 5)
                abort(standing, secret)
                delete(standing, secret, rng)
                standing.kill("a worker", rng)
                if number % 2:
                    standing.running.process.send_signal(signal.SIGHUP)
        viewers.check()
        tell(viewers)
        seen = [
            candle
            for viewer in viewers.viewers
            for held in viewer.states.values()
            for candle in held.values()
        ]
        assert not any(ABORTED in candle for candle in seen)
    standing.running.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_restart_with_a_hundred_streams_ends_in_time_and_all_reconnect(
    server: Callable[..., Server], tmp_path: Path
) -> None:
    """DRAIN: the server restarts at its address, then reloads its workers."""
    rng = seeded("drain")
    path, place = tmp_path / "gfil.db", f"127.0.0.1:{free_port()}"
    secret = make_key(path)
    standing = Standing(lambda **more: server("--bind", place, GFIL_READ="public", **more), path)
    prepare(standing, secret, rng)
    jobs = traffic(rng)
    sending = Senders(standing.url, secret, jobs, rng, clients=CLIENTS, rest_s=REST_S)
    with make_viewers(standing, rng) as viewers, sending as senders:
        wait_for(lambda: len(senders.done) > len(jobs) // 4, "some writes")
        began = time.monotonic()
        assert standing.running.stop() == 0
        took_s = time.monotonic() - began
        assert took_s < RESTART_MAX_S
        standing.running = standing.start()
        wait_for(viewers.are_all_there, "all viewers after the restart")
        before = set(standing.workers())
        began = time.monotonic()
        standing.running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not before & set(standing.workers()), "new workers", RESTART_MAX_S)
        print(f"the restart took {took_s:.2f} s, the renewal {time.monotonic() - began:.2f} s")
        wait_for(viewers.are_all_there, "all viewers after the renewal")
        senders.finish()
        viewers.check()
        tell(viewers)
    assert sum(done.answer["rejected"] for done in senders.done) == 0
    standing.running.stop()
