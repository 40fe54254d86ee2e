"""Timestamps to buckets: on the clock of the input, across its changes; future rows are refused."""

from collections.abc import Sequence
from itertools import repeat
from operator import gt, lt, mod, sub
from typing import NamedTuple

from gfil.clocks import TIME_MAX, TIME_MIN, WALL_REACH, Bucket, Clock, Segment
from gfil.ingest.parse.rows import NumberedTicks, RowTable, join
from gfil.ingest.refusals import Refuse
from gfil.store.candles.write import CandleColumns
from gfil.timeframes import DAY, HOUR, MONDAY, WEEK, Timeframe
from gfil.wording import format_duration

FUTURE_MAX_S = 300
OFF_BUCKET_MAX_S = HOUR
WEEKEND_S = 5 * DAY  # after Monday 00:00
HELD_ROWS_MAX = 20_000  # rows of one ambiguous hour that are held back until later rows are known


class AmbiguousTime(NamedTuple):
    """The two instants of an ambiguous wall time."""

    earlier: int
    later: int


class BucketedRows(NamedTuple):
    """Rows with the start of each bucket and its length beyond the timeframe's seconds."""

    table: RowTable
    time: list[int]
    extra_s: list[int]


Placement = Bucket | AmbiguousTime | str
"""The bucket of a row, two possible instants, or the reason to refuse the row."""

RowColumns = CandleColumns | NumberedTicks
"""Good rows in their buckets, as the store takes them."""


