"""Clocks: convert wall time to UTC and back, and find bucket boundaries."""

import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC as UTC_ZONE
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from gfil.errors import BadParameter
from gfil.timeframes import DAY, HOUR, MINUTE, Timeframe

TIME_MIN = -2208988800  # 1900-01-01; earlier offsets are local mean time
TIME_MAX = 4102444800  # 2100-01-01
OFFSET_MAX = 14 * HOUR
PROBE_STEP = 5 * DAY  # no zone changed twice within five days since 1900
WALL_REACH = 30 * HOUR  # more than any zone's offset plus the largest shift

EPOCH = datetime(1970, 1, 1, tzinfo=UTC_ZONE)

NAMED = {"nyclose": "America/New_York+07:00"}


class UnknownClock(BadParameter):
    """Text that is not the name of a clock."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"unknown clock {text[:64]!r}: use UTC, a zone such as Europe/Athens, an offset such "
            "as +02:00, or both: America/New_York+07:00"
        )


class Segment(NamedTuple):
    """Span of time `[start, stop)` in which a clock is `offset` seconds ahead of UTC."""

    start: int
    stop: int
    offset: int


class Bucket(NamedTuple):
    """Bucket `[start, stop)` of a timeframe, in UNIX seconds."""

    start: int
    stop: int


class Run(NamedTuple):
    """Consecutive buckets of equal length: `[start, stop)` cut every `length` seconds."""

    start: int
    stop: int
    length: int


class Clock:
    """Rule that converts instants to wall time. Clocks with the same name are equal."""

    __slots__ = ("_offsets", "_starts", "name")

    def __init__(self, name: str, zone: str | None, shift_s: int) -> None:
        self.name = name
        starts, offsets = _changes(zone) if zone else ((TIME_MIN,), (0,))
        self._starts = starts
        self._offsets = tuple(offset + shift_s for offset in offsets)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clock) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"Clock({self.name})"

    def segment(self, instant: int) -> Segment:
        """Return the segment of an instant; the first and the last extend past the table."""
        return self._segment(max(bisect_right(self._starts, instant) - 1, 0))

    def segments(self, start: int, stop: int) -> Iterator[Segment]:
        """Yield the segments that overlap `[start, stop)`, in order."""
        index = max(bisect_right(self._starts, start) - 1, 0)
        while index < len(self._starts) and (index == 0 or self._starts[index] < stop):
            yield self._segment(index)
            index += 1

    def offset(self, instant: int) -> int:
        """Return how many seconds the wall time is ahead of UTC at an instant."""
        return self._offsets[max(bisect_right(self._starts, instant) - 1, 0)]

    def cuts_like_utc(self, timeframe: Timeframe, since: int) -> bool:
        """Return whether all intraday buckets since an instant are the same as on UTC."""
        return _cut_like_utc(self, timeframe, since)

    def wall(self, instant: int) -> int:
        """Return the wall time at an instant, in seconds since 1970-01-01 wall time."""
        return instant + self.offset(instant)

    def instants(self, wall: int) -> list[int]:
        """Return the instants with this wall time, ascending: zero, one or two."""
        return [
            wall - segment.offset
            for segment in self.segments(wall - WALL_REACH, wall + WALL_REACH)
            if segment.start <= wall - segment.offset < segment.stop
        ]

    def constant_offset(self, first_wall: int, last_wall: int) -> int | None:
        """Return the offset that converts every wall time of a range to UTC, or None.

        None: a clock change nearby makes some wall times ambiguous or missing.
        """
        segments = self.segments(first_wall - WALL_REACH, last_wall + WALL_REACH)
        segment = next(segments)
        return segment.offset if next(segments, None) is None else None

    def first_instant(self, wall: int) -> int:
        """Return the first instant whose wall time is at least `wall`."""
        if len(self._offsets) == 1:
            return wall - self._offsets[0]
        for segment in self.segments(wall - WALL_REACH, wall + WALL_REACH):
            if segment.stop + segment.offset > wall:
                break
        return max(segment.start, wall - segment.offset)

    def bucket(self, timeframe: Timeframe, instant: int) -> Bucket:
        """Return the bucket of a timeframe that holds an instant."""
        index = max(bisect_right(self._starts, instant) - 1, 0)
        segment = self._segment(index)
        if timeframe.intraday:
            start = timeframe.floor(instant + segment.offset) - segment.offset
            stop = start + timeframe.seconds
            return Bucket(max(start, segment.start), min(stop, segment.stop))
        reached = instant + segment.offset
        # After the clock was set back, hours repeat: they belong to the later bucket.
        if index:
            reached = max(reached, segment.start + self._offsets[index - 1] - 1)
        wall_start = timeframe.floor(reached)
        return Bucket(
            self.first_instant(wall_start), self.first_instant(timeframe.following(wall_start))
        )

    def runs(self, timeframe: Timeframe, start: int, stop: int) -> Iterator[Run]:
        """Yield the buckets that overlap `[start, stop)`, in order, equal neighbours as one run."""
        instant = start
        while instant < stop:
            bucket = self.bucket(timeframe, instant)
            length = bucket.stop - bucket.start
            run_stop = bucket.stop
            if length == timeframe.seconds and timeframe.name != "MN1":
                change = self.segment(bucket.start).stop  # the bucket before it may be longer
                constant_until = min(change - 1, stop + length - 1)
                run_stop = max(run_stop, constant_until - (constant_until - bucket.start) % length)
            yield Run(bucket.start, run_stop, length)
            instant = run_stop

    def buckets(self, timeframe: Timeframe, start: int, stop: int) -> list[Bucket]:
        """Return the buckets that overlap `[start, stop)`, in order."""
        return [
            Bucket(first, first + run.length)
            for run in self.runs(timeframe, start, stop)
            for first in range(run.start, run.stop, run.length)
        ]

    def _segment(self, index: int) -> Segment:
        last = index + 1 == len(self._starts)
        stop = 2 * TIME_MAX if last else self._starts[index + 1]
        start = 2 * TIME_MIN if index == 0 else self._starts[index]
        return Segment(start, stop, self._offsets[index])


# Called at every read, with the time of the first candle.
@lru_cache(maxsize=1024)
def _cut_like_utc(clock: Clock, timeframe: Timeframe, since: int) -> bool:
    segments = clock.segments(since, TIME_MAX)
    return all(segment.offset % timeframe.seconds == 0 for segment in segments)


@lru_cache(maxsize=64)
def _changes(zone: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    # zoneinfo does not expose the changes of a zone: they are found by probing.
    info = ZoneInfo(zone)

    def offset_at(instant: int) -> int:
        offset = (EPOCH + timedelta(seconds=instant)).astimezone(info).utcoffset()
        assert offset is not None
        return int(offset.total_seconds())

    starts, offsets = [TIME_MIN], [offset_at(TIME_MIN)]
    for probe in range(TIME_MIN + PROBE_STEP, TIME_MAX, PROBE_STEP):
        if (offset := offset_at(probe)) != offsets[-1]:
            before, after = probe - PROBE_STEP, probe
            while after - before > 1:
                middle = (before + after) // 2
                before, after = (
                    (middle, after) if offset_at(middle) == offsets[-1] else (before, middle)
                )
            starts.append(after)
            offsets.append(offset)
    return tuple(starts), tuple(offsets)


_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?([0-5]\d))?", re.ASCII)
_ZONE_AND_OFFSET = re.compile(r"(.+)([+-]\d{1,2}(?::?[0-5]\d)?)", re.ASCII)


def _offset_seconds(text: str) -> int | None:
    match = _OFFSET.fullmatch(text)
    if not match:
        return None
    seconds = int(match[2]) * HOUR + int(match[3] or 0) * MINUTE
    return None if seconds > OFFSET_MAX else (seconds if match[1] == "+" else -seconds)


def _offset_name(seconds: int) -> str:
    sign = "-" if seconds < 0 else "+"
    return f"{sign}{abs(seconds) // HOUR:02}:{abs(seconds) % HOUR // MINUTE:02}"


@lru_cache(maxsize=1)
def _zones() -> dict[str, str]:
    return {zone.casefold(): zone for zone in available_timezones() if zone != "localtime"}


@lru_cache(maxsize=256)
def parse(text: str) -> Clock:
    """Return the clock with this name.

    A blank in place of a sign is read as `+`, because URLs decode an unescaped `+` as a blank.

    Raises:
        UnknownClock: the text is not a clock, or its offset exceeds 14 hours.
    """
    spelled = re.sub(r" (?=\d)", "+", text.strip(" ") if text[:1] != " " else text.rstrip(" "))
    spelled = NAMED.get(spelled.casefold(), spelled)
    if spelled.casefold() in ("utc", "z"):
        return UTC
    shift = _offset_seconds(spelled.upper())
    if shift is not None:
        return Clock(_offset_name(shift), None, shift) if shift else UTC
    zone = _zones().get(spelled.casefold())
    if zone:
        return Clock(zone, zone, 0)
    match = _ZONE_AND_OFFSET.fullmatch(spelled)
    zone, shift = (
        (_zones().get(match[1].casefold()), _offset_seconds(match[2])) if match else (None, None)
    )
    if zone is None or shift is None:
        raise UnknownClock(text)
    return Clock(zone + _offset_name(shift), zone, shift) if shift else Clock(zone, zone, 0)


UTC = Clock("UTC", None, 0)


_LOST_PLUS = re.compile(r"(T\d\d:\d\d(?::\d\d(?:\.\d+)?)?) (\d\d:?\d\d)")
MILLISECONDS_FROM = 100_000_000_000  # a number this large cannot be seconds


class BadTime(BadParameter):
    """Text that is not an instant."""


def parse_instant(text: str) -> int:
    """Return the UNIX second of a text: seconds, or ISO 8601 (UTC unless it has an offset).

    Fractions of a second are rounded up, so that `time >= instant` stays true.

    Raises:
        BadTime: the text has another form, or is probably in milliseconds.
    """
    spelled = text.strip()
    if re.fullmatch(r"-?[0-9]{1,18}", spelled):
        instant = int(spelled)
        if abs(instant) >= MILLISECONDS_FROM:
            raise BadTime(f"bad time {spelled}: milliseconds? use UNIX seconds")
        return instant
    try:
        moment = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+\2", spelled))
    except ValueError:
        raise BadTime(f"bad time {text[:64]!r}: use UNIX seconds or ISO 8601") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC_ZONE)
    return math.ceil((moment - EPOCH).total_seconds())


def format_instant(instant: int) -> str:
    """Return a UNIX second as `2025-01-02T00:00:00Z`."""
    moment = EPOCH + timedelta(seconds=instant)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
