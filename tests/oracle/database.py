"""The oracle of a whole database: its tables equal those that its own stored rows demand."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import apsw

from gfil.store.engine import connection
from gfil.timeframes import TIMEFRAMES
from tests.oracle.buckets import CHAIN, HOUR
from tests.oracle.candles import Candle, Key, is_close
from tests.oracle.symbol import Reference

DERIVED, STORED, SETTLED = 0, 1, 2
SERIES_PER_SYMBOL = 32
STATE = (  # without hourly_stat: requests are counted outside of their transactions
    *("store", "symbol", "symbol_clock", "candle", "superseded", "tick", "provisional"),
    *("api_key", "idempotency_record", "deleted_symbol", "change_log", "migrated_file"),
    *("retention_rule", "backdated_day", "received_day"),
)
State = dict[str, list[Any]]

SYMBOLS = "SELECT id, name, clock, price FROM symbol ORDER BY id"
CLOCKS = "SELECT clock FROM symbol_clock WHERE symbol_id = :id"
CANDLES = """
SELECT series % 32, time, extra_s, kind, open, high, low, close, volume
FROM candle WHERE series / 32 = :id ORDER BY series, time, extra_s
"""
SUPERSEDED = """
SELECT series % 32, time, extra_s, 0, open, high, low, close, volume
FROM superseded WHERE series / 32 = :id ORDER BY series, time, extra_s
"""
PROVISIONAL = "SELECT time FROM provisional WHERE series = :id * 32"
TICKS = """
SELECT time_msc, bid, ask, last, volume, flags
FROM tick WHERE symbol_id = :id ORDER BY time_msc, seq
"""


def read_state(db: apsw.Connection) -> State:
    """Return everything a database holds, in the order of its keys."""
    return {
        name: connection.query_all(db, f"SELECT * FROM {name}")  # noqa: S608 (names above)
        for name in STATE
    }


class SymbolRows(NamedTuple):
    """The candles of one symbol as the tables have them: candles by kind, and superseded ones."""

    candles: dict[Key, tuple[int, Candle]]
    superseded: dict[Key, Candle]


def read_rows(db: apsw.Connection, symbol_id: int) -> SymbolRows:
    """Return the candles of one symbol."""
    which = {"id": symbol_id}
    superseded = _by_key(connection.query_all(db, SUPERSEDED, which))
    return SymbolRows(
        _by_key(connection.query_all(db, CANDLES, which)),
        {key: values for key, (_, values) in superseded.items()},
    )


def _by_key(rows: list[tuple[Any, ...]]) -> dict[Key, tuple[int, Candle]]:
    found = {}
    for number, time, extra_s, kind, *values in rows:
        timeframe = TIMEFRAMES[number]
        key = (timeframe.name, time, time + timeframe.seconds + extra_s)
        found[key] = (kind, tuple(values))
    return found


def list_differences(rows: SymbolRows, reference: Reference) -> list[Any]:
    """Return each key whose row is not the one that the reference demands, with both rows."""
    candles, superseded = reference.tables()
    wanted = {
        key: (_kind(reference, key, is_stored), values)
        for key, (is_stored, values) in candles.items()
    }
    keys = rows.candles.keys() | wanted.keys()
    both = [(key, rows.candles.get(key), wanted.get(key)) for key in sorted(keys)]
    differences: list[Any] = [each for each in both if not _is_same(*each[1:])]
    keys = rows.superseded.keys() | superseded.keys()
    given_way = [(key, rows.superseded.get(key), superseded.get(key)) for key in sorted(keys)]
    return differences + [each for each in given_way if each[1] != each[2]]


def _kind(reference: Reference, key: Key, is_stored: bool) -> int:
    if key in reference.settled:
        return SETTLED
    return STORED if is_stored else DERIVED


def _is_same(found: tuple[int, Candle] | None, wanted: tuple[int, Candle] | None) -> bool:
    if found is None or wanted is None:
        return False
    return found[0] == wanted[0] and is_close(found[1], wanted[1])


def check_derived(db: apsw.Connection) -> None:
    """Assert DERIVED=BASE: each candle is what the rows sent for its symbol make it."""
    for symbol in connection.query_all(db, SYMBOLS):
        rows = read_rows(db, symbol[0])
        wrong = list_differences(rows, _reference(db, symbol, rows))
        named = [(symbol[1], *each) for each in wrong[:20]]
        assert wrong == [], f"{len(wrong)} candles are not what their base makes them: {named}"


def _reference(
    db: apsw.Connection, symbol: tuple[int, str, str, str | None], rows: SymbolRows
) -> Reference:
    symbol_id, _, clock, price = symbol
    which = {"id": symbol_id}
    reference = Reference()
    reference.clock, reference.price = clock, price
    reference.own = {name for (name,) in connection.query_all(db, CLOCKS, which)}
    reference.provisional = {time for (time,) in connection.query_all(db, PROVISIONAL, which)}
    reference.stored = dict(_of_kind(rows, STORED)) | rows.superseded
    reference.settled = dict(_of_kind(rows, SETTLED))
    for tick in connection.query_all(db, TICKS, which):
        reference.ticks.setdefault(tick[0] // 60_000 * 60, []).append(tick)
    return reference


def _of_kind(rows: SymbolRows, kind: int) -> Iterator[tuple[Key, Candle]]:
    return ((key, values) for key, (found, values) in rows.candles.items() if found == kind)


def check_logged(before: State, after: State, *, is_pruning: bool = False) -> None:
    """Assert that the change log names every candle that changed between two states.

    Each candle that was added, changed or removed lies in a logged span of its own series or of a
    finer materialised one, or the log resets its whole symbol. No entry is newer than the newest
    change. A new epoch resets every reader. Candles derived on clocks that start or stop being
    materialised change no answer. Pruning removes and settles candles without a log entry.
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
            logged = spans[symbol]
            assert any(_names(span, number, start, stop) for span in logged), (
                series,
                start,
                logged,
            )


def _clocks(state: State) -> list[Any]:
    return [[row[:3:2] for row in state["symbol"]], state["symbol_clock"]]


def _names(span: tuple[int, int, int], number: int, start: int, stop: int) -> bool:
    logged, first, after = span
    if first == after:
        return True
    is_below = TIMEFRAMES[logged].name in CHAIN and logged < number
    return (logged == number or is_below) and first < stop and start < after
