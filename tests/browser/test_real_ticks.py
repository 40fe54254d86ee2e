"""Real ticks replayed into a chart, while its server is killed and restarted."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Watch
from tests.browser.feeding import BROKEN, HEAL_S, Feed, House, expect_live, workers
from tests.browser.looking import OpenPage, legend, texts
from tests.conftest import SAMPLES, Server, clean_environment

TICKS = "ticks/XAUUSD_ticks_20140505_mt5_layout.csv.gz"


@pytest.fixture
def feed(server: Callable[..., Server], tmp_path: Path, watch: Watch) -> Feed:
    """Gold on a server of its own."""
    watch.expected += BROKEN
    return Feed(House(server, tmp_path / "gfil.db"), "XAUUSD")


def replay(feed: Feed, ticks: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Ticks as they came, from now on, sent as a pump sends them."""
    key = folder / "key"
    key.write_text(feed.house.key)
    key.chmod(0o600)
    command = [sys.executable, "-P", "-m", "gfil", "replay", str(ticks), "--now"]
    told = ["--url", feed.house.url, "--key-file", str(key), "--symbol", "XAUUSD"]
    return subprocess.Popen(command + told, cwd=folder, env=clean_environment())


def test_the_chart_of_real_ticks_is_complete_whatever_happens_to_the_server(
    open_page: OpenPage,
    feed: Feed,
    tmp_path: Path,
    eventually: Callable[..., Any],
) -> None:
    page = feed.open(open_page)
    pump = replay(feed, SAMPLES / TICKS, tmp_path)
    try:
        close = page.locator("#legend dd").nth(4)
        for _ in range(5):
            expect(close).not_to_have_text(close.inner_text(), timeout=20_000)
        for how in ("kill", "restart"):
            before = feed.candles()
            if how == "kill":
                os.kill(workers(feed.house.server)[0], signal.SIGKILL)
            else:
                feed.house.server.stop()
                feed.house.restart()
            eventually(lambda seen=before: feed.candles() != seen, "the replay goes on", HEAL_S)
            expect_live(page)
            feed.expect_shown(page)
    finally:
        pump.terminate()
        pump.wait()
    feed.expect_shown(page)
    last = feed.candles()[-1]
    assert legend(page)[1:6] == texts(last, 2)
    page.screenshot(path=tmp_path / "chart.png")
    assert page.title().startswith(f"{last[4]:.2f} ")
