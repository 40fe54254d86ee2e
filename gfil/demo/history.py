"""History of `serve --demo`: labelled symbols with generated candles, the same on each run."""

import math
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import apsw

from gfil import clocks
from gfil.clocks import Bucket
from gfil.store import symbols
from gfil.store.candles import inventory, write
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection
from gfil.store.symbols import Symbol
from gfil.timeframes import D1, DAY, H1, M1, MINUTE, MONDAY, WEEK, Timeframe

SEED = 1971
LABEL = "Made up"
NEW_YORK_CLOSE = clocks.parse("nyclose")
BATCH_ROWS = 20_000
YEAR_S = 365 * DAY
REVERSION_PER_YEAR = 2.0  # strength of the reversion to the initial price
MINUTE_TICKS = 60
# Parts of the history, coarsest first: the timeframe and how long before now it starts.
PARTS = ((D1, 8 * YEAR_S), (H1, YEAR_S), (M1, 21 * DAY))


class Instrument(NamedTuple):
    """Demo symbol and its random walk; `volatility` is yearly, as a fraction of the price."""

    name: str
    description: str
    price: float
    digits: int
    volatility: float
    clock: clocks.Clock
    closes: bool


INSTRUMENTS = (
    Instrument("EURUSD.demo", "Euro / US dollar", 1.09, 5, 0.08, NEW_YORK_CLOSE, True),
    Instrument("USDJPY.demo", "US dollar / yen", 152.0, 3, 0.10, NEW_YORK_CLOSE, True),
    Instrument("XAUUSD.demo", "Gold / US dollar", 2350.0, 2, 0.16, NEW_YORK_CLOSE, True),
    Instrument("US500.demo", "US share index", 5300.0, 1, 0.18, NEW_YORK_CLOSE, True),
    Instrument("BTCUSD.demo", "Bitcoin / US dollar", 64000.0, 2, 0.50, clocks.UTC, False),
    Instrument("ETHUSD.demo", "Ether / US dollar", 3100.0, 2, 0.60, clocks.UTC, False),
)


def fill(path: Path, now: float | None = None) -> None:
    """Write the history of every demo symbol up to `now`, or extend it to `now`."""
    until = int(time.time() if now is None else now) // MINUTE * MINUTE
    db = connection.connect(path)
    try:
        for instrument in INSTRUMENTS:
            _fill_symbol(db, instrument, until)
    finally:
        db.close()


def _fill_symbol(db: apsw.Connection, instrument: Instrument, until: int) -> None:
    with connection.transaction(db):
        known = symbols.ensure(db, instrument.name)
        symbol = known._replace(
            description=f"{LABEL}: {instrument.description}",
            digits=instrument.digits,
            clock=instrument.clock.name,
        )
        if symbol != known:
            symbol = symbols.update(db, symbol)
    latest = inventory.read_latest(db, symbol)
    if latest is None:
        price, parts = instrument.price, [timeframe for timeframe, _ in PARTS]
        # Each part starts on a day boundary, so no coarse candle overlaps finer ones.
        starts = [instrument.clock.bucket(D1, until - length).start for _, length in PARTS]
    else:
        # The minute a live feed has started stays unchanged.
        price, parts, starts = latest.close, [M1], [min(latest.time + MINUTE, until)]
    for timeframe, start, stop in zip(parts, starts, [*starts[1:], until], strict=True):
        price = _write_part(db, symbol, instrument, timeframe, start, stop, price)


def _write_part(
    db: apsw.Connection,
    symbol: Symbol,
    instrument: Instrument,
    timeframe: Timeframe,
    start: int,
    stop: int,
    price: float,
) -> float:
    rng = random.Random(f"{SEED} {instrument.name} {timeframe.name} {start}")
    buckets = [
        bucket
        for bucket in instrument.clock.buckets(timeframe, start, stop)
        if bucket.stop <= stop and is_open(instrument, bucket.start)
    ]
    for first in range(0, len(buckets), BATCH_ROWS):
        rows, price = _generate_rows(
            rng, instrument, timeframe, buckets[first : first + BATCH_ROWS], price
        )
        with connection.transaction(db):
            symbol = symbols.reload(db, symbol)
            write.write_candles(db, symbol, timeframe, rows, clock=instrument.clock)
    return price


def is_open(instrument: Instrument, instant: float) -> bool:
    """Return whether the market of the instrument is open at an instant."""
    return not instrument.closes or (NEW_YORK_CLOSE.wall(int(instant)) - MONDAY) % WEEK < 5 * DAY


def activity(instant: float) -> float:
    """Return the trading activity at this time of day, 0.1 to 1."""
    return 0.55 + 0.45 * math.sin((instant % DAY) / DAY * 2 * math.pi - 2.2)


def move(
    rng: random.Random, instrument: Instrument, price: float, instant: float, seconds: float
) -> float:
    """Return the price `seconds` later: one step of a mean-reverting random walk."""
    step = instrument.volatility * math.sqrt(seconds / YEAR_S)
    drift = REVERSION_PER_YEAR * seconds / YEAR_S * math.log(instrument.price / price)
    return price * math.exp(rng.gauss(drift, step * (0.5 + activity(instant))))


def _generate_rows(
    rng: random.Random,
    instrument: Instrument,
    timeframe: Timeframe,
    buckets: Sequence[Bucket],
    price: float,
) -> tuple[CandleColumns, float]:
    # Four steps of the walk per candle.
    rows = CandleColumns([], [], [], [], [], [], [])
    for start, stop in buckets:
        path = [price]
        for _ in range(4):
            price = move(rng, instrument, price, start, timeframe.seconds / 4)
            path.append(price)
        prices = [round(value, instrument.digits) for value in path]
        expected_volume = MINUTE_TICKS * activity(start) * timeframe.seconds / MINUTE
        volume = 1 + int(rng.expovariate(1) * expected_volume)
        rows.time.append(start)
        rows.extra_s.append(stop - start - timeframe.seconds)
        rows.open.append(prices[0])
        rows.high.append(max(prices))
        rows.low.append(min(prices))
        rows.close.append(prices[-1])
        rows.volume.append(float(volume))
    return rows, price
