"""What must be true of any database, read from its tables and folded in plain Python."""

from bisect import bisect_left
from collections import defaultdict
from typing import Any

import apsw

from gfil.store.engine import connection
from gfil.timeframes import TIMEFRAMES
from tests.store.model import close
from tests.store.reference import (
    CHAIN,
    HOUR,
    MINUTE,
    SECONDS,
    Bucket,
    Candle,
    Key,
    Reference,
    Tick,
    bucket,
    fold,
    fold_ticks,
    proves_forming,
)

DERIVED, STORED, SETTLED = 0, 1, 2
SERIES_PER_SYMBOL = 32
STATE = (  # not the hourly figures: they are counted beside the requests, not with them
    *("store", "symbol", "symbol_clock", "candle", "superseded", "tick", "provisional"),
    *("api_key", "idempotency_record", "deleted_symbol", "change_log", "migrated_file"),
    *("retention_rule", "backdated_day", "received_day"),
)
State = dict[str, list[Any]]


def read_state(db: apsw.Connection) -> State:
    """Everything a database holds, in the order of its keys."""
    return {
        name: connection.query_all(db, f"SELECT * FROM {name}")  # noqa: S608 (names above)
        for name in STATE
    }


SYMBOLS = "SELECT id, name, clock, price FROM symbol ORDER BY id"
OWN = "SELECT clock FROM symbol_clock WHERE symbol_id = :id"
CANDLES = """
SELECT series % 32, time, extra_s, kind, open, high, low, close, volume
FROM candle WHERE series / 32 = :id ORDER BY series, time, extra_s
"""
YIELDED = """
SELECT series % 32, time, extra_s, 0, open, high, low, close, volume
FROM superseded WHERE series / 32 = :id ORDER BY series, time, extra_s
"""
EARLY = "SELECT time FROM provisional WHERE series = :id * 32"
TICKS = """
SELECT time_msc, bid, ask, last, volume, flags
FROM tick WHERE symbol_id = :id ORDER BY time_msc, seq
"""


