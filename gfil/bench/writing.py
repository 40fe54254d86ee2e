"""What a write costs: one candle that is safe on the disk, and the bytes that candles take."""

from collections.abc import Iterator
from statistics import median

from gfil.bench import market
from gfil.bench.figures import Figure, Goal, percentile, time_ms
from gfil.bench.place import ON_UTC, OWN_CLOCK, Place, fill, sync_ms
from gfil.store import candles, db, symbols
from gfil.store.candles import Rows
from gfil.timeframes import M1


def measure_write(place: Place) -> Iterator[Figure]:
    """Append one minute after another, each in a transaction of its own."""
    path = place.scratch / "writes.db"
    fill(path, [OWN_CLOCK], place.sizes.few_candles)
    connection = db.connect(path)
    symbol = symbols.read(connection, OWN_CLOCK)
    writes = []

    def write() -> None:
        with db.transaction(connection):
            candles.write(connection, symbol, M1, row)

    for points in market.walk(market.minutes_after(OWN_CLOCK), place.sizes.writes):
        for values in zip(*market.rows(points), strict=True):
            row = Rows(*([value] for value in values))
            writes.append(time_ms(write))
    connection.close()
    yield from _writes(writes, sync_ms(place.scratch, place.sizes.writes))


def _writes(writes: list[float], sync_ms: float) -> Iterator[Figure]:
    goal = Goal("<", 1 + sync_ms, f"1 ms and one fdatasync of {sync_ms:.2f} ms")
    what = "one M1 with its derived candles, durable"
    note = "on UTC and the symbol's clock"
    yield Figure("write", f"{what}, p50", median(writes), "ms", goal, note=note)
    yield Figure("write", f"{what}, p99", percentile(writes, 99), "ms")


def measure_size(place: Place) -> Iterator[Figure]:
    """Weigh the file of one symbol on UTC, with all that is derived."""
    count = place.sizes.csv_rows
    path = place.scratch / "size.db"
    fill(path, [ON_UTC], count)
    yield Figure(
        "size",
        "bytes on disk per M1 with its derived candles",
        path.stat().st_size / count,
        "bytes",
        Goal("≤", 80),
    )
