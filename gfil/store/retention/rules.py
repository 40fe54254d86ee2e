"""Retention rules: how long ticks and candles stay stored."""

import re
from calendar import monthrange
from collections.abc import Mapping
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import apsw

from gfil import timeframes
from gfil.clocks import TIME_MIN
from gfil.errors import BadParameter
from gfil.store.engine import connection
from gfil.store.symbols import SERIES_PER_SYMBOL, Symbol
from gfil.timeframes import CHAIN, DAY, EPOCH_DAY, TIMEFRAMES

TICKS = "ticks"
TICKS_NUMBER = SERIES_PER_SYMBOL - 1  # in place of a timeframe's number, in backdated_day
SUBJECTS = (TICKS, *(timeframe.name for timeframe in TIMEFRAMES))
NUMBERS = {TICKS: TICKS_NUMBER, **{timeframe.name: timeframe.number for timeframe in TIMEFRAMES}}
IN_CHAIN = (TICKS, *(timeframe.name for timeframe in CHAIN))  # finest first
EVERY_SYMBOL = 0
MONTH_DAYS = 30.436875
YEARS_MAX = 200


class Period(NamedTuple):
    """A retention: a number of days or calendar months; None is for ever."""

    number: int | None
    unit: str = ""

    @property
    def name(self) -> str:
        """Canonical spelling, such as `7d`, `3months`, `1y`, `forever`."""
        if self.number is None:
            return "forever"
        if self.unit == "months":
            return f"{self.number // 12}y" if self.number % 12 == 0 else f"{self.number}months"
        return f"{self.number}d"

    @property
    def days(self) -> float:
        """Approximate length in days, for comparisons."""
        if self.number is None:
            return float("inf")
        return self.number * (MONTH_DAYS if self.unit == "months" else 1)


FOREVER = Period(None)
DEFAULTS = {TICKS: Period(7, "days"), "M1": Period(3, "months")}
Rules = Mapping[str, Period]
"""Retention by subject: the name of a timeframe, or `ticks`."""

KEEP = re.compile(r"([1-9][0-9]{0,4}) ?(d|days?|w|weeks?|months?|y|years?)", re.IGNORECASE)


class BadPeriod(BadParameter):
    """A retention that is not a valid period, or contradicts another rule."""


@lru_cache(maxsize=64)
def parse_period(text: str) -> Period:
    """Parse a period: `7d`, `2w`, `3months`, `1y`, `forever`.

    Raises:
        BadPeriod: the text is not a period.
    """
    if text.strip().casefold() in ("forever", "ever"):
        return FOREVER
    match = KEEP.fullmatch(text.strip())
    if match is None:
        raise BadPeriod(f"bad time {text[:32]!r}: use whole 7d, 2w, 3months, 1y or forever")
    number, letter = int(match[1]), match[2][0].casefold()
    if letter in "dw":
        keep = Period(number * (7 if letter == "w" else 1), "days")
    else:
        keep = Period(number * (12 if letter == "y" else 1), "months")
    if keep.days > YEARS_MAX * 366:
        raise BadPeriod(f"{text[:32]} is longer than {YEARS_MAX} years: use forever")
    return keep


def parse_subject(text: str) -> str:
    """Parse the subject of a rule: the name of a timeframe in any spelling, or `ticks`.

    Raises:
        BadParameter: the text is neither.
    """
    if text.strip().casefold() == TICKS:
        return TICKS
    return timeframes.parse(text).name


@lru_cache(maxsize=256)
def _cutoff(keep: Period, today: int) -> int:
    if keep.number is None:
        return TIME_MIN
    if keep.unit == "days":
        return today - keep.number * DAY
    then = EPOCH_DAY + timedelta(seconds=today)
    month = then.year * 12 + then.month - 1 - keep.number
    year, month = month // 12, month % 12 + 1
    day = date(max(year, 1), month, min(then.day, monthrange(max(year, 1), month)[1]))
    return (day - EPOCH_DAY).days * DAY


