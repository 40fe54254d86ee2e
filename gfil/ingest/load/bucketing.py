"""Stamps to canonical buckets: the clock of the input, its changes, and rows too early for now."""

from collections.abc import Sequence
from itertools import repeat
from operator import gt, lt, mod, sub
from typing import NamedTuple

from gfil.clocks import TIME_MAX, TIME_MIN, WALL_REACH, Bucket, Clock, Segment
from gfil.ingest.parse.rows import Refuse, RowTable, join
from gfil.store.candles.write import CandleColumns
from gfil.timeframes import DAY, HOUR, MINUTE, MONDAY, WEEK, Timeframe

FUTURE_MAX_S = 300
OFF_BUCKET_MAX_S = HOUR
WEEKEND = 5 * DAY  # seconds after Monday 00:00
HELD_ROWS_MAX = 20_000  # rows of one ambiguous hour that wait for what follows them


class AmbiguousTime(NamedTuple):
    """The two instants of an ambiguous wall time."""

    earlier: int
    later: int


class BucketedRows(NamedTuple):
    """Rows, the start of the bucket of each, and how much longer than usual that is."""

    table: RowTable
    time: list[int]
    extra_s: list[int]


class NumberedTicks(NamedTuple):
    """Ticks as equally long columns: the row of the source each was, and what the store takes."""

    row: Sequence[int]
    time_msc: Sequence[int]
    bid: Sequence[float]
    ask: Sequence[float]
    last: Sequence[float]
    volume: Sequence[float]
    flags: Sequence[int]


Found = Bucket | AmbiguousTime | str
"""Where a row belongs: a bucket, one of two, or the reason why nowhere."""


