"""Gap heatmap of a symbol: the last 12 weeks, one cell a day, higher where more is missing.

Finding gaps takes a hundred milliseconds, so a cache keeps each heatmap for five minutes.
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gfil.clocks import format_instant
from gfil.maintenance import gaps
from gfil.maintenance.gaps import NEWEST_WEEKS, Gap
from gfil.store.retention import backdated_days
from gfil.store.symbols import Symbol
from gfil.timeframes import DAY, M1, MINUTE, W1, WEEK
from gfil.web.request.connections import read_db
from gfil.wording import format_count, format_duration

CACHED_S = 300
CACHED_MAX = 1024  # symbols

CELL, WIDTH, WEEK_WIDTH, HEIGHT = 4, 3, 30, 14
TOTAL_WIDTH = NEWEST_WEEKS * WEEK_WIDTH - 2
# Levels of missing minutes in a day: name, least number of minutes, height of the cell.
LEVELS = (("most", 360, HEIGHT), ("much", 60, 9), ("some", 1, 5))


class Heatmap(NamedTuple):
    """Gap heatmap of a symbol: an outline for each level, and the same in words.

    `gaps` come newest first. `time` is when they were found.
    """

    time: float
    start: int
    paths: Sequence[tuple[str, str]]
    text: str
    gaps: Sequence[Gap]


_cache: dict[tuple[str, int, str], Heatmap] = {}


def find(epoch: str, symbol: Symbol, now: float) -> Heatmap:
    """Return the heatmap of a symbol, at most five minutes old."""
    cached = peek(epoch, symbol, now)
    if cached is None:
        if len(_cache) >= CACHED_MAX:
            _cache.clear()
        cached = _cache[epoch, symbol.id, symbol.clock] = _draw(symbol, now)
    return cached


def peek(epoch: str, symbol: Symbol, now: float) -> Heatmap | None:
    """Return the cached heatmap of a symbol, None if it is missing or expired."""
    cached = _cache.get((epoch, symbol.id, symbol.clock))
    return cached if cached and cached.time <= now < cached.time + CACHED_S else None


def find_some(
    epoch: str, symbols: Iterable[Symbol], now: float, seconds: float
) -> dict[int, Heatmap]:
    """Return heatmaps by symbol id, as many as can be found within `seconds`."""
    due = time.monotonic() + seconds
    found = {}
    for symbol in symbols:
        heatmap = peek(epoch, symbol, now)
        if heatmap is None and time.monotonic() < due:
            heatmap = find(epoch, symbol, now)
        if heatmap:
            found[symbol.id] = heatmap
    return found


def _draw(symbol: Symbol, now: float) -> Heatmap:
    db, start = read_db(), W1.floor(int(now)) - (NEWEST_WEEKS - 1) * WEEK
    days = range(start, int(now), DAY)
    stored_days = backdated_days.find_days_with_rows(db, symbol, M1.number, days)
    found = [*gaps.find(db, symbol, start, now=now)]
    lost = _count_by_day(found)
    paths: dict[str, list[str]] = {"whole": [], **{name: [] for name, _, _ in LEVELS}}
    for day in days:
        if day in stored_days or lost[day]:
            paths["whole"].append(_cell(day - start, HEIGHT))
        for name, least, height in LEVELS:
            if lost[day] >= least:
                paths[name].append(_cell(day - start, height))
                break
    drawn = [(name, "".join(cells)) for name, cells in paths.items() if cells]
    return Heatmap(now, start, drawn, _describe(found, bool(stored_days)), found[::-1])


def _count_by_day(found: Iterable[Gap]) -> Counter[int]:
    lost: Counter[int] = Counter()
    for gap in found:
        for day in range(gap.start - gap.start % DAY, gap.stop, DAY):
            lost[day] += (min(gap.stop, day + DAY) - max(gap.start, day)) // MINUTE
    return lost


def _cell(after_s: int, height: int) -> str:
    week, day = divmod(after_s // DAY, 7)
    return f"M{week * WEEK_WIDTH + day * CELL} {HEIGHT}v-{height}h{WIDTH}v{height}z"


def _describe(found: Sequence[Gap], has_candles: bool) -> str:
    if not found:
        return "no gaps" if has_candles else "no M1 here"
    longest = max(found, key=lambda gap: gap.minutes)
    total = sum(gap.minutes for gap in found)
    if len(found) == 1:
        return f"1 gap of {format_minutes(total)}, {format_instant(longest.start)[:10]}"
    return (
        f"{format_count(len(found), 'gap')}, {format_minutes(total)}; "
        f"the longest {format_minutes(longest.minutes)}, "
        f"{format_instant(longest.start)[:10]}"
    )


def format_minutes(minutes: int) -> str:
    """Return a number of minutes as a duration: `7 min`, `2 h 59 min`."""
    return format_duration(minutes * MINUTE)
