"""Ticks: write, roll up into M1, provisional M1, pages, deletion."""

import random
import time
from itertools import pairwise

import apsw
import pytest

from gfil import timeframes
from gfil.store import symbol_settings, symbols
from gfil.store.candles import ticks
from gfil.store.candles.ticks import TickPosition, TickWriteResult
from gfil.store.engine import connection
from gfil.store.removal import delete_range, sweep
from tests.oracle.candles import Tick, fold_ticks
from tests.store.model import read, tables, write, write_ticks

START = 1_700_006_400  # a minute, an hour, four hours
MSC = START * 1000
TICKS: list[Tick] = [
    (MSC + 100, 1.5, 1.6, 0.0, 0.0, 6),
    (MSC + 100, 1.4, 1.6, 0.0, 0.0, 2),
    (MSC + 30_000, 1.7, 1.8, 0.0, 0.0, 6),
    (MSC + 59_999, 1.6, 1.8, 0.0, 0.0, 2),
    (MSC + 60_000, 1.8, 1.9, 0.0, 0.0, 6),
]
MINUTES = [(START, 1.5, 1.7, 1.4, 1.6, 4.0), (START + 60, 1.8, 1.8, 1.8, 1.8, 1.0)]


def minutes(db: apsw.Connection) -> list[tuple[float, ...]]:
    return read(db, "EURUSD", "M1").candles


def all_ticks(db: apsw.Connection) -> list[Tick]:
    return ticks.read_ticks(db, symbols.read(db, "EURUSD"), limit=10**6).ticks


def test_ticks_derive_m1_and_coarser_candles(db: apsw.Connection) -> None:
    assert write_ticks(db, "EURUSD", TICKS) == TickWriteResult(5, 0, [], 1)
    assert all_ticks(db) == TICKS
    assert minutes(db) == MINUTES
    for timeframe in ("M5", "M15", "M30", "H1", "H4"):
        assert read(db, "EURUSD", timeframe).candles == [(START, 1.5, 1.8, 1.4, 1.8, 5.0)]
    symbol = symbols.read(db, "EURUSD")
    assert (symbol.digits_seen, symbol.change) == (1, 1)


def test_repeated_ticks_change_nothing(db: apsw.Connection) -> None:
    write_ticks(db, "EURUSD", TICKS)
    before = tables(db)
    assert write_ticks(db, "EURUSD", TICKS) == TickWriteResult(0, 5, [], 0)
    assert write_ticks(db, "EURUSD", [TICKS[1], TICKS[1]]) == TickWriteResult(0, 2, [], 0)
    assert write_ticks(db, "EURUSD", []) == TickWriteResult(0, 0, [], 0)
    assert (tables(db), all_ticks(db), connection.read_state(db)[1]) == (before, TICKS, 1)


def test_ticks_with_any_different_field_are_distinct(db: apsw.Connection) -> None:
    """Different ticks of one millisecond keep their order of arrival."""
    same = (MSC, 1.5, 1.6, 1.55, 2.0, 6)
    different = [
        (*same[:field], same[field] + 1, *same[field + 1 :]) for field in range(1, len(same))
    ]
    given = [same, *different, same]
    assert write_ticks(db, "EURUSD", given) == TickWriteResult(6, 1, [], 1)
    assert all_ticks(db) == [same, *different]
    assert write_ticks(db, "EURUSD", [(MSC, 9.0, 9.0, 0.0, 0.0, 6), same]) == TickWriteResult(
        1, 1, [], 2
    )
    assert all_ticks(db) == [same, *different, (MSC, 9.0, 9.0, 0.0, 0.0, 6)]
    assert minutes(db)[0][4] == 9.0