class Bucketer:
    """Puts the rows of one symbol and timeframe into the buckets of its source's clock.

    It is fed the rows in their order, because that tells the two passes of an ambiguous hour apart:
    the second begins where the wall steps back, in a file that runs backwards where it steps on, by
    more than `disorder_s`. What starts before `earliest` is a bad time.
    """

    def __init__(
        self,
        timeframe: Timeframe,
        clock: Clock,
        now: float,
        refuse: Refuse,
        *,
        earliest: int = TIME_MIN,
        disorder_s: int = 0,
    ) -> None:
        self._earliest = earliest
        self._disorder_s = disorder_s
        self._timeframe = timeframe
        self._clock = clock
        self._latest = now + FUTURE_MAX_S
        self._now = now
        self._refuse = refuse
        self._held: RowTable | None = None
        self._first_wall: int | None = None
        self._pass: tuple[Segment, bool, int | None] | None = None  # where too many to hold ended
        self._safe = range(0)  # walls with one instant each, that lies `_offset` before them
        self._offset = 0

    def place(self, table: RowTable) -> BucketedRows:
        """Return the rows in their buckets; those of an ambiguous hour may come with later ones."""
        if self._held is None and len(table):
            placed = self._place_at_once(table)
            if placed is not None:
                return placed
        return self._place_one_by_one(table, final=False)

    def finish(self) -> BucketedRows | None:
        """Return the rows that were waiting for later ones, None if there are none."""
        if self._held is None:
            return None
        return self._place_one_by_one(self._held.take([]), final=True)

    def _place_at_once(self, table: RowTable) -> BucketedRows | None:
        if isinstance(table.zoned, list):
            return None
        seconds, reach = self._timeframe.seconds, self._reach_s
        low, high = min(table.time), max(table.time)
        if low < self._earliest + reach + WALL_REACH or high > TIME_MAX - reach - WALL_REACH:
            return None
        if table.zoned:
            reach += WALL_REACH
        offset = self._clock.constant_offset(low - reach, high + reach)
        if offset is None:
            return None
        walls = [time + offset for time in table.time] if table.zoned and offset else table.time
        starts = self._floor(walls)
        if starts is None or max(starts) - offset > self._latest:
            return None
        if self._first_wall is None and not table.zoned:
            self._first_wall = walls[0]
        times = [start - offset for start in starts] if offset else starts
        if self._timeframe.name != "MN1":
            return BucketedRows(table, times, [0] * len(times))
        return BucketedRows(
            table, times, [self._timeframe.following(at) - at - seconds for at in starts]
        )

    @property
    def _reach_s(self) -> int:
        return 0 if self._timeframe.intraday else 31 * DAY + WEEK

    def _floor(self, walls: list[int]) -> list[int] | None:
        if self._timeframe.name in ("W1", "MN1"):
            starts = [self._wall_start(wall) for wall in walls]
        elif not any(map(mod, walls, repeat(self._timeframe.seconds))):
            return walls
        else:
            starts = [wall - wall % self._timeframe.seconds for wall in walls]
        if not self._timeframe.intraday and max(map(sub, walls, starts)) > OFF_BUCKET_MAX_S:
            return None
        return starts

    def _wall_start(self, wall: int) -> int:
        if self._timeframe.name == "W1" and (wall - MONDAY) % WEEK >= WEEKEND:
            wall += 2 * DAY  # MetaTrader stamps a week with the Sunday before it
        return self._timeframe.floor(wall)

    def _place_one_by_one(self, table: RowTable, final: bool) -> BucketedRows:
        if self._held is not None:
            table, self._held = join(self._held, table), None
        zoned = table.zoned if isinstance(table.zoned, list) else [table.zoned] * len(table)
        found = list(map(self._find, table.time, zoned))
        undecided = self._tell_passes(table.time, zoned, found, final)
        if undecided is not None:
            self._held = table.take(range(undecided, len(table)))
            table = table.take(range(undecided))
        good: list[int] = []
        buckets: list[Bucket] = []
        for place, row in enumerate(table.row):
            reason, hint = self._judge(found[place])
            if reason:
                self._refuse(row, reason, hint + table.text(row))
                continue
            good.append(place)
            buckets.append(found[place])  # type: ignore[arg-type]
        seconds = self._timeframe.seconds
        return BucketedRows(
            table.take(good),
            [bucket.start for bucket in buckets],
            [bucket.stop - bucket.start - seconds for bucket in buckets],
        )

    def _find(self, time: int, zoned: bool) -> Found:
        if not TIME_MIN <= time < TIME_MAX:
            return "bad_time"
        if not self._timeframe.intraday:
            return self._find_long(time, zoned)
        if zoned:
            return self._clock.bucket(self._timeframe, time)
        if time not in self._safe:
            segment = self._clock.segment(time)
            self._safe = range(segment.start + WALL_REACH, segment.stop - WALL_REACH)
            self._offset = segment.offset
        if time in self._safe:
            start = self._timeframe.floor(time) - self._offset
            return Bucket(start, start + self._timeframe.seconds)
        instants = self._clock.instants(time)
        if not instants:
            return "missing_hour"
        buckets = [self._clock.bucket(self._timeframe, instant) for instant in instants]
        # Where a clock goes back by half an hour, a stamp may begin a bucket in one pass only.
        begun = [bucket for bucket in buckets if bucket.start in instants]
        if len(buckets) > 1 and len(begun) != 1:
            return AmbiguousTime(*instants)
        return begun[0] if begun else buckets[0]

    def _find_long(self, time: int, zoned: bool) -> Found:
        wall = self._clock.wall(time) if zoned else time
        wall_start = self._wall_start(wall)
        start = self._clock.first_instant(wall_start)
        stop = self._clock.first_instant(self._timeframe.following(wall_start))
        if start >= stop:
            return "missing_hour"  # a day that a zone left out
        if (time - start if zoned else wall - wall_start) > OFF_BUCKET_MAX_S:
            return "off_bucket"
        return Bucket(start, stop)

    def _tell_passes(
        self, times: Sequence[int], zoned: Sequence[bool], found: list[Found], final: bool
    ) -> int | None:
        run: list[int] = []  # places of rows in one ambiguous hour
        for place, bucket in enumerate(found):
            if zoned[place] or isinstance(bucket, str):
                continue
            if run and not self._is_same_hour(found[run[0]], bucket):
                self._decide(run, times, found, times[place])
                run = []
            if isinstance(bucket, AmbiguousTime):
                run.append(place)
            elif self._first_wall is None:
                self._first_wall = times[place]
        if run and not final and len(run) <= HELD_ROWS_MAX:
            return run[0]
        if run:
            self._decide(run, times, found, None)
        return None

    def _is_same_hour(self, first: Found, second: Found) -> bool:
        if not isinstance(first, AmbiguousTime) or not isinstance(second, AmbiguousTime):
            return False
        return self._clock.segment(first.later) == self._clock.segment(second.later)

    def _decide(
        self, run: Sequence[int], times: Sequence[int], found: list[Found], following: int | None
    ) -> None:
        walls = [times[place] for place in run]
        hour = self._clock.segment(found[run[0]].later)  # type: ignore[union-attr]
        known, is_second, previous = self._pass or (None, False, None)
        if known != hour:
            is_second, previous = False, None
        forwards = known == hour or self._runs_forwards(walls, following)
        for place in run if forwards else reversed(run):
            twice, wall = found[place], times[place]
            assert isinstance(twice, AmbiguousTime)
            if previous is not None:
                # A bucket as long as the hour has one stamp for both passes.
                as_long = self._timeframe.seconds >= twice.later - twice.earlier
                stepped_back = wall < previous - self._disorder_s
                is_second |= stepped_back or (wall == previous and as_long)
            previous = wall if previous is None or is_second else max(wall, previous)
            instant = twice.later if is_second else twice.earlier
            found[place] = self._clock.bucket(self._timeframe, instant)
        self._pass = (hour, is_second, previous) if forwards and following is None else None
        if self._first_wall is None:
            self._first_wall = walls[0]

    def _runs_forwards(self, walls: list[int], following: int | None) -> bool:
        if self._first_wall is not None:
            return self._first_wall <= walls[0]
        if following is not None:
            return walls[0] <= following
        ups, downs = sum(map(lt, walls, walls[1:])), sum(map(gt, walls, walls[1:]))
        return bool(ups >= downs)

    def _judge(self, found: Found) -> tuple[str, str]:
        if isinstance(found, str):
            return found, ""
        start = found[0]
        if not self._earliest <= start < TIME_MAX:
            return "bad_time", ""
        if start > self._latest:
            return "future", describe_lead(start - self._now)
        return "", ""


def to_candles(placed: BucketedRows) -> CandleColumns:
    """Return rows in their buckets as candles for the store."""
    return CandleColumns(placed.time, placed.extra_s, *placed.table.values)


def to_ticks(placed: BucketedRows) -> NumberedTicks:
    """Return rows in their seconds as ticks for the store."""
    assert placed.table.msc is not None
    times = [second * 1000 + msc for second, msc in zip(placed.time, placed.table.msc, strict=True)]
    bid, ask, last, volume, flags = placed.table.values
    return NumberedTicks(placed.table.row, times, bid, ask, last, volume, flags)  # type: ignore[arg-type]


def describe_lead(seconds: float) -> str:
    """Return how far in the future a row starts, and what is the likely cause."""
    minutes = int(seconds // MINUTE)
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    length = " ".join(f"{count} {unit}" for count, unit in parts if count)
    question = "" if days else ": broker time sent as UTC?"
    return f"starts {length} ahead{question} "
