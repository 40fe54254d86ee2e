"""The oracle's candle laws in plain Python: fold, saved while forming, the M1 of ticks.

A candle is `(open, high, low, close, volume)`. Nothing here uses the product's code.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from tests.oracle.buckets import Bucket

Candle = tuple[float, float, float, float, float]
Key = tuple[str, int, int]  # timeframe, start, stop
Row = tuple[Bucket, Candle]
Tick = tuple[int, float, float, float, float, int]  # time_msc, bid, ask, last, volume, flags
VOLUME_TOLERANCE = 1e-9


def fold(candles: Sequence[Candle]) -> Candle | None:
    """Return the candle law of candles in order: first, max, min, last, sum."""
    opens, highs, lows, closes, volumes = zip(*candles, strict=True) if candles else ((),) * 5
    return (opens[0], max(highs), min(lows), closes[-1], sum(volumes)) if opens else None


def proves_forming(fuller: Candle, candle: Candle) -> bool:
    """Return whether `candle` was saved while forming, as the fuller candle shows (law 4)."""
    same_open = fuller[0] == candle[0]
    as_wide = fuller[1] >= candle[1] and fuller[2] <= candle[2]
    wider = fuller[1] > candle[1] or fuller[2] < candle[2]
    if fuller[4] and candle[4]:
        return same_open and as_wide and fuller[4] > candle[4] * (1 + 1e-9)
    return same_open and as_wide and wider


def price_of(tick: Tick, price: str | None) -> float:
    """Return the price of a tick under a price rule; 0 where the tick has no such price."""
    _, bid, ask, last, _, _ = tick
    mid = (bid + ask) / 2 if bid and ask else 0.0
    return {"bid": bid, "ask": ask, "mid": mid, "last": last, None: last or bid}[price]


def fold_ticks(ticks: Iterable[Tick], price: str | None = None) -> Candle | None:
    """Return the M1 of the ticks of one minute, given in order."""
    worth = [tick for tick in ticks if price_of(tick, price)]
    prices = [price_of(tick, price) for tick in worth]
    volume = sum(tick[4] for tick in worth) or float(len(worth))
    return (prices[0], max(prices), min(prices), prices[-1], volume) if prices else None


def fold_minutes(ticks: Iterable[Tick], price: str | None = None) -> dict[int, Candle]:
    """Return the M1 of ticks, given in order, by the start of their minute."""
    minutes: dict[int, list[Tick]] = defaultdict(list)
    for tick in ticks:
        minutes[tick[0] // 60_000 * 60].append(tick)
    folded = {time: fold_ticks(some, price) for time, some in minutes.items()}
    return {time: candle for time, candle in folded.items() if candle}


def is_close(found: Sequence[float], wanted: Sequence[float]) -> bool:
    """Return whether prices are equal and volumes, the last numbers, within the tolerance."""
    near = abs(found[-1] - wanted[-1]) <= VOLUME_TOLERANCE * max(1, abs(wanted[-1]))
    return found[:-1] == wanted[:-1] and near


def check_ascending(answer: Sequence[tuple[int, float, float, float, float, float]]) -> None:
    """Assert that rows obey laws 9 and 1: times ascend, and low and high bound the prices."""
    assert all(before[0] < after[0] for before, after in pairwise(answer))
    for _, open_, high, low, close, volume in answer:
        assert low <= open_ <= high
        assert low <= close <= high
        assert volume >= 0
