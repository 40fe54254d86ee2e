"""The clock of a broker: wall times of the terminal to UTC and back."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from scripts.pump.times import DAY_S, HOUR_S, LATEST, MINUTE_S, QUARTER_S

NYCLOSE = "America/New_York+07:00"
SHIFT_MAX_S = 14 * HOUR_S
ZONE_AND_SHIFT = re.compile(r"(.*?)(?:([+-])(\d{1,2}):?([0-5]\d)?)?", re.ASCII)


class BrokerClock:
    """UTC, a zone, an offset, or a zone plus an offset. Wall times are seconds on this clock."""

    def __init__(self, text: str) -> None:
        self.name = NYCLOSE if text.lower() == "nyclose" else text.strip()
        zones = {zone.lower(): zone for zone in available_timezones()} | {"utc": "", "gmt": ""}
        parsed = _parse_clock(self.name, zones)
        if parsed is None:
            has_zones = len(zones) > 2
            hint = "--check shows which clocks fit" if has_zones else "pip install tzdata"
            forms = "UTC, Zone/Name, +HH:MM or Zone/Name+HH:MM"
            raise SystemExit(f"unknown clock {text!r}: use {forms} ({hint})")
        zone, self._shift_s = parsed
        self._zone = ZoneInfo(zone) if zone else UTC

    @lru_cache(maxsize=4096)  # noqa: B019 (a clock lives as long as the program)
    def offset_s(self, time_s: int) -> int:
        """Return how far the clock is ahead of UTC at a time in UTC."""
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_s)
        ahead = moment.astimezone(self._zone).utcoffset() or timedelta()
        return self._shift_s + int(ahead.total_seconds())

    @lru_cache(maxsize=4096)  # noqa: B019
    def possible_offsets_s(self, quarter: int) -> list[int]:
        """Return the offsets of a quarter of an hour on the wall, largest first.

        A quarter that the clock skips has none, a quarter that it repeats has two.
        """
        wall = quarter * QUARTER_S
        candidates = {self.offset_s(wall - 2 * DAY_S), self.offset_s(wall + 2 * DAY_S)}
        fitting = (offset for offset in candidates if self.offset_s(wall - offset) == offset)
        return sorted(fitting, reverse=True)

    def to_wall(self, time_s: int) -> int:
        """Return the wall time at a time in UTC."""
        return time_s + self.offset_s(time_s)

    def repeated_hour(self, wall: int) -> range:
        """Return the wall times of the repeated hour around `wall`, or an empty range at `wall`."""
        first = last = wall // QUARTER_S
        while len(self.possible_offsets_s(last)) > 1:
            last += 1
        while first < last and len(self.possible_offsets_s(first - 1)) > 1:
            first -= 1
        if first == last:
            return range(wall, wall)
        return range(first * QUARTER_S, last * QUARTER_S)

    def to_utc(self, walls: Iterable[int], units_per_s: int, slack: int) -> list[int | None]:
        """Return the UTC times of wall times, in the same unit; None for a skipped wall time.

        A wall time that the clock shows twice has the first time that is at least `slack` after
        the newest time before it, else the second.
        """
        times: list[int | None] = []
        newest = -LATEST
        for wall in walls:
            offsets = self.possible_offsets_s(wall // (QUARTER_S * units_per_s))
            found = [wall - offset * units_per_s for offset in offsets]
            in_order = (each for each in found if each >= newest + slack)
            chosen = next(in_order, found[-1] if found else None)
            times.append(chosen)
            if chosen is not None:
                newest = max(newest, chosen)
        return times


def _parse_clock(name: str, zones: dict[str, str]) -> tuple[str, int] | None:
    if name.lower() in zones:  # also Etc/GMT+3, which looks like a zone plus an offset
        return zones[name.lower()], 0
    match = ZONE_AND_SHIFT.fullmatch(name)
    if match is None:
        return None
    base, sign, hours, minutes = match.groups("")
    zone = zones.get(base.lower()) if base else ""
    if zone is None or not sign:
        return None
    shift_s = int(hours) * HOUR_S + int(minutes or 0) * MINUTE_S
    if shift_s > SHIFT_MAX_S:
        return None
    return zone, shift_s if sign == "+" else -shift_s