def test_order_of_arrival_does_not_change_tables(db: apsw.Connection) -> None:
    """If ticks of the same millisecond keep their order."""
    write_ticks(db, "EURUSD", TICKS)
    for order in ([4, 3, 2, 0, 1], [2, 0, 1, 4, 3], [0, 1, 4, 2, 3]):
        name = f"EURUSD{''.join(map(str, order))}"
        for place in order if order[0] == 4 else ():
            write_ticks(db, name, [TICKS[place]])
        write_ticks(db, name, [TICKS[place] for place in order])
        assert read(db, name, "M1").candles == MINUTES
        assert read(db, name, "H1").candles == read(db, "EURUSD", "H1").candles


@pytest.mark.parametrize(
    ("price", "tick", "worth"),
    [
        (None, (1.1, 1.3, 1.2), 1.2),
        (None, (1.1, 1.3, 0.0), 1.1),
        (None, (0.0, 1.3, 0.0), None),
        (None, (-5.0, 1.3, 0.0), -5.0),
        ("bid", (1.1, 1.3, 1.2), 1.1),
        ("ask", (1.1, 1.3, 1.2), 1.3),
        ("mid", (1.0, 1.5, 1.2), 1.25),
        ("mid", (1.0, 0.0, 1.2), None),
        ("last", (1.1, 1.3, 1.2), 1.2),
        ("last", (1.1, 1.3, 0.0), None),
    ],
)
def test_price_setting_selects_price_of_tick(
    db: apsw.Connection,
    price: str | None,
    tick: tuple[float, float, float],
    worth: float | None,
) -> None:
    """Set before or after the tick; a tick without that price makes no candle."""
    write_ticks(db, "EURUSD", [])
    for name in ("EURUSD", "LATER"):
        with connection.transaction(db):
            symbol = symbols.ensure(db, name)
            if name == "EURUSD":
                symbol_settings.set_price(db, symbol, price)
        write_ticks(db, name, [(MSC, *tick, 0.0, 6)])
    with connection.transaction(db):
        symbol_settings.set_price(db, symbols.read(db, "LATER"), price)
    wanted = [(START, worth, worth, worth, worth, 1.0)] if worth else []
    assert read(db, "EURUSD", "M1").candles == read(db, "LATER", "M1").candles == wanted
    assert read(db, "LATER", "H1").candles == [(START, *row[1:]) for row in wanted]


def test_m1_volume_is_sum_of_volumes_or_number_of_ticks(db: apsw.Connection) -> None:
    write_ticks(db, "EURUSD", [(MSC, 1.0, 1.0, 0.0, 0.0, 6), (MSC + 1, 1.0, 1.0, 0.0, 0.0, 6)])
    assert minutes(db) == [(START, 1.0, 1.0, 1.0, 1.0, 2.0)]
    write_ticks(db, "EURUSD", [(MSC + 2, 1.0, 1.0, 0.0, 0.5, 6)])
    assert minutes(db) == [(START, 1.0, 1.0, 1.0, 1.0, 0.5)]


BROKERS = (1.5, 1.75, 1.4, 1.6, 9.0)
FORMING = (1.5, 1.5, 1.4, 1.4, 2.0)
M1 = (START, START + 60)


def test_stored_m1_replaces_m1_of_ticks(db: apsw.Connection) -> None:
    """Written before or after the ticks, also with less volume."""
    write_ticks(db, "EURUSD", TICKS)
    assert write(db, "EURUSD", "M1", [(M1, FORMING)], now=START + 61).updated == 1
    assert minutes(db)[0] == (START, *FORMING)
    write(db, "OTHER", "M1", [(M1, FORMING)])
    write_ticks(db, "OTHER", TICKS)
    assert read(db, "OTHER", "M1").candles[0] == (START, *FORMING)
    assert read(db, "OTHER", "M5").candles == read(db, "EURUSD", "M5").candles


