"""How long candles and ticks are kept, and which days are kept for a reason of their own."""

import re
from array import array
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import apsw

from gfil import timeframes
from gfil.clocks import TIME_MIN, Bucket
from gfil.errors import BadParameter
from gfil.store import db as store
from gfil.store.symbols import SERIES_PER_SYMBOL, Symbol
from gfil.timeframes import CHAIN, DAY, EPOCH_DAY, HOUR, TIMEFRAMES

TICKS = "ticks"
TICKS_NUMBER = SERIES_PER_SYMBOL - 1  # of their days, where candles have the timeframe's
WHATS = (TICKS, *(timeframe.name for timeframe in TIMEFRAMES))
NUMBERS = {TICKS: TICKS_NUMBER, **{timeframe.name: timeframe.number for timeframe in TIMEFRAMES}}
IN_CHAIN = (TICKS, *(timeframe.name for timeframe in CHAIN))  # each is the base of what follows
EVERY_SYMBOL = 0
RECEIVED_FOR_S = 48 * HOUR
MONTH_DAYS = 30.436875
YEARS_MAX = 200


class Keep(NamedTuple):
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


FOREVER = Keep(None)
DEFAULTS = {TICKS: Keep(7, "days"), "M1": Keep(3, "months")}
Rules = Mapping[str, Keep]
"""What is kept how long, by the name of the timeframe or `ticks`."""

KEEP = re.compile(r"([1-9][0-9]{0,4}) ?(d|days?|w|weeks?|months?|y|years?)", re.IGNORECASE)


class BadKeep(BadParameter):
    """Rules that name nothing there is, or of which one contradicts another."""


@lru_cache(maxsize=64)
def parse_keep(text: str) -> Keep:
    """Return the time a text names: `7d`, `2w`, `3months`, `1y`, `forever`.

    Raises:
        BadKeep: it names none.
    """
    if text.strip().casefold() in ("forever", "ever"):
        return FOREVER
    match = KEEP.fullmatch(text.strip())
    if match is None:
        raise BadKeep(f"bad time {text[:32]!r}: use whole 7d, 2w, 3months, 1y or forever")
    number, letter = int(match[1]), match[2][0].casefold()
    if letter in "dw":
        keep = Keep(number * (7 if letter == "w" else 1), "days")
    else:
        keep = Keep(number * (12 if letter == "y" else 1), "months")
    if keep.days > YEARS_MAX * 366:
        raise BadKeep(f"{text[:32]} is longer than {YEARS_MAX} years: say forever")
    return keep


def parse_what(text: str) -> str:
    """Return what a rule is for: the name of a timeframe in any spelling, or `ticks`.

    Raises:
        BadParameter: it is neither.
    """
    if text.strip().casefold() == TICKS:
        return TICKS
    return timeframes.parse(text).name


@lru_cache(maxsize=256)
def _cutoff(keep: Keep, today: int) -> int:
    if keep.number is None:
        return TIME_MIN
    if keep.unit == "days":
        return today - keep.number * DAY
    then = EPOCH_DAY + timedelta(seconds=today)
    month = then.year * 12 + then.month - 1 - keep.number
    year, month = month // 12, month % 12 + 1
    day = date(max(year, 1), month, min(then.day, monthrange(max(year, 1), month)[1]))
    return (day - EPOCH_DAY).days * DAY


def cutoff(keep: Keep, now: int) -> int:
    """Return the first second of the first UTC day that is not older than this, counted from `now`.

    A day of which any part is not older stays.
    """
    return _cutoff(keep, now - now % DAY)


READ = """
SELECT symbol_id, what, keep
FROM retention
WHERE symbol_id = :every OR symbol_id = :id
ORDER BY symbol_id
"""
PUT = """
INSERT INTO retention (symbol_id, what, keep)
VALUES (:id, :what, :keep)
ON CONFLICT (symbol_id, what) DO UPDATE SET keep = excluded.keep
"""
DROP = "DELETE FROM retention WHERE symbol_id = :id AND what = :what"
RULED = "SELECT DISTINCT symbol_id FROM retention WHERE symbol_id > 0"


