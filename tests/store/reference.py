"""The laws of candles in plain Python: slow, obvious, and knowing nothing of the store's code.

A candle is `(open, high, low, close, volume)`, a bucket `(start, stop)` in UNIX seconds, a clock or
a timeframe its name. Offsets are looked up every quarter of an hour: hardly a zone ever changes
elsewhere.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from math import inf
from zoneinfo import ZoneInfo

Candle = tuple[float, float, float, float, float]
Bucket = tuple[int, int]
Key = tuple[str, int, int]  # timeframe, start, stop
Shown = tuple[int, int, bool, Candle]  # start, stop, stored?, values
Tick = tuple[int, float, float, float, float, int]  # time_msc, bid, ask, last, volume, flags

MINUTE, QUARTER, HOUR, DAY = 60, 900, 3600, 86400
SECONDS = {
    **{f"M{count}": count * MINUTE for count in (1, 2, 3, 5, 10, 15, 20, 30)},
    **{f"H{count}": count * HOUR for count in (1, 2, 3, 4, 6, 8, 12)},
    "D1": DAY,
    "W1": 7 * DAY,
    "MN1": 30 * DAY,
}
CHAIN = ("M1", "M5", "M15", "M30", "H1", "H4", "D1")
CHANGES_OFF_THE_QUARTER = ("America/St_Johns",)
ALWAYS = (-(10**11), 10**11)


def _shift_s(text: str) -> int:
    hours, minutes = text[1:].split(":")
    return (int(hours) * HOUR + int(minutes) * MINUTE) * (-1 if text[0] == "-" else 1)


@cache
def _zone_and_shift(clock: str) -> tuple[ZoneInfo, int]:
    zone, shift = re.fullmatch(r"(.*?)([+-]\d\d:\d\d)?", clock).groups()
    return ZoneInfo(zone or "UTC"), _shift_s(shift) if shift else 0


@cache
def _offset(clock: str, time: int) -> int:
    zone, shift = _zone_and_shift(clock)
    instant = datetime.fromtimestamp(time, UTC)
    return int(instant.astimezone(zone).utcoffset().total_seconds()) + shift


def _step_s(clock: str) -> int:
    return MINUTE if clock in CHANGES_OFF_THE_QUARTER else QUARTER


def offset(clock: str, time: int) -> int:
    """How far the wall is ahead of UTC."""
    return _offset(clock, time - time % _step_s(clock))


@cache
def first_instant(clock: str, wall: int) -> int:
    """The first instant at which the wall has reached `wall`: try one after another."""
    step_s = _step_s(clock)
    time = wall - 30 * HOUR
    while time + offset(clock, time) < wall:
        time += step_s
    return time


@cache
def _wall_starts(timeframe: str, day: int) -> Sequence[int]:
    midnight = datetime(1970, 1, 1) + timedelta(days=day)
    near = [midnight + timedelta(days=days) for days in range(-70, 71)]
    if timeframe == "MN1":
        starts = [date for date in near if date.day == 1]
    elif timeframe == "W1":
        starts = [date for date in near if date.weekday() == 0]
    else:
        steps = range(0, DAY, SECONDS[timeframe])
        starts = [date + timedelta(seconds=step) for date in near[67:74] for step in steps]
    return [round((start - datetime(1970, 1, 1)).total_seconds()) for start in starts]


@cache
def bucket(timeframe: str, clock: str, time: int) -> Bucket:
    """The bucket that holds an instant (law 10)."""
    length = SECONDS[timeframe]
    if length > HOUR:
        walls = _wall_starts(timeframe, (time + offset(clock, time)) // DAY)
        starts = [first_instant(clock, wall) for wall in walls]
        after = bisect_right(starts, time)
        return starts[after - 1], starts[after]

    def label(minute: int) -> tuple[int, int]:
        return (minute + offset(clock, minute)) // length, offset(clock, minute)

    start = stop = time - time % MINUTE
    while label(start - MINUTE) == label(time):
        start -= MINUTE
    while label(stop) == label(time):
        stop += MINUTE
    return start, stop


def fold(candles: Iterable[Candle]) -> Candle | None:
    """The candle law: first, max, min, last, sum."""
    opens, highs, lows, closes, volumes = zip(*candles, strict=True) if candles else ((),) * 5
    return (opens[0], max(highs), min(lows), closes[-1], sum(volumes)) if opens else None


def proves_forming(fuller: Candle, candle: Candle) -> bool:
    """Whether `candle` was saved while forming, as its fuller self shows (law 4)."""
    same_open = fuller[0] == candle[0]
    as_wide = fuller[1] >= candle[1] and fuller[2] <= candle[2]
    wider = fuller[1] > candle[1] or fuller[2] < candle[2]
    if fuller[4] and candle[4]:
        return same_open and as_wide and fuller[4] > candle[4] * (1 + 1e-9)
    return same_open and as_wide and wider


def price_of(tick: Tick, price: str | None) -> float:
    """What a tick is worth; 0 where it has no such price."""
    _, bid, ask, last, _, _ = tick
    mid = (bid + ask) / 2 if bid and ask else 0.0
    return {"bid": bid, "ask": ask, "mid": mid, "last": last, None: last or bid}[price]


def fold_ticks(ticks: Iterable[Tick], price: str | None = None) -> Candle | None:
    """The M1 of the ticks of a minute, which come in their order."""
    worth = [tick for tick in ticks if price_of(tick, price)]
    prices = [price_of(tick, price) for tick in worth]
    volume = sum(tick[4] for tick in worth) or float(len(worth))
    return (prices[0], max(prices), min(prices), prices[-1], volume) if prices else None


class Reference:
    """What one symbol holds and what every timeframe and clock should show of it."""

    def __init__(self) -> None:
        self.stored: dict[Key, Candle] = {}
        self.clock = "UTC"
        self.own: set[str] = set()  # clocks with stored candles of their own
        self.ticks: dict[int, list[Tick]] = {}  # by their minute, in order
        self.early: set[int] = set()  # minutes whose stored M1 came before they had ended
        self.price: str | None = None
        self._series: dict[tuple[str, str], list[Shown]] = {}

    def kept_clocks(self) -> list[str]:
        """The clocks on which H4 and D1 are kept."""
        return list(dict.fromkeys(["UTC", self.clock, *sorted(self.own)]))

    def base(self, timeframe: str, clock: str, within: Bucket) -> tuple[str, str] | None:
        """The coarsest kept timeframe whose buckets tile a bucket, and on which clock (law 3).

        Where several clocks' do, the bucket's own clock comes first, then UTC, the symbol's, the
        others by name.
        """
        kept = self.kept_clocks()
        on_days = sorted(kept, key=lambda name: name != clock)
        for finer in reversed(CHAIN):
            if SECONDS[finer] < SECONDS[timeframe]:
                for base_clock in on_days if SECONDS[finer] > HOUR else ["UTC"]:
                    starts = bucket(finer, base_clock, within[0])[0] == within[0]
                    if starts and bucket(finer, base_clock, within[1] - 1)[1] == within[1]:
                        return finer, base_clock
        return None

    def fold_base(self, timeframe: str, clock: str, within: Bucket) -> Candle | None:
        """What the base says of a bucket."""
        if timeframe == "M1":
            return fold_ticks(self.ticks.get(within[0], ()), self.price)
        base = self.base(timeframe, clock, within)
        if base is None:
            return None
        series = self.series(*base)
        first = bisect_left(series, (within[0],))
        after = bisect_left(series, (within[1],))
        return fold([values for _, _, _, values in series[first:after]])

    def series(self, timeframe: str, clock: str) -> list[Shown]:
        """All candles of a timeframe on a clock, ascending."""
        if (timeframe, clock) not in self._series:
            shown = []
            for within in self._touched(timeframe, clock):
                stored = self.stored.get((timeframe, *within))
                folded = self.fold_base(timeframe, clock, within)
                gives_way = stored and folded and proves_forming(folded, stored)
                if timeframe == "M1":
                    gives_way = gives_way and within[0] in self.early
                if stored and not gives_way:
                    shown.append((*within, True, stored))
                elif folded:
                    shown.append((*within, False, folded))
            self._series[timeframe, clock] = shown
        return self._series[timeframe, clock]

    def _touched(self, timeframe: str, clock: str) -> list[Bucket]:
        finer = {
            time
            for name, time, _ in self.stored
            if name in CHAIN and SECONDS[name] < SECONDS[timeframe]
        }
        own = {time for name, time, stop in self.stored if name == timeframe}
        return sorted({bucket(timeframe, clock, time) for time in finer | own | {*self.ticks}})

    def read(
        self, timeframe: str, clock: str, start: int = ALWAYS[0], stop: int = ALWAYS[1]
    ) -> list[tuple[int, float, float, float, float, float]]:
        """The answer for `[start, stop)`."""
        return [
            (time, *values)
            for time, _, _, values in self.series(timeframe, clock)
            if start <= time < stop
        ]

    def _clocks_keeping(self, key: Key) -> list[str]:
        timeframe, *within = key
        if timeframe not in CHAIN:
            return []
        clocks = ["UTC"] if SECONDS[timeframe] <= HOUR else self.kept_clocks()
        return [clock for clock in clocks if bucket(timeframe, clock, within[0]) == tuple(within)]

    def tables(self) -> tuple[dict[Key, tuple[bool, Candle]], dict[Key, Candle]]:
        """What the database should hold: candles with whether they are stored, and yielded ones."""
        candles = {}
        for timeframe in CHAIN:
            for clock in ["UTC"] if SECONDS[timeframe] <= HOUR else self.kept_clocks():
                for start, stop, is_stored, values in self.series(timeframe, clock):
                    candles[timeframe, start, stop] = (is_stored, values)
        loose = {
            key: values for key, values in self.stored.items() if not self._clocks_keeping(key)
        }
        gave_way = self.stored.keys() - loose.keys()
        yielded = {key: self.stored[key] for key in gave_way if not candles[key][0]}
        return candles | {key: (True, values) for key, values in loose.items()}, yielded

    def write(
        self,
        timeframe: str,
        clock: str,
        rows: Sequence[tuple[Bucket, Candle]],
        *,
        fill: bool = False,
        now: float = inf,
    ) -> dict[str, int]:
        """Send rows; return what became of them, and whether anything shown has changed."""
        counts = dict.fromkeys(("inserted", "updated", "unchanged", "kept", "duplicates"), 0)
        best: dict[Bucket, Candle] = {}
        for within, values in rows:
            if within not in best or values[4] >= best[within][4]:
                best[within] = values
        counts["duplicates"] = len(rows) - len(best)
        if any(bucket(timeframe, "UTC", start) != (start, stop) for start, stop in best):
            self.own.add(clock)
            self._series.clear()
        before = {within: self._lying((timeframe, *within)) for within in best}
        outcomes = {
            within: self._put(
                (timeframe, *within), best[within], fill and bool(lying and lying[0]), now
            )
            for within, lying in before.items()
        }
        self._series.clear()
        after = {within: self._lying((timeframe, *within)) for within in best}
        for within, outcome in outcomes.items():
            if outcome == "stored":
                gave_way = not after[within][0]
                outcome = "kept" if gave_way else "updated" if before[within] else "inserted"
            elif outcome == "confirmed":
                outcome = "unchanged" if before[within] == after[within] else "updated"
            counts[outcome] += 1
        return counts | {"changed": before != after}

    def _lying(self, key: Key) -> tuple[bool, Candle] | None:
        timeframe, *within = key
        for clock in self._clocks_keeping(key):
            series = self.series(timeframe, clock)
            place = bisect_left(series, tuple(within))
            found = place < len(series) and series[place][:2] == tuple(within)
            return series[place][2:] if found else None
        return (True, self.stored[key]) if key in self.stored else None

    def _put(self, key: Key, new: Candle, fill: bool, now: float) -> str:
        stored = self.stored.get(key)
        is_early = key[0] == "M1" and key[2] > now
        if stored == new and key[0] == "M1" and key[1] in self.early and not is_early:
            self.early.discard(key[1])  # it comes again, of a minute that has ended by now
            return "confirmed"
        if stored == new:
            return "unchanged"
        both_with_volume = stored and stored[4] and new[4]
        if stored and (fill or (both_with_volume and proves_forming(stored, new))):
            return "kept"
        self.stored[key] = new
        if key[0] == "M1":
            (self.early.add if is_early else self.early.discard)(key[1])
        return "stored"

    def write_ticks(self, ticks: Iterable[Tick]) -> tuple[int, int]:
        """Send ticks; return how many were new, and how many known."""
        new = known = 0
        for tick in ticks:
            minute = self.ticks.setdefault(tick[0] // 60_000 * 60, [])
            if tick in minute:
                known += 1
            else:
                new += 1
                minute.append(tick)
                minute.sort(key=lambda tick: tick[0])
        self._series.clear()
        return new, known

    def set_price(self, price: str | None) -> None:
        """Say which price of a tick counts."""
        self.price = price
        self._series.clear()

    def delete_ticks(self, start: int, stop: int) -> int:
        """Delete the ticks of a range; return how many."""
        before = sum(map(len, self.ticks.values()))
        left = {
            minute: [tick for tick in ticks if not start * 1000 <= tick[0] < stop * 1000]
            for minute, ticks in self.ticks.items()
        }
        self.ticks = {minute: ticks for minute, ticks in left.items() if ticks}
        self._series.clear()
        return before - sum(map(len, self.ticks.values()))

    def delete(self, start: int, stop: int, timeframe: str | None = None) -> int:
        """Delete stored candles whose whole bucket lies in a range; return how many."""
        gone = [
            key
            for key in self.stored
            if timeframe in (None, key[0]) and start <= key[1] and key[2] <= stop
        ]
        for key in gone:
            del self.stored[key]
            if key[0] == "M1":
                self.early.discard(key[1])
        self.own = {clock for clock in self.own if self._has_own(clock)}
        self._series.clear()
        return len(gone)

    def _has_own(self, clock: str) -> bool:
        return any(
            bucket(timeframe, clock, start) == (start, stop) != bucket(timeframe, "UTC", start)
            for timeframe, start, stop in self.stored
        )

    def set_clock(self, clock: str) -> None:
        """Draw the symbol on another clock."""
        self.clock = clock
        self._series.clear()


def check_ascending(answer: Sequence[tuple[int, float, float, float, float, float]]) -> None:
    """Law 9 and law 1, of any answer."""
    assert all(before[0] < after[0] for before, after in pairwise(answer))
    for _, open_, high, low, close, volume in answer:
        assert low <= open_ <= high
        assert low <= close <= high
        assert volume >= 0
