"""Browser row: time from the navigation to the first drawn candles, in Chromium."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from statistics import median
from typing import Any

from gfil.bench.page import PATHS
from gfil.bench.processes import SERVE, server, whole_machine
from gfil.bench.results import Goal, Result
from gfil.bench.workspace import Workspace

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# A function, not an expression: the CSP of the page forbids eval.
DRAWN = "() => performance.getEntriesByName('candles-drawn')[0]?.startTime"
DRAWN_MAX_MS = 30_000
WHAT = "browser: navigation → first candles drawn, warm"
GOAL = Goal("<", 100)


def measure_browser(workspace: Workspace) -> Iterator[Result]:
    """Open charts repeatedly in one browser; the page marks when it has drawn the candles."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None or importlib.util.find_spec("playwright") is None:
        yield Result(
            "browser", WHAT, None, "ms", GOAL, note="Playwright or Chromium is not installed"
        )
        return
    from playwright.sync_api import sync_playwright

    with (
        server(SERVE, workspace.charts, whole_machine()) as measured,
        sync_playwright() as playwright,
    ):
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        page = browser.new_page()
        urls = [measured.url + path for path in PATHS]
        for url in urls:  # warm up: fills the cache of the browser and compiles the scripts
            _draw_ms(page, url)
        times = [_draw_ms(page, url) for _ in range(workspace.sizes.navigations) for url in urls]
        version = browser.version
        browser.close()
    yield Result("browser", WHAT, median(times), "ms", GOAL, note=f"median, Chromium {version}")


def _draw_ms(page: Any, url: str) -> float:
    page.goto(url)
    return float(page.wait_for_function(DRAWN, timeout=DRAWN_MAX_MS).json_value())