class Bucketer:
    """Puts the rows of one symbol and timeframe into the buckets of the input's clock.

    The order of the rows decides between the two passes of an ambiguous hour: the second pass
    begins where wall time steps back (in a descending file: forward) by more than `disorder_s`.
    A bucket that starts before `earliest` is refused as `bad_time`.
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
        self._pass: tuple[Segment, bool, int | None] | None = None  # after more rows than are held
        self._safe = range(0)  # wall times with exactly one instant, `_offset` earlier
        self._offset = 0

    def put(self, table: RowTable) -> BucketedRows:
        """Return the rows in their buckets; rows of an ambiguous hour may follow a later call."""
        if self._held is None and len(table):
            bucketed = self._put_columns(table)
            if bucketed is not None:
                return bucketed
        return self._put_one_by_one(table, final=False)

    def finish(self) -> BucketedRows | None:
        """Return the rows that were held back until later rows were known, or None."""
        if self._held is None:
            return None
        return self._put_one_by_one(self._held.take([]), final=True)

    def _put_columns(self, table: RowTable) -> BucketedRows | None:
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
        if self._timeframe.name == "W1" and (wall - MONDAY) % WEEK >= WEEKEND_S:
            wall += 2 * DAY  # MetaTrader dates a week by the Sunday before it
        return self._timeframe.floor(wall)

    def _put_one_by_one(self, table: RowTable, final: bool) -> BucketedRows:
        if self._held is not None:
            table, self._held = join(self._held, table), None
        zoned = table.zoned if isinstance(table.zoned, list) else [table.zoned] * len(table)
        placements = list(map(self._find, table.time, zoned))
        undecided = self._resolve_ambiguous(table.time, zoned, placements, final)
        if undecided is not None:
            self._held = table.take(range(undecided, len(table)))
            table = table.take(range(undecided))
        good: list[int] = []
        buckets: list[Bucket] = []
        for index, row in enumerate(table.row):
            reason, hint = self._find_fault(placements[index])
            if reason:
                self._refuse(row, reason, hint + table.text(row))
                continue
            good.append(index)
            buckets.append(placements[index])  # type: ignore[arg-type]
        seconds = self._timeframe.seconds
        return BucketedRows(
            table.take(good),
            [bucket.start for bucket in buckets],
            [bucket.stop - bucket.start - seconds for bucket in buckets],
        )

    def _find(self, time: int, zoned: bool) -> Placement:
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
        # Where a clock goes back by half an hour, a timestamp may start a bucket in one pass only.
        begun = [bucket for bucket in buckets if bucket.start in instants]
        if len(buckets) > 1 and len(begun) != 1:
            return AmbiguousTime(*instants)
        return begun[0] if begun else buckets[0]

    def _find_long(self, time: int, zoned: bool) -> Placement:
        wall = self._clock.wall(time) if zoned else time
        wall_start = self._wall_start(wall)
        start = self._clock.first_instant(wall_start)
        stop = self._clock.first_instant(self._timeframe.following(wall_start))
        if start >= stop:
            return "missing_hour"  # a day that a zone left out
        if (time - start if zoned else wall - wall_start) > OFF_BUCKET_MAX_S:
            return "off_bucket"
        return Bucket(start, stop)

    def _resolve_ambiguous(
        self, times: Sequence[int], zoned: Sequence[bool], placements: list[Placement], final: bool
    ) -> int | None:
        # Returns the index from which rows are held back, None if all are resolved.
        run: list[int] = []  # indices of rows in one ambiguous hour
        for index, bucket in enumerate(placements):
            if zoned[index] or isinstance(bucket, str):
                continue
            if run and not self._is_same_hour(placements[run[0]], bucket):
                self._resolve_run(run, times, placements, times[index])
                run = []
            if isinstance(bucket, AmbiguousTime):
                run.append(index)
            elif self._first_wall is None:
                self._first_wall = times[index]
        if run and not final and len(run) <= HELD_ROWS_MAX:
            return run[0]
        if run:
            self._resolve_run(run, times, placements, None)
        return None

    def _is_same_hour(self, first: Placement, second: Placement) -> bool:
        if not isinstance(first, AmbiguousTime) or not isinstance(second, AmbiguousTime):
            return False
        return self._clock.segment(first.later) == self._clock.segment(second.later)

    def _resolve_run(
        self,
        run: Sequence[int],
        times: Sequence[int],
        placements: list[Placement],
        following: int | None,
    ) -> None:
        walls = [times[index] for index in run]
        hour = self._clock.segment(placements[run[0]].later)  # type: ignore[union-attr]
        known, is_second, previous = self._pass or (None, False, None)
        if known != hour:
            is_second, previous = False, None
        forwards = known == hour or self._runs_forwards(walls, following)
        for index in run if forwards else reversed(run):
            ambiguous, wall = placements[index], times[index]
            assert isinstance(ambiguous, AmbiguousTime)
            if previous is not None:
                # A bucket as long as the hour has one timestamp for both passes.
                as_long = self._timeframe.seconds >= ambiguous.later - ambiguous.earlier
                stepped_back = wall < previous - self._disorder_s
                is_second |= stepped_back or (wall == previous and as_long)
            previous = wall if previous is None or is_second else max(wall, previous)
            instant = ambiguous.later if is_second else ambiguous.earlier
            placements[index] = self._clock.bucket(self._timeframe, instant)
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

    def _find_fault(self, placement: Placement) -> tuple[str, str]:
        if isinstance(placement, str):
            return placement, ""
        start = placement[0]
        if not self._earliest <= start < TIME_MAX:
            return "bad_time", ""
        if start > self._latest:
            return "future", describe_lead(start - self._now)
        return "", ""


def to_candles(bucketed: BucketedRows) -> CandleColumns:
    """Return bucketed rows as candles for the store."""
    return CandleColumns(bucketed.time, bucketed.extra_s, *bucketed.table.values)


def to_ticks(bucketed: BucketedRows) -> NumberedTicks:
    """Return rows bucketed by second as ticks for the store."""
    table = bucketed.table
    assert table.msc is not None
    times = [second * 1000 + msc for second, msc in zip(bucketed.time, table.msc, strict=True)]
    bid, ask, last, volume, flags = table.values
    return NumberedTicks(table.row, times, bid, ask, last, volume, flags)  # type: ignore[arg-type]


def describe_lead(seconds: float) -> str:
    """Return how far in the future a row starts, and the likely cause, before the row's text."""
    question = "" if seconds >= DAY else ": broker time sent as UTC?"
    return f"starts {format_duration(seconds)} ahead{question} "
