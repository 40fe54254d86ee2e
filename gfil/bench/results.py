"""Results of the benchmark with their goals, and helpers for timing."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import NamedTuple

_HOLDS = {"<": operator.lt, "≤": operator.le, "≥": operator.ge}


class Goal(NamedTuple):
    """Bound of a result; `note` says what the bound includes."""

    sign: str
    bound: float
    note: str = ""

    def holds(self, value: float) -> bool:
        """Return whether a value satisfies the bound."""
        return bool(_HOLDS[self.sign](value, self.bound))


class Result(NamedTuple):
    """One measured value; None if it could not be measured, with the reason in `note`."""

    row: str
    what: str
    value: float | None
    unit: str
    goal: Goal | None = None
    stretch: Goal | None = None
    peers: Mapping[str, float] = {}
    note: str = ""

    def reaches(self, goal: Goal | None) -> bool | None:
        """Return whether the value reaches a goal; None without a goal or a value."""
        return None if goal is None or self.value is None else goal.holds(self.value)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def time_ms(action: Callable[[], object]) -> float:
    """Run an action once and return its duration."""
    start = perf_counter()
    action()
    return (perf_counter() - start) * 1000


def median_ms(action: Callable[[], object], times: int) -> float:
    """Return the median duration of an action, after one warm-up run."""
    action()
    return median(time_ms(action) for _ in range(times))


class Pair(NamedTuple):
    """Medians of two actions, in ms."""

    first: float
    second: float

    @property
    def ratio(self) -> float:
        """Ratio of the second to the first."""
        return self.second / self.first


def median_pair(first: Callable[[], object], second: Callable[[], object], times: int) -> Pair:
    """Time two actions in turn, after one warm-up run of each."""
    first()
    second()
    pairs = [(time_ms(first), time_ms(second)) for _ in range(times)]
    return Pair(*(median(column) for column in zip(*pairs, strict=True)))
