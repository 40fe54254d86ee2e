"""Made-up M1 candles that walk at random from a seed, written into a database."""

import random
from collections.abc import Sequence
from pathlib import Path

from gfil import clocks, timeframes
from gfil.store import candles, db, symbols

BATCH_ROWS = 10_000

Candle = tuple[int, float, float, float, float, float]


def walk(
    seed: str, start: int, count: int, *, price: float = 100.0, digits: int = 2
) -> list[Candle]:
    """Return so many minutes one after another from `start` on."""
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
    connection = db.connect(path)
    try:
        for first in range(0, len(made), BATCH_ROWS):
            columns = [
                list(column) for column in zip(*made[first : first + BATCH_ROWS], strict=True)
            ]
            rows = candles.Rows(columns[0], [0] * len(columns[0]), *columns[1:])
            with db.transaction(connection):
                symbol = symbols.ensure(connection, name)
                candles.write(connection, symbol, timeframes.parse(tf), rows)
        with db.transaction(connection):
            symbol = symbols.ensure(connection, name)
            symbol = symbols.update(connection, symbol._replace(description=description))
            candles.set_clock(connection, symbol, clocks.parse(clock))
    finally:
        connection.close()
