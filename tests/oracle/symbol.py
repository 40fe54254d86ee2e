"""The oracle of one symbol: the candles that every timeframe and clock must show, in plain Python.

It keeps the rows that were sent and folds everything else from them. A bucket is `(start, stop)` in
UNIX seconds; a clock and a timeframe are names. Nothing here uses the product's code.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import inf

from tests.oracle.buckets import CHAIN, DAY, HOUR, MINUTE, SECONDS, Bucket, bucket, find_bucket
from tests.oracle.candles import Candle, Key, Row, Tick, fold, fold_ticks, proves_forming

ALWAYS = (-(10**11), 10**11)
Shown = tuple[int, int, bool, Candle]  # start, stop, stored?, values


class Reference:
    """The rows sent for one symbol, and the candles that follow from them."""

    def __init__(self) -> None:
        self.stored: dict[Key, Candle] = {}
        self.settled: dict[Key, Candle] = {}  # their finer candles have been pruned
        self.days: dict[str, int] = {}  # retention in days; a timeframe not named is kept for ever
        self.received: dict[int, int] = {}  # day -> the hour in which it last got rows
        self.backdated: set[tuple[str, int]] = set()  # days past retention when first written
        self.clock = "UTC"
        self.own: set[str] = set()  # clocks with stored candles of their own
        self.ticks: dict[int, list[Tick]] = {}  # by their minute, in order
        self.provisional: set[int] = set()  # minutes whose M1 arrived before they had ended
        self.price: str | None = None
        self._series: dict[tuple[str, str], list[Shown]] = {}

    def kept_clocks(self) -> list[str]:
        """Return the clocks on which H4 and D1 are materialised."""
        return list(dict.fromkeys(["UTC", self.clock, *sorted(self.own)]))

    def base(self, timeframe: str, clock: str, within: Bucket) -> tuple[str, str] | None:
        """Return the coarsest materialised timeframe whose buckets tile one, and its clock (law 3).

        Of several clocks the bucket's own comes first, then UTC, the symbol's, others by name.
        """
        kept = self.kept_clocks()
        on_days = sorted(kept, key=lambda name: name != clock)
        for finer in reversed(CHAIN):
            if SECONDS[finer] < SECONDS[timeframe]:
                for base_clock in on_days if SECONDS[finer] > HOUR else ["UTC"]:
                    starts = find_bucket(finer, base_clock, within[0])[0] == within[0]
                    if starts and find_bucket(finer, base_clock, within[1] - 1)[1] == within[1]:
                        return finer, base_clock
        return None

    def fold_base(self, timeframe: str, clock: str, within: Bucket) -> Candle | None:
        """Return the fold of a bucket's base, or of its ticks for M1."""
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
        """Return all candles of a timeframe on a clock, ascending."""
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
                    gives_way = gives_way and within[0] in self.provisional
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
        times = finer | own | {*self.ticks}
        return sorted({find_bucket(timeframe, clock, time) for time in times})

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
        start = within[0]
        return [name for name in clocks if find_bucket(timeframe, name, start) == tuple(within)]

    def tables(self) -> tuple[dict[Key, tuple[bool, Candle]], dict[Key, Candle]]:
        """Return the rows a database must hold: candles (stored?, values), and superseded ones."""
        candles = {}
        for timeframe in CHAIN:
            for clock in ["UTC"] if SECONDS[timeframe] <= HOUR else self.kept_clocks():
                for start, stop, is_stored, values in self.series(timeframe, clock):
                    candles[timeframe, start, stop] = (is_stored, values)
        lasting = self.stored | self.settled
        loose = {key: values for key, values in lasting.items() if not self._clocks_keeping(key)}
        gave_way = self.stored.keys() - loose.keys()
        superseded = {key: self.stored[key] for key in gave_way if not candles[key][0]}
        return candles | {key: (True, values) for key, values in loose.items()}, superseded

    def write(
        self,
        timeframe: str,
        clock: str,
        rows: Sequence[Row],
        *,
        fill: bool = False,
        now: float = inf,
    ) -> dict[str, int]:
        """Send rows; return the counts, and whether any candle shown has changed."""
        counts = dict.fromkeys(("inserted", "updated", "unchanged", "kept", "duplicates"), 0)
        best: dict[Bucket, Candle] = {}
        for within, values in rows:
            if within not in best or values[4] >= best[within][4]:
                best[within] = values
        counts["duplicates"] = len(rows) - len(best)
        if any(bucket(timeframe, "UTC", start) != (start, stop) for start, stop in best):
            self.own.add(clock)
            self._series.clear()
        backdated = self._find_backdated(timeframe, best, now)
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
            self.backdated |= backdated
            touched = [within for within in best if before[within] != after[within]]
            days = {day for start, stop in touched for day in range(start - start % DAY, stop, DAY)}
            self.received |= {
                day: max(int(now) // HOUR * HOUR, self.received.get(day, 0)) for day in days
            }
        return counts | {"changed": before != after}

    def _find_backdated(
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
        is_provisional = key[0] == "M1" and key[2] > now
        if stored == new and key[0] == "M1" and key[1] in self.provisional and not is_provisional:
            self.provisional.discard(key[1])  # it comes again, of a minute that has ended by now
            return "confirmed"
        if stored == new:
            return "unchanged"
        both_with_volume = stored and stored[4] and new[4]
        if stored and (fill or (both_with_volume and proves_forming(stored, new))):
            return "kept"
        self.settled.pop(key, None)
        self.stored[key] = new
        if key[0] == "M1":
            (self.provisional.add if is_provisional else self.provisional.discard)(key[1])
        return "stored"

    def write_ticks(self, ticks: Iterable[Tick]) -> tuple[int, int, list[int]]:
        """Send ticks; return the number of new ones, of known ones, and the indices refused."""
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
        """Choose the price rule of ticks."""
        self.price = price
        self._series.clear()

    def delete_ticks(self, start: int, stop: int) -> int:
        """Delete the ticks of a range; return their number."""
        before = sum(map(len, self.ticks.values()))
        left = {
            minute: [tick for tick in ticks if not start * 1000 <= tick[0] < stop * 1000]
            for minute, ticks in self.ticks.items()
        }
        self.ticks = {minute: ticks for minute, ticks in left.items() if ticks}
        self._series.clear()
        return before - sum(map(len, self.ticks.values()))

    def delete(self, start: int, stop: int, timeframe: str | None = None) -> int:
        """Delete stored candles whose bucket lies within a range; return their number."""
        gone = [
            key
            for key in self._lasting()
            if timeframe in (None, key[0]) and start <= key[1] and key[2] <= stop
        ]
        for key in gone:
            self.stored.pop(key, None)
            self.settled.pop(key, None)
            if key[0] == "M1":
                self.provisional.discard(key[1])
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
            or any((each, day) in self.backdated for each in {what, *finer})
            for day in range(start - start % DAY, stop, DAY)
        )

    def prune_ticks(self, stop: int, now: int) -> int:
        """Remove ticks before an instant and settle their candles; return the number of ticks."""
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
        self.provisional.difference_update(gone)
        count = sum(len(self.ticks.pop(minute)) for minute in gone)
        self._series.clear()
        return count

    def _settle(self, key: Key, values: Candle) -> None:
        self.settled[key] = values
        self.stored.pop(key, None)  # that gave way

    def prune(self, timeframe: str, until: int, now: int) -> int:
        """Remove candles that end by an instant, settle coarser ones; return the number removed."""
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
                self.provisional.discard(key[1])
        self._series.clear()
        return len(going)

    def _loses(self, target: str, clock: str, within: Bucket, going: set[Key]) -> bool:
        base = self.base(target, clock, within)
        return base is not None and any(
            (base[0], start, stop) in going and within[0] <= start < within[1]
            for start, stop, _, _ in self.series(*base)
        )

    def forget_marks(self, now: int) -> None:
        """Forget days that got rows long ago, and backdated days without candles."""
        lately = {day: min(time, now) for day, time in self.received.items()}
        self.received = {day: time for day, time in lately.items() if time > now - 49 * HOUR}
        self.backdated = {(name, day) for name, day in self.backdated if day in self._held(name)}

    def release_clocks(self) -> None:
        """Drop each clock that has no stored or settled candle of its own."""
        self.own = {clock for clock in self.own if self._has_own(clock)}
        self._series.clear()

    def set_clock(self, clock: str) -> None:
        """Set the clock of the symbol."""
        self.clock = clock
        self._series.clear()