def cutoff(keep: Period, now: int) -> int:
    """Return the first second of the first UTC day that is within the period before `now`.

    A day that is partly within the period counts as within.
    """
    return _cutoff(keep, now - now % DAY)


def read_own_rules(db: apsw.Connection, symbol: Symbol | None = None) -> dict[str, Period]:
    """Return the rules of a symbol alone; without a symbol the rules that apply to every symbol."""
    owner = symbol.id if symbol else EVERY_SYMBOL
    return {subject: parse_period(keep) for _, subject, keep in _read(db, owner, owner)}


def read_rules(db: apsw.Connection, symbol: Symbol | None = None) -> Rules:
    """Return the retention of every subject: of a symbol, or of a symbol without own rules."""
    rules = dict.fromkeys(SUBJECTS, FOREVER) | DEFAULTS
    owner = symbol.id if symbol else EVERY_SYMBOL
    for _, subject, keep in _read(db, EVERY_SYMBOL, owner):  # the symbol's own rules come last
        rules[subject] = parse_period(keep)
    return rules


READ = """
SELECT symbol_id, subject, keep
FROM retention_rule
WHERE symbol_id = :every OR symbol_id = :id
ORDER BY symbol_id
"""


def _read(db: apsw.Connection, every: int, owner: int) -> list[tuple[int, str, str]]:
    return connection.query_all(db, READ, {"every": every, "id": owner})


PUT = """
INSERT INTO retention_rule (symbol_id, subject, keep)
VALUES (:id, :subject, :keep)
ON CONFLICT (symbol_id, subject) DO UPDATE
SET keep = excluded.keep
"""
DROP = "DELETE FROM retention_rule WHERE symbol_id = :id AND subject = :subject"


def set_rules(
    db: apsw.Connection, symbol: Symbol | None, rules: Mapping[str, Period | None]
) -> None:
    """Set rules for a symbol or for every symbol; None removes a rule. Inside a transaction.

    Raises:
        BadPeriod: a timeframe would be kept longer than one derived from it.
    """
    owner = symbol.id if symbol else EVERY_SYMBOL
    for subject, keep in rules.items():
        if keep is None:
            db.execute(DROP, {"id": owner, "subject": subject})
        else:
            db.execute(PUT, {"id": owner, "subject": subject, "keep": keep.name})
    _check(db, symbol)


LIST_OWNERS = "SELECT DISTINCT symbol_id FROM retention_rule WHERE symbol_id > 0"


def list_symbols_with_rules(db: apsw.Connection) -> set[int]:
    """Return the ids of the symbols that have own rules."""
    return {symbol_id for (symbol_id,) in connection.query_all(db, LIST_OWNERS)}


def _check(db: apsw.Connection, symbol: Symbol | None) -> None:
    # Timeframes that are not materialised count only where a rule names them.
    rules = read_rules(db, symbol)
    named = {**read_own_rules(db), **read_own_rules(db, symbol)}
    order = [subject for subject in SUBJECTS if subject in IN_CHAIN or subject in named]
    for finer, coarser in pairwise(order):
        if rules[finer].days > rules[coarser].days:
            rest = order[: order.index(coarser)]
            longer = [subject for subject in rest if rules[subject].days > rules[coarser].days]
            remedy = " ".join(f"{subject}={rules[coarser].name}" for subject in longer)
            of_symbol = f" of {symbol.name}" if symbol else ""
            raise BadPeriod(
                f"{finer}{of_symbol} would be kept {rules[finer].name} and {coarser} only "
                f"{rules[coarser].name}: a finer timeframe may not be kept longer than a coarser "
                f"one; use {remedy}"
            )


def cutoffs(rules: Rules, now: int) -> dict[str, int]:
    """Return the cutoff of every subject: the first second that is not past its retention.

    No materialised timeframe has a later cutoff than one it is derived from.
    """
    found = {subject: cutoff(keep, now) for subject, keep in rules.items()}
    for finer, coarser in pairwise(IN_CHAIN):  # months differ in length
        found[coarser] = min(found[coarser], found[finer])
    return found