def fold_minutes(ticks: list[Tick], rule: str | None = None) -> dict[int, Candle]:
    """The M1 of ticks that stand in their order, by their time."""
    minutes: dict[int, list[Tick]] = defaultdict(list)
    for tick in ticks:
        minutes[tick[0] // 60_000 * 60].append(tick)
    folded = {time: fold_ticks(some, rule) for time, some in minutes.items()}
    return {time: candle for time, candle in folded.items() if candle}


def bucket_of(timeframe: str, clock: str, time: int) -> Bucket:
    """The bucket that holds an instant; on UTC there is a short way to it."""
    if clock != "UTC" or timeframe not in CHAIN:
        return bucket(timeframe, clock, time)
    start = time - time % SECONDS[timeframe]
    return start, start + SECONDS[timeframe]


class _Holding:
    # One symbol as its tables have it, and what each kept bucket should show of it.
    def __init__(self, db: apsw.Connection, symbol: tuple[int, str, str, str | None]):
        symbol_id, self.name, clock, rule = symbol
        which = {"id": symbol_id}
        self.candles = _by_key(connection.query_all(db, CANDLES, which))
        self.yielded = _by_key(connection.query_all(db, YIELDED, which))
        self.early = {time for (time,) in connection.query_all(db, EARLY, which)}
        self.from_ticks = fold_minutes(connection.query_all(db, TICKS, which), rule)
        self.laws = Reference()
        self.laws.clock = clock
        self.laws.own = {name for (name,) in connection.query_all(db, OWN, which)}
        self.starts: dict[str, list[Key]] = defaultdict(list)
        for key in sorted(self.candles):
            self.starts[key[0]].append(key)

    def wrongs(self) -> list[Any]:
        found = []
        folds: dict[Key, Candle] = {
            ("M1", time, time + MINUTE): candle for time, candle in self.from_ticks.items()
        }
        for timeframe in CHAIN[1:]:
            for clock in ["UTC"] if SECONDS[timeframe] <= HOUR else self.laws.kept_clocks():
                folds |= self._folds(timeframe, clock)
        for key in self.candles.keys() | self.yielded.keys() | folds.keys():
            if not self._is_right(key, folds.get(key)):
                found.append((self.name, key, self.candles.get(key), folds.get(key)))
        return found

    def _folds(self, timeframe: str, clock: str) -> dict[Key, Candle]:
        shorter = CHAIN[: CHAIN.index(timeframe)]
        starts = {key[1] for name in shorter for key in self.starts[name]}
        found = {}
        for within in sorted({bucket_of(timeframe, clock, start) for start in starts}):
            base = self.laws.base(timeframe, clock, within)
            candles = self._base_candles(*base, within) if base else []
            if candles:
                found[timeframe, *within] = fold(candles)
        return found

    def _base_candles(self, timeframe: str, clock: str, within: Bucket) -> list[Candle]:
        keys = self.starts[timeframe]
        first = bisect_left(keys, (timeframe, within[0]))
        after = bisect_left(keys, (timeframe, within[1]))
        return [
            self.candles[key][1]
            for key in keys[first:after]
            if bucket_of(timeframe, clock, key[1]) == key[1:]
        ]

    def _is_right(self, key: Key, folded: Candle | None) -> bool:
        kind, values = self.candles.get(key, (None, None))
        spare = self.yielded.get(key)
        yields = key[0] != "M1" or key[1] in self.early  # the broker's own M1 stays
        if spare is not None:
            gave_way = folded is not None and proves_forming(folded, spare[1])
            return kind == DERIVED and gave_way and close(values, folded)
        if folded is None:
            return kind in (STORED, SETTLED)
        if kind == STORED:
            return not (yields and proves_forming(folded, values))
        return kind == SETTLED or (kind == DERIVED and close(values, folded))


def _by_key(rows: list[tuple[Any, ...]]) -> dict[Key, tuple[int, Candle]]:
    found = {}
    for number, time, extra_s, kind, *values in rows:
        timeframe = TIMEFRAMES[number]
        key = (timeframe.name, time, time + timeframe.seconds + extra_s)
        found[key] = (kind, tuple(values))
    return found


def check_derived(db: apsw.Connection) -> None:
    """DERIVED=BASE: each kept candle is what the candles below it, or its ticks, make it."""
    for symbol in connection.query_all(db, SYMBOLS):
        wrongs = _Holding(db, symbol).wrongs()
        assert wrongs == [], f"{len(wrongs)} candles are not what their base makes them"


def check_logged(before: State, after: State, *, is_pruning: bool = False) -> None:
    """The change log and what it tells of are one: of one commit, or of several, to the next.

    Every candle that was made, changed or taken away lies in a span that was logged since, of its
    own series or of a shorter one of the chain, or all of its symbol is to be read anew; nothing is
    logged beyond the newest change. Where the epoch is another all is read anew anyway; and what is
    derived on clocks that begin or cease to be kept changes no answer. Pruning takes candles away
    and settles others, and tells nobody.
    """
    ((_, epoch, newest),) = after["store"]
    assert all(change <= newest for change, *_ in after["change_log"]), "logged ahead of its change"
    ((_, epoch_before, since),) = before["store"]
    if epoch != epoch_before:
        return
    known = {row[0] for row in after["symbol"]}
    kept = _clocks(before) == _clocks(after)
    spans = defaultdict(list)
    for change, series, start, stop in after["change_log"]:
        if change > since:
            spans[series // SERIES_PER_SYMBOL].append((series % SERIES_PER_SYMBOL, start, stop))
    touched = set(before["candle"]) ^ set(after["candle"])
    if is_pruning:
        derived = {row[:-1] for row in before["candle"] if row[-1] == DERIVED}
        made = touched & set(after["candle"])
        touched = {row for row in made if row[-1] != SETTLED or row[:-1] not in derived}
    for series, start, extra_s, *_, kind in touched:
        symbol, number = divmod(series, SERIES_PER_SYMBOL)
        timeframe = TIMEFRAMES[number]
        stop = start + timeframe.seconds + extra_s
        if symbol in known and (kept or kind != DERIVED or timeframe.seconds <= HOUR):
            told = spans[symbol]
            assert any(_tells(span, number, start, stop) for span in told), (series, start, told)


def _clocks(state: State) -> list[Any]:
    return [[row[:3:2] for row in state["symbol"]], state["symbol_clock"]]


def _tells(span: tuple[int, int, int], number: int, start: int, stop: int) -> bool:
    logged, first, after = span
    if first == after:
        return True
    is_below = TIMEFRAMES[logged].name in CHAIN and logged < number
    return (logged == number or is_below) and first < stop and start < after
