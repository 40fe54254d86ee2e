"""Retention rules: how long ticks and candles are kept."""

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
TICKS_NUMBER = SERIES_PER_SYMBOL - 1  # of their days, where candles have the timeframe's
WHATS = (TICKS, *(timeframe.name for timeframe in TIMEFRAMES))
NUMBERS = {TICKS: TICKS_NUMBER, **{timeframe.name: timeframe.number for timeframe in TIMEFRAMES}}
IN_CHAIN = (TICKS, *(timeframe.name for timeframe in CHAIN))  # each is the base of what follows
EVERY_SYMBOL = 0
MONTH_DAYS = 30.436875
YEARS_MAX = 200


class Period(NamedTuple):
    """How long something is kept: so many days or calendar months; None is for ever."""

    number: int | None
    unit: str = ""

    @property
    def name(self) -> str:
        """The one spelling of it."""
        if self.number is None:
            return "forever"
        if self.unit == "months":
            return f"{self.number // 12}y" if self.number % 12 == 0 else f"{self.number}months"
        return f"{self.number}d"

    @property
    def days(self) -> float:
        """About how many days it is, to compare it with another."""
        if self.number is None:
            return float("inf")
        return self.number * (MONTH_DAYS if self.unit == "months" else 1)


FOREVER = Period(None)
DEFAULTS = {TICKS: Period(7, "days"), "M1": Period(3, "months")}
Rules = Mapping[str, Period]
"""What is kept how long, by the name of the timeframe or `ticks`."""

KEEP = re.compile(r"([1-9][0-9]{0,4}) ?(d|days?|w|weeks?|months?|y|years?)", re.IGNORECASE)


class BadPeriod(BadParameter):
    """Rules that name nothing there is, or of which one contradicts another."""


@lru_cache(maxsize=64)
def parse_period(text: str) -> Period:
    """Return the time a text names: `7d`, `2w`, `3months`, `1y`, `forever`.

    Raises:
        BadKeep: it names none.
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
        raise BadPeriod(f"{text[:32]} is longer than {YEARS_MAX} years: say forever")
    return keep


def parse_subject(text: str) -> str:
    """Return what a rule is for: the name of a timeframe in any spelling, or `ticks`.

    Raises:
        BadParameter: it is neither.
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
    """Return the first second of the first UTC day that is not older than this, counted from `now`.

    A day of which any part is not older stays.
    """
    return _cutoff(keep, now - now % DAY)


READ = """
SELECT symbol_id, subject, keep
FROM retention_rule
WHERE symbol_id = :every OR symbol_id = :id
ORDER BY symbol_id
"""
PUT = """
INSERT INTO retention_rule (symbol_id, subject, keep)
VALUES (:id, :what, :keep)
ON CONFLICT (symbol_id, subject) DO UPDATE SET keep = excluded.keep
"""
DROP = "DELETE FROM retention_rule WHERE symbol_id = :id AND subject = :what"
RULED = "SELECT DISTINCT symbol_id FROM retention_rule WHERE symbol_id > 0"


def read_own_rules(db: apsw.Connection, symbol: Symbol | None = None) -> dict[str, Period]:
    """Return the rules made for a symbol, or those for every symbol without rules of its own."""
    wanted = symbol.id if symbol else EVERY_SYMBOL
    rows = connection.query_all(db, READ, {"every": wanted, "id": wanted})
    return {what: parse_period(keep) for _, what, keep in rows}


def read_rules(db: apsw.Connection, symbol: Symbol | None = None) -> Rules:
    """Return how long everything is kept: of a symbol, or of one without rules of its own."""
    rules = dict.fromkeys(WHATS, FOREVER) | DEFAULTS
    wanted = {"every": EVERY_SYMBOL, "id": symbol.id if symbol else EVERY_SYMBOL}
    for _, what, keep in connection.query_all(db, READ, wanted):  # those of the symbol come last
        rules[what] = parse_period(keep)
    return rules


def set_rules(
    db: apsw.Connection, symbol: Symbol | None, rules: Mapping[str, Period | None]
) -> None:
    """Make rules for a symbol or for every symbol, None: no more; inside a transaction.

    Raises:
        BadKeep: something would be kept longer than what is derived from it.
    """
    owner = symbol.id if symbol else EVERY_SYMBOL
    for what, keep in rules.items():
        if keep is None:
            db.execute(DROP, {"id": owner, "what": what})
        else:
            db.execute(PUT, {"id": owner, "what": what, "keep": keep.name})
    _check(db, symbol)


def list_symbols_with_rules(db: apsw.Connection) -> set[int]:
    """Return the ids of the symbols that have rules of their own."""
    return {symbol_id for (symbol_id,) in connection.query_all(db, RULED)}


def _check(db: apsw.Connection, symbol: Symbol | None) -> None:
    # Off the chain nothing depends on anything: those count where somebody has made a rule.
    rules = read_rules(db, symbol)
    named = {**read_own_rules(db), **read_own_rules(db, symbol)}
    order = [what for what in WHATS if what in IN_CHAIN or what in named]
    for finer, coarser in pairwise(order):
        if rules[finer].days > rules[coarser].days:
            rest = order[: order.index(coarser)]
            longer = [what for what in rest if rules[what].days > rules[coarser].days]
            wanted = " ".join(f"{what}={rules[coarser].name}" for what in longer)
            whose = f" of {symbol.name}" if symbol else ""
            raise BadPeriod(
                f"{finer}{whose} would be kept {rules[finer].name} and {coarser} only "
                f"{rules[coarser].name}: a finer timeframe may not be kept longer than a coarser "
                f"one; say {wanted}"
            )


def cutoffs(rules: Rules, now: int) -> dict[str, int]:
    """Return for everything the first second of what is not older than it is kept.

    Nothing of the chain is kept longer than what is derived from it.
    """
    found = {what: cutoff(keep, now) for what, keep in rules.items()}
    for finer, coarser in pairwise(IN_CHAIN):  # months are not equally long
        found[coarser] = min(found[coarser], found[finer])
    return found
