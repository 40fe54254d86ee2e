"""A chart of recorded ticks that are replayed while the server is killed and restarted."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.chart_page import OpenPage, legend, texts
from tests.browser.conftest import PageLog
from tests.browser.live_server import (
    CONNECTION_ERRORS,
    RECONNECT_S,
    LiveServer,
    LiveSymbol,
    expect_live,
    workers,
)
from tests.conftest import SAMPLES, Server, clean_environment

TICKS = "ticks/XAUUSD_ticks_20140505_mt5_layout.csv.gz"


@pytest.fixture
def symbol(server: Callable[..., Server], tmp_path: Path, page_log: PageLog) -> LiveSymbol:
    """Create XAUUSD on a separate server."""
    page_log.expected += CONNECTION_ERRORS
    return LiveSymbol(LiveServer(server, tmp_path / "gfil.db"), "XAUUSD")


def replay(symbol: LiveSymbol, ticks: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Replay a tick file at its own speed, starting now, over HTTP."""
    key = folder / "key"
    key.write_text(symbol.live_server.key)
    key.chmod(0o600)
    command = [sys.executable, "-P", "-m", "gfil", "replay", str(ticks), "--now"]
    options = ["--url", symbol.live_server.url, "--key-file", str(key), "--symbol", "XAUUSD"]
    return subprocess.Popen(command + options, cwd=folder, env=clean_environment())


def test_chart_of_replayed_ticks_is_complete_after_kill_and_restart(
    open_page: OpenPage,
    symbol: LiveSymbol,
    tmp_path: Path,
    eventually: Callable[..., Any],
) -> None:
    page = symbol.open(open_page)
    pump = replay(symbol, SAMPLES / TICKS, tmp_path)
    try:
        close = page.locator("#legend dd").nth(4)
        for _ in range(5):
            expect(close).not_to_have_text(close.inner_text())
        for fault in ("kill", "restart"):
            before = symbol.served()
            if fault == "kill":
                os.kill(workers(symbol.live_server.server)[0], signal.SIGKILL)
            else:
                symbol.live_server.server.stop()
                symbol.live_server.restart()
            eventually(
                lambda before=before: symbol.served() != before, "the replay goes on", RECONNECT_S
            )
            expect_live(page)
            symbol.expect_synced(page)
    finally:
        pump.terminate()
        pump.wait()
    symbol.expect_synced(page)
    last = symbol.served()[-1]
    expect(page).to_have_title(f"{last[4]:,.2f} XAUUSD M1 – GFIL")
    assert legend(page)[1:6] == texts(last, 2)
    page.screenshot(path=tmp_path / "chart.png")
