"""The laws of candles in plain Python: slow, obvious, and knowing nothing of the store's code.

A candle is `(open, high, low, close, volume)`, a bucket `(start, stop)` in UNIX seconds, a clock or
a timeframe its name.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf

from tests.store.walls import CHAIN, DAY, HOUR, MINUTE, SECONDS, Bucket, bucket

Candle = tuple[float, float, float, float, float]
ALWAYS = (-(10**11), 10**11)
Key = tuple[str, int, int]  # timeframe, start, stop
Shown = tuple[int, int, bool, Candle]  # start, stop, stored?, values
Tick = tuple[int, float, float, float, float, int]  # time_msc, bid, ask, last, volume, flags


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
        self.settled: dict[Key, Candle] = {}  # derived from what has been pruned
        self.days: dict[str, int] = {}  # how many what is kept, where not for ever
        self.received: dict[int, int] = {}  # days, and when they got rows
        self.imported: set[tuple[str, int]] = set()  # days old when they came
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
                if settled := self.settled.get((timeframe, *within)):
                    shown.append((*within, True, settled))
                    continue
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
            for name, time, _ in self._lasting()
            if name in CHAIN and SECONDS[name] < SECONDS[timeframe]
        }
        own = {time for name, time, stop in self._lasting() if name == timeframe}
        return sorted({bucket(timeframe, clock, time) for time in finer | own | {*self.ticks}})

    def _lasting(self) -> list[Key]:
        return [*self.stored, *self.settled]

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
        lasting = self.stored | self.settled
        loose = {key: values for key, values in lasting.items() if not self._clocks_keeping(key)}
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
        imported = self._find_imported(timeframe, best, now)
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
        if before != after and now != inf:
            self.imported |= imported
            touched = [within for within in best if before[within] != after[within]]
            days = {day for start, stop in touched for day in range(start - start % DAY, stop, DAY)}
            self.received |= {
                day: max(int(now) // HOUR * HOUR, self.received.get(day, 0)) for day in days
            }
        return counts | {"changed": before != after}

    def _find_imported(
        self, timeframe: str, rows: Iterable[Bucket], now: float
    ) -> set[tuple[str, int]]:
        if now == inf or timeframe not in self.days:
            return set()
        cutoff = (int(now) // DAY - self.days[timeframe]) * DAY
        days = {start - start % DAY for start, _ in rows if start < cutoff}
        return {(timeframe, day) for day in days if day not in self._held(timeframe)}

    def _held(self, timeframe: str) -> set[int]:
        return {start - start % DAY for name, start, _ in self.tables()[0] if name == timeframe}

    def _lying(self, key: Key) -> tuple[bool, Candle] | None:
        timeframe, *within = key
        for clock in self._clocks_keeping(key):
            series = self.series(timeframe, clock)
            place = bisect_left(series, tuple(within))
            found = place < len(series) and series[place][:2] == tuple(within)
            return series[place][2:] if found else None
        lasting = self.stored | self.settled
        return (True, lasting[key]) if key in lasting else None

    def _put(self, key: Key, new: Candle, fill: bool, now: float) -> str:
        stored = self.settled.get(key) or self.stored.get(key)
        is_early = key[0] == "M1" and key[2] > now
        if stored == new and key[0] == "M1" and key[1] in self.early and not is_early:
            self.early.discard(key[1])  # it comes again, of a minute that has ended by now
            return "confirmed"
        if stored == new:
            return "unchanged"
        both_with_volume = stored and stored[4] and new[4]
        if stored and (fill or (both_with_volume and proves_forming(stored, new))):
            return "kept"
        self.settled.pop(key, None)
        self.stored[key] = new
        if key[0] == "M1":
            (self.early.add if is_early else self.early.discard)(key[1])
        return "stored"

    def write_ticks(self, ticks: Iterable[Tick]) -> tuple[int, int, list[int]]:
        """Send ticks; return how many were new, how many known, and which were refused."""
        new = known = 0
        refused = []
        for place, tick in enumerate(ticks):
            if any(start <= tick[0] // 1000 < stop for _, start, stop in self.settled):
                refused.append(place)
                continue
            minute = self.ticks.setdefault(tick[0] // 60_000 * 60, [])
            if tick in minute:
                known += 1
            else:
                new += 1
                minute.append(tick)
                minute.sort(key=lambda tick: tick[0])
        self._series.clear()
        return new, known, refused

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
            for key in self._lasting()
            if timeframe in (None, key[0]) and start <= key[1] and key[2] <= stop
        ]
        for key in gone:
            self.stored.pop(key, None)
            self.settled.pop(key, None)
            if key[0] == "M1":
                self.early.discard(key[1])
        self.release_clocks()
        return len(gone)

    def _has_own(self, clock: str) -> bool:
        return any(
            bucket(timeframe, clock, start) == (start, stop) != bucket(timeframe, "UTC", start)
            for timeframe, start, stop in self._lasting()
        )

    def _stays(self, what: str, start: int, stop: int, now: int) -> bool:
        order = ("ticks", *CHAIN)
        finer = {*order[: order.index(what)]} if what in order else set()
        return any(
            self.received.get(day, -inf) > now - 49 * HOUR
            or any((each, day) in self.imported for each in {what, *finer})
            for day in range(start - start % DAY, stop, DAY)
        )

    def prune_ticks(self, stop: int, now: int) -> int:
        """Ticks before an instant go, what they made stays; return how many."""
        shown = {start: rest for start, _, *rest in self.series("M1", "UTC")}
        gone = [
            minute
            for minute in self.ticks
            if minute < stop and not self._stays("ticks", minute, minute + MINUTE, now)
        ]
        for minute in gone:
            is_stored, values = shown.get(minute, (True, None))
            if not is_stored:
                self._settle(("M1", minute, minute + MINUTE), values)
        self.early.difference_update(gone)
        count = sum(len(self.ticks.pop(minute)) for minute in gone)
        self._series.clear()
        return count

    def _settle(self, key: Key, values: Candle) -> None:
        self.settled[key] = values
        self.stored.pop(key, None)  # that gave way

    def prune(self, timeframe: str, until: int, now: int) -> int:
        """Candles that end by an instant go, and what they made stays; return how many."""
        going = {
            key
            for key in self.tables()[0]
            if key[0] == timeframe and key[2] <= until and not self._stays(*key, now)
        }
        losing = []
        for target in CHAIN[CHAIN.index(timeframe) + 1 :] if timeframe in CHAIN else ():
            for clock in ["UTC"] if SECONDS[target] <= HOUR else self.kept_clocks():
                for *within, is_stored, values in self.series(target, clock):
                    if not is_stored and self._loses(target, clock, tuple(within), going):
                        losing.append((clock, (target, *within), values))
        for clock, key, values in losing:
            self._settle(key, values)
            if bucket(key[0], "UTC", key[1]) != key[1:]:
                self.own.add(clock)
        for key in going:
            self.stored.pop(key, None)
            self.settled.pop(key, None)
            if timeframe == "M1":
                self.early.discard(key[1])
        self._series.clear()
        return len(going)

    def _loses(self, target: str, clock: str, within: Bucket, going: set[Key]) -> bool:
        base = self.base(target, clock, within)
        return base is not None and any(
            (base[0], start, stop) in going and within[0] <= start < within[1]
            for start, stop, _, _ in self.series(*base)
        )

    def forget_marks(self, now: int) -> None:
        """Forget what got rows long ago, and what was imported and is no more."""
        lately = {day: min(time, now) for day, time in self.received.items()}
        self.received = {day: time for day, time in lately.items() if time > now - 49 * HOUR}
        self.imported = {(name, day) for name, day in self.imported if day in self._held(name)}

    def release_clocks(self) -> None:
        """Keep no clock any more of which nothing lasting is left."""
        self.own = {clock for clock in self.own if self._has_own(clock)}
        self._series.clear()

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