def read_own(db: apsw.Connection, symbol: Symbol | None = None) -> dict[str, Keep]:
    """Return the rules made for a symbol, or those for every symbol without rules of its own."""
    wanted = symbol.id if symbol else EVERY_SYMBOL
    rows = store.query(db, READ, {"every": wanted, "id": wanted})
    return {what: parse_keep(keep) for _, what, keep in rows}


def read(db: apsw.Connection, symbol: Symbol | None = None) -> Rules:
    """Return how long everything is kept: of a symbol, or of one without rules of its own."""
    rules = dict.fromkeys(WHATS, FOREVER) | DEFAULTS
    wanted = {"every": EVERY_SYMBOL, "id": symbol.id if symbol else EVERY_SYMBOL}
    for _, what, keep in store.query(db, READ, wanted):  # those of the symbol come last
        rules[what] = parse_keep(keep)
    return rules


def put(db: apsw.Connection, symbol: Symbol | None, rules: Mapping[str, Keep | None]) -> None:
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


def list_ruled(db: apsw.Connection) -> set[int]:
    """Return the ids of the symbols that have rules of their own."""
    return {symbol_id for (symbol_id,) in store.query(db, RULED)}


def _check(db: apsw.Connection, symbol: Symbol | None) -> None:
    # Off the chain nothing depends on anything: those count where somebody has made a rule.
    rules = read(db, symbol)
    named = {**read_own(db), **read_own(db, symbol)}
    order = [what for what in WHATS if what in IN_CHAIN or what in named]
    for finer, coarser in pairwise(order):
        if rules[finer].days > rules[coarser].days:
            rest = order[: order.index(coarser)]
            longer = [what for what in rest if rules[what].days > rules[coarser].days]
            wanted = " ".join(f"{what}={rules[coarser].name}" for what in longer)
            whose = f" of {symbol.name}" if symbol else ""
            raise BadKeep(
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


def days_of(times: Sequence[int]) -> list[int]:
    """Return the first seconds of the UTC days in which ascending times lie."""
    days, at = [], 0
    while at < len(times):
        days.append(times[at] - times[at] % DAY)
        at = bisect_left(times, days[-1] + DAY, at)
    return days


HELD_CANDLES = """
SELECT wanted.value
FROM carray(:days) AS wanted
WHERE EXISTS (
    SELECT 1 FROM candle
    WHERE series = :series AND time >= wanted.value AND time < wanted.value + 86400
)
"""
HELD_TICKS = """
SELECT wanted.value
FROM carray(:days) AS wanted
WHERE EXISTS (
    SELECT 1 FROM tick
    WHERE symbol_id = :id
      AND time_msc >= wanted.value * 1000 AND time_msc < (wanted.value + 86400) * 1000
)
"""


def held_days(db: apsw.Connection, symbol: Symbol, number: int, days: Sequence[int]) -> set[int]:
    """Return those of some days that hold rows of a timeframe's number, or ticks."""
    if not days:
        return set()
    sql = HELD_TICKS if number == TICKS_NUMBER else HELD_CANDLES
    bindings = {"id": symbol.id} if number == TICKS_NUMBER else {"series": symbol.series(number)}
    wanted = bindings | {"days": apsw.carray(array("q", days))}
    return {day for (day,) in store.query(db, sql, wanted)}


def find_imported(
    db: apsw.Connection, symbol: Symbol, what: str, times: Sequence[int], now: float
) -> tuple[int, ...]:
    """Return the days of ascending times that are older than they are kept, and hold none yet."""
    if times[0] >= now - DAY or now == float("inf"):  # nothing is kept shorter than a day
        return ()
    limit = cutoffs(read(db, symbol), int(now))[what]
    days = days_of(times[: bisect_left(times, limit)])
    return tuple(sorted(set(days) - held_days(db, symbol, NUMBERS[what], days)))


MARK_IMPORTED = "INSERT INTO imported_day (series, day) VALUES (?, ?) ON CONFLICT DO NOTHING"
MARK_RECEIVED = """
INSERT INTO received_day (symbol_id, day, time)
VALUES (?, ?, ?)
ON CONFLICT (symbol_id, day) DO UPDATE SET time = excluded.time WHERE time < excluded.time
"""


def mark(
    db: apsw.Connection,
    symbol: Symbol,
    what: str,
    imported: Sequence[int],
    spans: Iterable[Bucket],
    now: float,
) -> None:
    """Remember which days rows have come for by `now`; in the transaction that stores them.

    `imported` are those that `find_imported` told, `spans` all in which rows are new.
    """
    if now == float("inf"):
        return
    if imported:
        series = symbol.series(NUMBERS[what])
        db.executemany(MARK_IMPORTED, ((series, day) for day in imported))
    hour = int(now) - int(now) % HOUR
    days = {day for start, stop in spans for day in range(start - start % DAY, stop, DAY)}
    db.executemany(MARK_RECEIVED, ((symbol.id, day, hour) for day in sorted(days)))


def spans_of_days(times: Sequence[int]) -> list[Bucket]:
    """Return the UTC days in which ascending times lie, as spans."""
    return [Bucket(day, day + DAY) for day in days_of(times)]


IMPORTED = """
SELECT series, day
FROM imported_day
WHERE series >= :first AND series < :after
ORDER BY series, day
"""


class Imported(NamedTuple):
    """Days of a symbol and timeframe, or `ticks`, kept because they were old when they came."""

    symbol: str
    tf: str
    days: int
    first: int
    last: int


def list_imported(db: apsw.Connection, symbol: Symbol, now: int) -> list[Imported]:
    """Return the imported days of a symbol that are past their retention, counted from `now`.

    Days of which nothing is held any more do not count.
    """
    limits = cutoffs(read(db, symbol), now)
    marked = _read_marked(db, symbol)
    found = []
    for what in WHATS:
        old = [day for day in marked.get(NUMBERS[what], ()) if day < limits[what]]
        days = held_days(db, symbol, NUMBERS[what], old)
        if days:
            found.append(Imported(symbol.name, what, len(days), min(days), max(days)))
    return found


COUNT_IMPORTED = """
SELECT COUNT(*), MIN(day), MAX(day)
FROM imported_day
WHERE series = :series AND day < :limit
"""


def count_imported(db: apsw.Connection, symbol: Symbol, now: int) -> list[Imported]:
    """Return quickly what `list_imported` does, and days that hold nothing since the last prune."""
    limits = cutoffs(read(db, symbol), now)
    found = []
    for what in WHATS:
        wanted = {"series": symbol.series(NUMBERS[what]), "limit": limits[what]}
        days, first, last = store.value(db, COUNT_IMPORTED, wanted)
        if days:
            found.append(Imported(symbol.name, what, days, first, last))
    return found


def _read_marked(db: apsw.Connection, symbol: Symbol) -> dict[int, list[int]]:
    bounds = {"first": symbol.series(0), "after": symbol.series(SERIES_PER_SYMBOL)}
    marked: dict[int, list[int]] = {}
    for series, day in store.query(db, IMPORTED, bounds):
        marked.setdefault(series % SERIES_PER_SYMBOL, []).append(day)
    return marked


UNMARK = "DELETE FROM imported_day WHERE series = ? AND day = ?"


def list_idle_marks(db: apsw.Connection, symbol: Symbol) -> list[tuple[int, int]]:
    """Return the imported days, each with its series, of which nothing is held any more."""
    return [
        (symbol.series(number), day)
        for number, days in _read_marked(db, symbol).items()
        for day in sorted(set(days) - held_days(db, symbol, number, days))
    ]


def drop_idle_marks(db: apsw.Connection, symbol: Symbol) -> None:
    """Forget that days were imported of which nothing is held any more; inside a transaction."""
    db.executemany(UNMARK, list_idle_marks(db, symbol))
