"""Figures: what was measured, against what it has to reach."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import NamedTuple

_HOLDS = {"<": operator.lt, "≤": operator.le, "≥": operator.ge}


class Goal(NamedTuple):
    """A bound; `note` says what the bound was raised by, if anything."""

    sign: str
    bound: float
    note: str = ""

    def holds(self, value: float) -> bool:
        """Say whether a value is on the right side of the bound."""
        return bool(_HOLDS[self.sign](value, self.bound))


class Result(NamedTuple):
    """One measured value; None where it could not be measured, and `note` says why."""

    row: str
    what: str
    value: float | None
    unit: str
    goal: Goal | None = None
    stretch: Goal | None = None
    peers: Mapping[str, float] = {}
    note: str = ""

    def reaches(self, goal: Goal | None) -> bool | None:
        """Say whether it reached a goal; None where there is nothing to compare."""
        return None if goal is None or self.value is None else goal.holds(self.value)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def time_ms(action: Callable[[], object]) -> float:
    """Run something once and return how long it took."""
    start = perf_counter()
    action()
    return (perf_counter() - start) * 1000


def median_ms(action: Callable[[], object], times: int) -> float:
    """Return the median duration of something, after one run that warms it up."""
    action()
    return median(time_ms(action) for _ in range(times))


class Pair(NamedTuple):
    """The medians of two things, in ms."""

    first: float
    second: float

    @property
    def ratio(self) -> float:
        """The second to the first."""
        return self.second / self.first


def median_pair(first: Callable[[], object], second: Callable[[], object], times: int) -> Pair:
    """Time two things in turn, after one run of each that warms them up."""
    first()
    second()
    pairs = [(time_ms(first), time_ms(second)) for _ in range(times)]
    return Pair(*(median(column) for column in zip(*pairs, strict=True)))
