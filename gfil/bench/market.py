"""Generated prices that move like a market; the same seed gives the same prices."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

from gfil import clocks
from gfil.store.candles.write import CandleColumns
from gfil.timeframes import D1, DAY, H1, M1, MINUTE, W1, WEEK, Timeframe

SEED = 20250627
CLOCK = clocks.parse("nyclose")  # on it a market is open on the first five days of a week
STOP = 1751058000  # the close of Friday 2025-06-27, so no row is in the future
PRICE_POINTS = 112_000  # a point is 0.00001
POINTS = 100_000
MINUTE_POINTS = 7.0  # standard deviation of the move in a minute
WEEK_MINUTES = 5 * DAY // MINUTE
YEARS_ROWS = 3_000_000  # eight years of M1
WEEK_SILENT = WEEK_MINUTES // 50  # minutes without trades
_GRADES = [(grade + 0.5) / 256 for grade in range(256)]


class Part(NamedTuple):
    """Generated candles of one timeframe, week by week; prices in points."""

    timeframe: Timeframe
    start: int
    stop: int
    price: int
    seed: str
    every: int = 1  # generate every n-th candle only


def minutes(count: int, seed: str) -> Part:
    """Return M1 for as many weeks as `count` candles need, up to the last close."""
    weeks = -(-count // (WEEK_MINUTES - WEEK_SILENT))
    start = CLOCK.bucket(W1, STOP - (weeks - 1) * WEEK).start
    return Part(M1, start, STOP, PRICE_POINTS, seed)


def hours_before(part: Part, years: float, every: int = 1) -> Part:
    """Return H1 before another part, so that both together cover `years`.

    `every` thins them out where only longer timeframes are needed.
    """
    start = CLOCK.bucket(W1, part.stop - int(years * 365 * DAY)).start
    return Part(H1, start, part.start, PRICE_POINTS, part.seed, every)


def minutes_after(seed: str) -> Part:
    """Return M1 of the weeks after all other parts."""
    start = CLOCK.bucket(W1, STOP).stop
    return Part(M1, start, start + 4 * WEEK, PRICE_POINTS, seed)


class Points(NamedTuple):
    """One week of candles as equally long columns; prices are whole points."""

    time: list[int]
    open: list[int]
    high: list[int]
    low: list[int]
    close: list[int]
    volume: list[int]


def walk(part: Part, count: int | None = None) -> Iterator[Points]:
    """Yield the weeks of a part, with at most `count` candles in total."""
    step, price, left = part.timeframe.seconds, part.price, count
    width = MINUTE_POINTS * (step / MINUTE) ** 0.5
    steps = [round(NormalDist(0, width).inv_cdf(grade)) for grade in _GRADES]
    wicks = [round(abs(grade - 0.5) * width) for grade in _GRADES]
    volumes = [1 + round(step * grade * grade) for grade in _GRADES]
    for week in CLOCK.buckets(W1, part.start, part.stop):
        rng = random.Random(f"{SEED} {part.seed} {part.timeframe.name} {week.start}")
        times = [*range(week.start, week.start + 5 * DAY, step * part.every)]
        if part.timeframe == M1:
            silent = set(rng.sample(times, WEEK_SILENT))
            times = [time for time in times if time not in silent]
        times = times[:left]
        size = len(times)
        if left is not None:
            left -= size
        if not size:
            return
        prices = [*accumulate(rng.choices(steps, k=size), initial=price)]
        price = prices[-1]
        highs = map(int.__add__, map(max, pairwise(prices)), rng.choices(wicks, k=size))
        lows = map(int.__sub__, map(min, pairwise(prices)), rng.choices(wicks, k=size))
        volume = rng.choices(volumes, k=size)
        yield Points(times, prices[:-1], [*highs], [*lows], prices[1:], volume)


def rows(points: Points) -> CandleColumns:
    """Convert points to the columns that the store writes."""
    opens, highs, lows, closes = ([price / POINTS for price in column] for column in points[1:5])
    volumes = [float(number) for number in points.volume]
    return CandleColumns(points.time, [0] * len(points.time), opens, highs, lows, closes, volumes)


def write_csv(path: Path, part: Part, count: int) -> None:
    """Write candles in the format of `gfil export`."""
    with path.open("w", encoding="ascii") as file:
        file.write("time,open,high,low,close,volume\n")
        for points in walk(part, count):
            file.writelines(_lines(points, "%Y-%m-%dT", "%H:%M:%SZ", ","))


def write_symbols_csv(path: Path, size_bytes: int) -> int:
    """Write M1 of several symbols, week by week, up to a size; return the number of rows."""
    written = rows = 0
    with path.open("w", encoding="ascii") as file:
        written += file.write("symbol,time,open,high,low,close,volume\n")
        parts = {f"MANY{number}": minutes(YEARS_ROWS, str(number)) for number in range(8)}
        weeks = zip(*map(walk, parts.values()), strict=True)
        for name, points in ((n, p) for week in weeks for n, p in zip(parts, week, strict=True)):
            for line in _lines(points, "%Y-%m-%dT", "%H:%M:%SZ", ","):
                if written >= size_bytes:
                    return rows
                written += file.write(f"{name},{line}")
                rows += 1
    return rows


def write_mt5(path: Path, part: Part, count: int) -> None:
    """Write candles in the export format of MetaTrader 5."""
    with path.open("w", encoding="ascii") as file:
        names = ("DATE", "TIME", "OPEN", "HIGH", "LOW", "CLOSE", "TICKVOL")
        file.write("\t".join(f"<{name}>" for name in names) + "\n")
        for points in walk(part, count):
            file.writelines(_lines(points, "%Y.%m.%d\t", "%H:%M:%S", "\t"))


def _lines(points: Points, day_format: str, minute_format: str, comma: str) -> Iterator[str]:
    line = comma.join(["%s%s", *["%.5f"] * 4, "%d"]) + "\n"
    stamp = {
        part: datetime.fromtimestamp(part, UTC).strftime(text)
        for text, parts in (
            (day_format, {time - time % DAY for time in points.time}),
            (minute_format, {time % DAY for time in points.time}),
        )
        for part in parts
    }
    for time, *prices, volume in zip(*points, strict=True):
        day = time - time % D1.seconds
        floats = [price / POINTS for price in prices]
        yield line % (stamp[day], stamp[time - day], *floats, volume)
