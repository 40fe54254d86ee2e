"""Tests of gfil/demo/live_feed.py with a real server."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from gfil.clocks import UTC
from gfil.config import ROOT
from gfil.demo import history, live_feed
from gfil.demo.history import INSTRUMENTS, Instrument
from gfil.demo.live_feed import KEY_NAME, Walk
from gfil.store import api_keys, symbols
from gfil.store.candles import read
from gfil.store.engine import connection
from gfil.timeframes import M1
from tests.conftest import Server, clean_environment, wait_for

ALWAYS_OPEN = "BTCUSD.demo"
FRIDAY = 1791576000  # 2026-10-09T20:00Z, an hour before New York closes


def instrument(name: str) -> Instrument:
    return next(each for each in INSTRUMENTS if each.name == name)


def steps(name: str, start: float, rounds: int) -> list[Any]:
    walk, rng = Walk(instrument(name), 1.1, start), random.Random(1)
    return [
        tick for at in range(rounds) if (tick := walk.step(rng, start + at * live_feed.ROUND_S))
    ]


def test_closed_market_gives_no_tick() -> None:
    assert len(steps("EURUSD.demo", FRIDAY, 1200)) > 100
    assert steps("EURUSD.demo", FRIDAY + 3600, 1200) == []
    assert len(steps(ALWAYS_OPEN, FRIDAY + 3600, 1200)) > 100


def test_tick_has_its_time_and_an_ask_above_its_bid() -> None:
    ticks = steps("EURUSD.demo", FRIDAY + 0.25, 1200)
    assert ticks[0].bid == pytest.approx(1.1, rel=1e-4)
    for tick in ticks:
        assert tick.symbol == "EURUSD.demo"
        assert FRIDAY * 1000 < tick.time_msc < (FRIDAY + 301) * 1000
        assert 0 < tick.ask - tick.bid < 0.0002
        assert round(tick.bid, 5) == tick.bid


def test_price_does_not_jump_after_a_suspend() -> None:
    walk, rng = Walk(instrument(ALWAYS_OPEN), 64000.0, FRIDAY), random.Random(1)
    later = (walk.step(rng, FRIDAY + 30 * 86400 + at) for at in range(100))
    first = next(tick for tick in later if tick)
    assert first.bid == pytest.approx(64000, rel=0.01)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Demo database before the feed starts."""
    path = tmp_path_factory.mktemp("demo") / "demo.db"
    connection.create(path)
    history.fill(path)
    return path


@pytest.fixture
def database(made_up: Path, tmp_path: Path) -> Path:
    path = tmp_path / "demo.db"
    shutil.copy(made_up, path)
    return path


