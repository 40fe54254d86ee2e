"""Random walks of M1 candles from a seed, and storing them."""

import random
from collections.abc import Sequence
from pathlib import Path

from gfil import clocks, timeframes
from gfil.store import symbol_settings, symbols
from gfil.store.candles import write
from gfil.store.engine import connection

BATCH_ROWS = 10_000

Candle = tuple[int, float, float, float, float, float]


def walk(
    seed: str, start: int, count: int, *, price: float = 100.0, digits: int = 2
) -> list[Candle]:
    """Return `count` consecutive minutes from `start`."""
    drawn, scale = random.Random(seed), 10**digits
    at, step = round(price * scale), max(round(price * scale / 5000), 3)
    made = []
    for time in range(start, start + 60 * count, 60):
        opened, at = at, at + drawn.randint(-step, step)
        high, low = (
            max(opened, at) + drawn.randint(0, step),
            min(opened, at) - drawn.randint(0, step),
        )
        prices = (value / scale for value in (opened, high, low, at))
        made.append((time, *prices, float(drawn.randint(1, 900))))
    return made


def store(
    path: Path,
    name: str,
    made: Sequence[Candle],
    *,
    tf: str = "M1",
    clock: str = "UTC",
    description: str = "",
) -> None:
    """Store candles of a symbol whose charts are drawn on `clock`."""
    db = connection.connect(path)
    try:
        for first in range(0, len(made), BATCH_ROWS):
            columns = [
                list(column) for column in zip(*made[first : first + BATCH_ROWS], strict=True)
            ]
            rows = write.CandleColumns(columns[0], [0] * len(columns[0]), *columns[1:])
            with connection.transaction(db):
                symbol = symbols.ensure(db, name)
                write.write_candles(db, symbol, timeframes.parse(tf), rows)
        with connection.transaction(db):
            symbol = symbols.ensure(db, name)
            symbol = symbols.update(db, symbol._replace(description=description))
            symbol_settings.set_clock(db, symbol, clocks.parse(clock))
    finally:
        db.close()
