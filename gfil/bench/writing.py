"""Write rows: the time of a durable write of one candle, and bytes per candle."""

from collections.abc import Iterator
from statistics import median

from gfil.bench import market
from gfil.bench.results import Goal, Result, percentile, time_ms
from gfil.bench.workspace import ON_UTC, OWN_CLOCK, Workspace, fill, sync_ms
from gfil.store import symbols
from gfil.store.candles import write as candle_write
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection
from gfil.timeframes import M1


def measure_write(workspace: Workspace) -> Iterator[Result]:
    """Append single minutes, each in its own transaction."""
    path = workspace.scratch / "writes.db"
    fill(path, [OWN_CLOCK], workspace.sizes.few_candles)
    db = connection.connect(path)
    symbol = symbols.read(db, OWN_CLOCK)
    writes = []

    def write() -> None:
        with connection.transaction(db):
            candle_write.write_candles(db, symbol, M1, row)

    for points in market.walk(market.minutes_after(OWN_CLOCK), workspace.sizes.writes):
        for values in zip(*market.rows(points), strict=True):
            row = CandleColumns(*([value] for value in values))
            writes.append(time_ms(write))
    db.close()
    yield from _writes(writes, sync_ms(workspace.scratch, workspace.sizes.writes))


def _writes(writes: list[float], sync_ms: float) -> Iterator[Result]:
    goal = Goal("<", 1 + sync_ms, f"1 ms and one fdatasync of {sync_ms:.2f} ms")
    what = "one M1 with its derived candles, durable"
    note = "on UTC and the symbol's clock"
    yield Result("write", f"{what}, p50", median(writes), "ms", goal, note=note)
    yield Result("write", f"{what}, p99", percentile(writes, 99), "ms")


def measure_size(workspace: Workspace) -> Iterator[Result]:
    """Measure the file size of one symbol on UTC with all derived candles."""
    count = workspace.sizes.csv_rows
    path = workspace.scratch / "size.db"
    fill(path, [ON_UTC], count)
    yield Result(
        "size",
        "bytes on disk per M1 with its derived candles",
        path.stat().st_size / count,
        "bytes",
        Goal("≤", 80),
    )
