"""The benchmark: the figures the product promises, measured on this machine."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter

from gfil.bench import browser, importing, live, page, pumping, reading, report, ticking, writing
from gfil.bench.results import Result
from gfil.bench.workspace import Sizes, Workspace, say
from gfil.errors import BadParameter

# In this order: what is small first, and the largest database last.
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
    """Measure some rows, all where none is named, and tell on stderr how far it is.

    All that is written lies in a folder below `parent` and goes at the end; with `keep` it lies
    there, and the databases stay for another run to use again.

    Raises:
        BadParameter: a row is named that there is not.
    """
    if unknown := [row for row in rows if row not in ROWS]:
        raise BadParameter(f"no row {unknown[0]!r} in the benchmark: use {' '.join(ROWS)}")
    figures: list[Result] = []
    folder = keep or parent
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
    place = Workspace(keep or scratch, scratch, sizes)
    try:
        for number, row in enumerate(rows or ROWS, start=1):
            say(f"{number} of {len(rows or ROWS)}: {row} …")
            start = perf_counter()
            measured = list(ROWS[row](place))
            figures += measured
            say(f"  {report.sentence(measured)} (took {perf_counter() - start:.0f} s)")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return figures