Feed = Callable[[Server], "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Feed]:
    """Start feeds as children of the test."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(running: Server) -> "subprocess.Popen[bytes]":
        port = int(running.url.rpartition(":")[2])
        started.append(live_feed.start_process(("127.0.0.1", port), running.db))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def newest(running: Server, name: str = ALWAYS_OPEN) -> list[float]:
    answer = running.get(f"/api/v1/candles?symbol={name}&tf=M1&limit=1")
    candle: list[float] = orjson.loads(answer.body)["candles"][-1]
    return candle


def volume(running: Server) -> float:
    """Number of received ticks."""
    answer = running.get(f"/api/v1/ticks?symbol={ALWAYS_OPEN}&limit=10000")
    return len(orjson.loads(answer.body)["ticks"])


def keys(path: Path) -> list[api_keys.ApiKey]:
    db = connection.connect(path, readonly=True)
    found = [key for key in api_keys.list_keys(db) if key.name == KEY_NAME]
    db.close()
    return found


def test_feed_continues_the_history_without_a_jump(
    server: Callable[..., Server], database: Path, start: Feed
) -> None:
    running = server(GFIL_DB=str(database), GFIL_WORKERS="1")
    before = newest(running)
    start(running)
    first = wait_for(lambda: (now := newest(running)) != before and now, "a new candle")
    assert first[1] == pytest.approx(before[4], rel=0.005)
    assert time.time() - first[0] < 90
    wait_for(lambda: newest(running) != first, "a candle that moves")
    (key,) = keys(database)
    assert key.scope == "write"
    assert key.expires == key.created + live_feed.KEY_LIFE_S
    assert {line["level"] for line in running.events()} == {"info"}


def test_feed_waits_for_a_server_that_restarts(
    server: Callable[..., Server], database: Path, start: Feed
) -> None:
    running = server(GFIL_DB=str(database), GFIL_WORKERS="1")
    process = start(running)
    wait_for(lambda: volume(running) > 0, "the first tick")
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
    (worker,) = map(int, children.read_text().split())
    os.kill(worker, signal.SIGKILL)
    running.process.send_signal(signal.SIGHUP)
    count = volume(running)
    wait_for(lambda: volume(running) > count + 1, "ticks for the new worker")
    running.stop()
    again = server("--bind", running.url.removeprefix("http://"), GFIL_DB=str(database))
    count = volume(again)
    wait_for(lambda: volume(again) > count + 1, "ticks for the next server")
    assert process.poll() is None


def test_later_feed_takes_over(server: Callable[..., Server], database: Path, start: Feed) -> None:
    running = server(GFIL_DB=str(database), GFIL_WORKERS="1")
    first = start(running)
    wait_for(lambda: volume(running) > 0, "the first tick")
    second = start(running)
    assert first.wait(20) == 1
    count = volume(running)
    wait_for(lambda: volume(running) > count, "a tick of the second")
    assert second.poll() is None
    assert [key.revoked is None for key in keys(database)].count(True) == 1


def test_candles_of_the_feed_stay_when_the_history_is_extended(
    server: Callable[..., Server], database: Path, start: Feed
) -> None:
    running = server(GFIL_DB=str(database), GFIL_WORKERS="1")
    process = start(running)
    wait_for(lambda: volume(running) > 2, "some ticks")
    process.kill()
    process.wait()
    db = connection.connect(database)
    symbol = symbols.read(db, ALWAYS_OPEN)

    def minutes() -> list[Any]:
        return list(read.read_candles(db, symbol, M1, UTC, limit=10_000).candles)

    before = minutes()
    history.fill(database)  # as a start in the same or the next minute does
    same = [candle for candle in minutes() if candle[0] <= before[-1][0]]
    assert same == before[len(before) - len(same) :]
    history.fill(database, now=before[-1][0] + 600)
    after = minutes()
    assert [candle[0] for candle in after[-10:]] == [before[-1][0] + 60 * at for at in range(10)]
    assert after[-10] == before[-1]
    db.close()


def feeds(path: Path) -> list[int]:
    """Feed processes of a database."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"gfil.demo.live_feed" in words and str(path).encode() in words:
            found.append(int(folder.name))
    return found


@contextmanager
def showing(folder: Path, made_up: Path) -> "Iterator[tuple[subprocess.Popen[bytes], Path]]":
    """Demo in a copy of the checkout, and its database: the path of the database is fixed.

    What it prints is in the file `log` of the folder.
    """
    for name in ("static", "templates", "wsgi.py"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "gfil", folder / "gfil", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "data").mkdir()
    database = folder / "data/demo.db"
    shutil.copy(made_up, database)
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gfil", "serve", "--demo", "--bind", "127.0.0.1:0"],
            cwd=folder,
            env=clean_environment(PYTHONPATH=str(folder)),
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: [key for key in keys(database) if key.last_used], "the first tick")
        assert len(feeds(database)) == 1
        yield process, database
    finally:
        process.kill()
        process.wait(30)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_generated_ticks_end_with_a_killed_server(
    tmp_path: Path, made_up: Path, how: signal.Signals
) -> None:
    with showing(tmp_path, made_up) as (process, database):
        process.send_signal(how)
        process.wait(30)
        wait_for(lambda: not feeds(database), "the end of the feed")
    printed = (tmp_path / "log").read_text()
    assert "Traceback" not in printed
    assert not [line for line in printed.splitlines() if "feed" in line or "gfil_" in line]


def test_killed_feed_is_restarted_up_to_the_limit(tmp_path: Path, made_up: Path) -> None:
    with showing(tmp_path, made_up) as (_, database):
        log = tmp_path / "log"
        for count in range(1, live_feed.STARTS_MAX + 1):
            (pid,) = wait_for(lambda: feeds(database), "a feed")
            os.kill(pid, signal.SIGKILL)
            wait_for(
                lambda n=count: log.read_text().count("the feed was killed") == n, "a log line"
            )
        assert log.read_text().count("the feed was killed and is not restarted") == 1
        assert feeds(database) == []


def test_feed_that_ended_by_itself_is_not_restarted(tmp_path: Path, made_up: Path) -> None:
    with showing(tmp_path, made_up) as (_, database):
        db = connection.connect(database)
        with connection.transaction(db):
            for key in api_keys.list_keys(db):
                api_keys.revoke(db, key.id, now=int(time.time()))
        db.close()
        wait_for(lambda: not feeds(database), "the end of the feed")
        time.sleep(2 * live_feed.RESTART_S)
        assert feeds(database) == []
        assert "it was killed" not in (tmp_path / "log").read_text()