def test_provisional_m1_gives_way_to_ticks(db: apsw.Connection) -> None:
    """If ticks prove it was forming. Sent again after the end of the minute, it stays."""
    write(db, "EURUSD", "M1", [(M1, FORMING)], now=START + 30)
    write_ticks(db, "EURUSD", TICKS[:2])
    assert minutes(db) == [(START, *FORMING)]  # they prove nothing yet
    write_ticks(db, "EURUSD", TICKS)
    assert minutes(db) == MINUTES
    assert write(db, "EURUSD", "M1", [(M1, FORMING)], now=START + 45).unchanged == 1
    assert minutes(db) == MINUTES
    again = write(db, "EURUSD", "M1", [(M1, FORMING)], now=START + 60)
    assert (again.updated, again.change) == (1, 4)
    assert minutes(db)[0] == (START, *FORMING)
    assert write(db, "EURUSD", "M1", [(M1, FORMING)], now=START + 60).unchanged == 1


def test_provisional_m1_corrected_later_stays(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [(M1, FORMING)], now=START + 30)
    write(db, "EURUSD", "M1", [(M1, BROKERS)], now=START + 61)
    write_ticks(db, "EURUSD", [*TICKS, (MSC + 5, 2.0, 2.0, 0.0, 99.0, 6)])
    assert minutes(db)[0] == (START, *BROKERS)


def settle(db: apsw.Connection, timeframe: str) -> None:
    """Settle a candle, as prune does."""
    with connection.transaction(db):
        series = symbols.read(db, "EURUSD").series(timeframes.parse(timeframe).number)
        db.execute("UPDATE candle SET kind = 2 WHERE series = ? AND kind = 0", (series,))


@pytest.mark.parametrize("timeframe", ["M1", "M5", "H1", "H4", "D1"])
def test_tick_of_settled_candle_is_refused(db: apsw.Connection, timeframe: str) -> None:
    """If its M1 or a coarser candle is settled; other ticks are stored."""
    write_ticks(db, "EURUSD", TICKS)
    settle(db, timeframe)
    before = tables(db)
    late = [(MSC + 86_400_000, 1.0, 1.0, 0.0, 0.0, 6), (MSC + 20, 9.0, 9.0, 0.0, 0.0, 6)]
    assert write_ticks(db, "EURUSD", late[::-1]) == TickWriteResult(1, 0, [0], 2)
    assert minutes(db)[:-1] == MINUTES
    assert set(before[0]) < set(tables(db)[0])
    assert write_ticks(db, "EURUSD", late) == TickWriteResult(0, 1, [1], 0)


def test_tick_pages_of_any_size_return_all_ticks(db: apsw.Connection) -> None:
    rng = random.Random(5)
    given = sorted(
        {(MSC + rng.randrange(300), rng.choice((1.0, 2.0)), 1.5, 0.0, 0.0, 6) for _ in range(200)},
        key=lambda tick: tick[0],
    )
    write_ticks(db, "EURUSD", given)
    symbol = symbols.read(db, "EURUSD")
    for limit in (1, 7, len(given) - 1, len(given), 1000):
        found: list[Tick] = []
        place: TickPosition | None = (0, 0)
        while place is not None:
            page = ticks.read_ticks(db, symbol, place, (MSC + 250, 0), limit=limit)
            assert len(page.ticks) == limit or page.next is None
            found, place = found + page.ticks, page.next
        assert found == [tick for tick in given if tick[0] < MSC + 250]
        begin = ticks.position_before(db, symbol, (MSC + 250, 0), limit)
        last = ticks.read_ticks(db, symbol, begin or ticks.START, (MSC + 250, 0), limit=10**6).ticks
        assert last == found[-limit:]
        assert (begin is None) == (limit > len(found))
    assert ticks.read_last(db, symbol) == given[-1]


def test_delete_range_removes_ticks_and_their_candles(db: apsw.Connection) -> None:
    """The remaining ticks of a partly deleted minute make its new candle."""
    write_ticks(db, "EURUSD", TICKS)
    write(db, "EURUSD", "M1", [((START + 60, START + 120), BROKERS)], now=START + 70)
    symbol = symbols.read(db, "EURUSD")
    done = delete_range.delete_range(db, symbol, START + 30, START + 120)
    assert done == (1, 3, 3, [])
    assert all_ticks(db) == TICKS[:2]
    assert minutes(db) == [(START, 1.5, 1.5, 1.4, 1.4, 2.0)]
    assert read(db, "EURUSD", "D1").candles[0][1:] == (1.5, 1.5, 1.4, 1.4, 2.0)
    assert connection.query_all(db, "SELECT * FROM provisional") == []
    assert delete_range.delete_range(db, symbol, START, START + 1) == (0, 2, 4, [])
    assert tables(db) == ([], [])


