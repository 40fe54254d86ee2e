"""The benchmark: throughput, latency, memory and size, measured on this machine."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter

from gfil.bench import browser, importing, live, page, pumping, reading, report, ticking, writing
from gfil.bench.results import Result
from gfil.bench.workspace import Sizes, Workspace, log
from gfil.errors import BadParameter

# Run in this order: small databases first, the largest last.
ROWS: dict[str, Callable[[Workspace], Iterator[Result]]] = {
    "write": writing.measure_write,
    "size": writing.measure_size,
    "tick": ticking.measure_tick,
    "ticks": ticking.measure_ticks,
    "upload": ticking.measure_upload,
    "pump": pumping.measure_pump,
    "import": importing.measure_import,
    "h1": reading.measure_hours,
    "clocks": reading.measure_clocks,
    "page": page.measure_page,
    "page-small": page.measure_small_page,
    "hello": page.measure_hello,
    "live": live.measure_live,
    "live-page": live.measure_live_page,
    "memory": page.measure_memory,
    "browser": browser.measure_browser,
    "growth": reading.measure_growth,
}


def run(rows: Sequence[str], sizes: Sizes, parent: Path, keep: Path | None) -> list[Result]:
    """Measure the given rows, or all of them, and report progress on stderr.

    Files are written to a folder below `parent` and deleted at the end. With `keep` they are
    written there, and the databases stay for the next run.

    Raises:
        BadParameter: a row does not exist.
    """
    if unknown := [row for row in rows if row not in ROWS]:
        raise BadParameter(f"unknown row {unknown[0]!r}: use {' '.join(ROWS)}")
    results: list[Result] = []
    folder = keep or parent
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
    workspace = Workspace(keep or scratch, scratch, sizes)
    try:
        for number, row in enumerate(rows or ROWS, start=1):
            log(f"{number} of {len(rows or ROWS)}: {row} …")
            start = perf_counter()
            measured = list(ROWS[row](workspace))
            results += measured
            log(f"  {report.summarise(measured)} (took {perf_counter() - start:.0f} s)")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return results