def test_deleted_stored_m1_is_derived_from_ticks(db: apsw.Connection) -> None:
    write_ticks(db, "EURUSD", TICKS)
    write(db, "EURUSD", "M1", [(M1, BROKERS)])
    symbol = symbols.read(db, "EURUSD")
    assert delete_range.delete_range(db, symbol, START, START + 60, timeframes.M1).deleted == 1
    assert minutes(db) == MINUTES
    assert read(db, "EURUSD", "H1").candles == [(START, 1.5, 1.8, 1.4, 1.8, 5.0)]


def test_ticks_are_deleted_and_swept_in_batches(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete_range, "SLICE_TICKS", 7)
    given = [(MSC + 10_000 * place, 1.0 + place, 9.0, 0.0, 0.0, 6) for place in range(60)]
    write_ticks(db, "EURUSD", given)
    symbol = symbols.read(db, "EURUSD")
    assert delete_range.delete_range(db, symbol, START + 100, START + 500).ticks == 40
    left = [tick for tick in given if not 100 <= tick[0] // 1000 - START < 500]
    assert all_ticks(db) == left
    for start, *values in minutes(db):
        own = [tick for tick in left if tick[0] // 60_000 * 60 == start]
        assert tuple(values) == fold_ticks(own)
    with connection.transaction(db):
        symbols.delete(db, symbol)
    sweep.sweep_all(db, rows=7)
    for table in ("tick", "candle", "superseded", "provisional", "deleted_symbol"):
        assert connection.query_all(db, f"SELECT * FROM {table}") == []  # noqa: S608 (names of ours)


def test_random_ticks_agree_with_reference(db: apsw.Connection) -> None:
    rng = random.Random(11)
    given: list[Tick] = []
    time = MSC
    for _ in range(3000):
        time += rng.choice((0, 1, 250, 900, 40_000))
        given.append((time, rng.randrange(90, 110) / 100, 1.2, 0.0, float(rng.random() < 0.01), 6))
    for start in range(0, len(given), 97):
        write_ticks(db, "EURUSD", given[start : start + 97])
    stored = all_ticks(db)
    assert stored == list(dict.fromkeys(given))
    assert all(before[0] <= after[0] for before, after in pairwise(stored))
    by_minute: dict[int, list[Tick]] = {}
    for tick in stored:
        by_minute.setdefault(tick[0] // 60_000 * 60, []).append(tick)
    wanted = [(minute, *(fold_ticks(own) or ())) for minute, own in by_minute.items()]
    assert minutes(db) == wanted


def test_many_ticks_of_one_millisecond_are_not_slower(db: apsw.Connection) -> None:
    """Such as timestamps without seconds: each tick is compared with the others."""
    given = [(MSC, 1.0 + number / 2**20, 9.0, 0.0, 0.0, 6) for number in range(100_000)]
    began = time.thread_time()  # CPU time: what else the machine does is not in it
    assert write_ticks(db, "EURUSD", given)[:2] == (100_000, 0)
    assert write_ticks(db, "EURUSD", given)[:2] == (0, 100_000)
    assert time.thread_time() - began < 30  # it was an hour


def test_volume_sum_may_exceed_limit_of_one_row(db: apsw.Connection) -> None:
    write_ticks(db, "EURUSD", [(MSC + n, 1.0, 1.0, 0.0, 9e14, 6) for n in range(1200)])
    assert minutes(db) == [(START, 1.0, 1.0, 1.0, 1.0, 1.08e18)]
    assert read(db, "EURUSD", "D1").candles[0][5] == 1.08e18
