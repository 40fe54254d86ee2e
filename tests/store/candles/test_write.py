"""Write candles: which row wins, counts of outcomes, derived candles."""

import random
from pathlib import Path

import apsw
import pytest

from gfil import clocks
from gfil.store import symbol_settings, symbols
from gfil.store.candles import derive
from gfil.store.engine import connection
from tests.faults.sizes import LONG, SEED
from tests.oracle.buckets import CHAIN, SECONDS, bucket
from tests.oracle.candles import Candle
from tests.store.model import Row, everything, read, tables, write, write_ticks

DAY = 1_700_006_400 // 86400 * 86400  # 2023-11-15
HOUR, MINUTE = 3600, 60


def minutes(*candles: Candle, start: int = DAY) -> list[Row]:
    return [
        ((start + MINUTE * n, start + MINUTE * (n + 1)), candle) for n, candle in enumerate(candles)
    ]


def row(timeframe: str, values: Candle, start: int = DAY) -> Row:
    return (start, start + SECONDS[timeframe]), values


def counts(written: object) -> tuple[int, ...]:
    names = ("inserted", "updated", "unchanged", "kept", "duplicates")
    return tuple(getattr(written, name) for name in names)


def shown(db: apsw.Connection, timeframe: str, clock: str = "UTC") -> list[tuple[float, ...]]:
    return [candle[1:] for candle in read(db, "EURUSD", timeframe, clock).candles]


def test_m1_rolls_up_into_every_materialised_timeframe(db: apsw.Connection) -> None:
    """Compared with hand-written values: first, max, min, last, sum."""
    rows = minutes(
        (1.0, 1.5, 0.9, 1.4, 10.0),
        (1.4, 1.6, 1.2, 1.3, 0.0),
        (1.3, 1.3, 0.8, 1.1, 2.5),
        (1.1, 1.2, 1.1, 1.2, 7.0),
        (1.2, 1.2, 1.2, 1.2, 1.0),
        (1.3, 1.7, 1.3, 1.5, 3.0),  # in the second M5
    )
    assert counts(write(db, "EURUSD", "M1", rows)) == (6, 0, 0, 0, 0)
    first, second = (1.0, 1.6, 0.8, 1.2, 20.5), (1.3, 1.7, 1.3, 1.5, 3.0)
    both = (1.0, 1.7, 0.8, 1.5, 23.5)
    assert shown(db, "M5") == [first, second]
    for timeframe in ("M10", "M15", "M20", "M30", "H1", "H2", "H4", "H12", "D1", "W1", "MN1"):
        assert shown(db, timeframe) == [both], timeframe
    assert shown(db, "M2") == [
        (1.0, 1.6, 0.9, 1.3, 10.0),
        (1.3, 1.3, 0.8, 1.2, 9.5),
        (1.2, 1.7, 1.2, 1.5, 4.0),
    ]
    assert shown(db, "M3") == [(1.0, 1.6, 0.8, 1.1, 12.5), (1.1, 1.7, 1.1, 1.5, 11.0)]


def test_minutes_without_trades_have_no_candle(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [row("M1", (1, 1, 1, 1, 1)), row("M1", (2, 2, 2, 2, 1), DAY + 7200)])
    assert [candle[0] - DAY for candle in read(db, "EURUSD", "M1").candles] == [0, 7200]
    assert [candle[0] - DAY for candle in read(db, "EURUSD", "M30").candles] == [0, 7200]
    assert [candle[0] - DAY for candle in read(db, "EURUSD", "H2").candles] == [0, 7200]
    assert shown(db, "H4") == [(1, 2, 1, 2, 2)]


@pytest.mark.parametrize("timeframe", SECONDS)
def test_stored_candle_is_read_as_written(db: apsw.Connection, timeframe: str) -> None:
    within = bucket(timeframe, "UTC", DAY)
    values = (1.23456, 1.3, 1.1, 1.2, 12345678.25)
    assert write(db, "EURUSD", timeframe, [(within, values)]).inserted == 1
    assert read(db, "EURUSD", timeframe).candles == [(within[0], *values)]


@pytest.mark.parametrize("timeframe", ["M2", "M20", "H2", "H12", "W1", "MN1"])
def test_candle_of_unmaterialised_timeframe_affects_that_timeframe_only(
    db: apsw.Connection, timeframe: str
) -> None:
    write(db, "EURUSD", timeframe, [(bucket(timeframe, "UTC", DAY), (1, 2, 1, 2, 9))])
    assert {name for name in SECONDS if shown(db, name)} == {timeframe}


@pytest.mark.parametrize("timeframe", CHAIN)
def test_candle_of_materialised_timeframe_derives_coarser_ones(
    db: apsw.Connection, timeframe: str
) -> None:
    write(db, "EURUSD", timeframe, [row(timeframe, (1, 2, 1, 2, 9))])
    longer = {
        name
        for name, seconds in SECONDS.items()
        if seconds % SECONDS[timeframe] == 0
        and (name not in ("W1", "MN1") or timeframe in ("M1", "M5", "M15", "M30", "H1", "H4", "D1"))
    }
    assert {name for name in SECONDS if shown(db, name)} == longer


def test_stored_wins_over_derived_in_either_order(db: apsw.Connection) -> None:
    """Law 4: the stored candle is read, and coarser candles are derived from it."""
    hour = (1.0, 1.2, 0.7, 1.1, 5.0)  # not as saved while forming: lower than its minutes
    write(db, "EURUSD", "M1", minutes((1.0, 1.5, 0.9, 1.4, 10.0)))
    write(db, "EURUSD", "H1", [row("H1", hour)])
    write(db, "EURUSD", "H1", [row("H1", hour, DAY + HOUR)])
    write(db, "EURUSD", "M1", minutes((1.0, 1.5, 0.9, 1.4, 10.0), start=DAY + HOUR))
    assert shown(db, "H1") == [hour, hour]
    assert shown(db, "M30") == [(1.0, 1.5, 0.9, 1.4, 10.0)] * 2
    assert shown(db, "H4") == shown(db, "D1") == [(1.0, 1.2, 0.7, 1.1, 10.0)]


def test_later_stored_candle_corrects_earlier_one(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes((1.0, 1.5, 0.9, 1.4, 10.0)))
    written = write(db, "EURUSD", "M1", minutes((1.1, 1.6, 1.1, 1.2, 3.0)))
    assert counts(written) == (0, 1, 0, 0, 0)
    for timeframe in SECONDS:
        assert shown(db, timeframe) == [(1.1, 1.6, 1.1, 1.2, 3.0)]


STORED = (1.0, 1.5, 0.9, 1.2, 100.0)
# The candle that minutes make of the same bucket, and whether it proves STORED was forming.
FOLDS = [
    ((1.0, 1.5, 0.9, 1.2, 101.0), True),
    ((1.0, 1.5, 0.9, 1.4, 101.0), True),
    ((1.0, 1.6, 0.8, 1.2, 100.1), True),
    ((1.0, 1.5, 0.9, 1.2, 100.0), False),
    ((1.0, 1.6, 0.8, 1.2, 100.0), False),
    ((1.0, 1.6, 0.8, 1.2, 99.0), False),
    ((1.0, 1.5, 0.9, 1.2, 100.00000005), False),  # not over 1e-9 of it
    ((1.0, 1.5, 0.9, 1.2, 100.0000002), True),
    ((1.1, 1.6, 0.8, 1.2, 101.0), False),  # another open
    ((1.0, 1.4, 0.9, 1.2, 101.0), False),  # less high
    ((1.0, 1.5, 1.0, 1.2, 101.0), False),  # less low
    ((1.0, 1.5, 0.9, 1.2, 0.0), False),  # no volume: only a wider range proves it
    ((1.0, 1.6, 0.9, 1.2, 0.0), True),
    ((1.0, 1.5, 0.8, 1.2, 0.0), True),
    ((1.0, 1.6, 1.0, 1.2, 0.0), False),
]


@pytest.mark.parametrize(("fold", "gives_way"), FOLDS)
@pytest.mark.parametrize("first", ["H1", "M1"])
def test_stored_candle_is_superseded_by_minutes_that_prove_it_forming(
    db: apsw.Connection, fold: Candle, gives_way: bool, first: str
) -> None:
    """Law 4, in either order of arrival."""
    for timeframe in ("H1", "M1") if first == "H1" else ("M1", "H1"):
        write(db, "EURUSD", timeframe, [row(timeframe, STORED if timeframe == "H1" else fold)])
    assert shown(db, "H1") == [fold if gives_way else STORED]
    assert shown(db, "D1") == shown(db, "H1")


@pytest.mark.parametrize("fold", [(1.0, 1.6, 0.9, 1.2, 9.0), (1.0, 1.6, 0.9, 1.2, 0.0)])
def test_candle_without_volume_is_superseded_by_wider_range(
    db: apsw.Connection, fold: Candle
) -> None:
    write(db, "EURUSD", "H1", [row("H1", (1.0, 1.5, 0.9, 1.2, 0.0))])
    write(db, "EURUSD", "M1", [row("M1", fold)])
    assert shown(db, "H1") == [fold]


@pytest.mark.parametrize("timeframe", ["M2", "H2", "W1", "MN1"])
def test_proof_of_forming_holds_for_unmaterialised_timeframes(
    db: apsw.Connection, timeframe: str
) -> None:
    within = bucket(timeframe, "UTC", DAY)
    write(db, "EURUSD", timeframe, [(within, STORED)])
    write(db, "EURUSD", "M1", [row("M1", (1.0, 1.5, 0.9, 1.3, 99.0), within[0])])
    assert shown(db, timeframe) == [STORED]
    write(db, "EURUSD", "M1", [row("M1", (1.0, 1.5, 0.9, 1.3, 101.0), within[0])])
    assert shown(db, timeframe) == [(1.0, 1.5, 0.9, 1.3, 101.0)]


def test_superseded_candle_returns_when_minutes_are_deleted(db: apsw.Connection) -> None:
    write(db, "EURUSD", "H1", [row("H1", STORED)])
    write(db, "EURUSD", "M1", minutes((1.0, 1.5, 0.9, 1.4, 60.0), (1.4, 1.4, 1.0, 1.3, 60.0)))
    assert shown(db, "H1") == [(1.0, 1.5, 0.9, 1.3, 120.0)]
    correction = [row("M1", (1.2, 1.3, 1.0, 1.3, 55.0), DAY + MINUTE)]
    assert counts(write(db, "EURUSD", "M1", correction)) == (0, 1, 0, 0, 0)
    assert shown(db, "H1") == [(1.0, 1.5, 0.9, 1.3, 115.0)]
    write(db, "EURUSD", "M1", [row("M1", (1.1, 1.5, 0.9, 1.4, 60.0), DAY)])
    assert shown(db, "H1") == shown(db, "D1") == [STORED]


# A later stored candle, and whether STORED is protected from it.
LATER = [
    ((1.0, 1.5, 0.9, 1.3, 99.0), True),
    ((1.0, 1.4, 1.0, 1.1, 1.0), True),
    ((1.0, 1.5, 0.9, 1.3, 100.0), False),
    ((1.0, 1.5, 0.9, 1.2, 101.0), False),
    ((1.1, 1.5, 0.9, 1.2, 99.0), False),
    ((1.0, 1.6, 0.9, 1.2, 99.0), False),
    ((1.0, 1.5, 0.8, 1.2, 99.0), False),
    ((1.0, 1.4, 1.0, 1.1, 0.0), False),  # without volume nothing is protected
]


@pytest.mark.parametrize(("later", "is_protected"), LATER)
@pytest.mark.parametrize("timeframe", ["M1", "H1", "W1"])
def test_fuller_stored_candle_is_protected_from_later_forming_one(
    db: apsw.Connection, timeframe: str, later: Candle, is_protected: bool
) -> None:
    within = bucket(timeframe, "UTC", DAY)
    write(db, "EURUSD", timeframe, [(within, STORED)])
    written = write(db, "EURUSD", timeframe, [(within, later)])
    assert counts(written) == ((0, 0, 0, 1, 0) if is_protected else (0, 1, 0, 0, 0))
    assert len(written.warnings) == is_protected
    assert written.change == (0 if is_protected else 2)
    assert shown(db, timeframe) == [STORED if is_protected else later]


def test_fill_writes_only_missing_or_derived_buckets(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(STORED, STORED))
    rows = minutes((1.0, 2.0, 0.5, 1.2, 999.0), STORED, (3.0, 3.0, 3.0, 3.0, 1.0))
    assert counts(write(db, "EURUSD", "M1", rows, fill=True)) == (1, 0, 1, 1, 0)
    assert shown(db, "M1") == [STORED, STORED, (3.0, 3.0, 3.0, 3.0, 1.0)]
    hour = [row("H1", (0.5, 9.0, 0.5, 9.0, 1.0))]
    assert counts(write(db, "EURUSD", "H1", hour, fill=True)) == (0, 1, 0, 0, 0)
    assert shown(db, "H1") == [hour[0][1]]
    other = [row("H1", (0.6, 9.0, 0.5, 9.0, 1.0))]
    assert counts(write(db, "EURUSD", "H1", other, fill=True)) == (0, 0, 0, 1, 0)


@pytest.mark.parametrize(
    ("rows", "winner"),
    [
        ([(1, 1, 1, 1, 5), (2, 2, 2, 2, 3)], (1, 1, 1, 1, 5)),
        ([(2, 2, 2, 2, 3), (1, 1, 1, 1, 5)], (1, 1, 1, 1, 5)),
        ([(1, 1, 1, 1, 5), (2, 2, 2, 2, 5)], (2, 2, 2, 2, 5)),
        ([(1, 1, 1, 1, 0), (2, 2, 2, 2, 0), (3, 3, 3, 3, 0)], (3, 3, 3, 3, 0)),
        ([(1, 1, 1, 1, 5), (1, 1, 1, 1, 5)], (1, 1, 1, 1, 5)),
    ],
)
def test_larger_volume_wins_then_later_row_of_one_bucket(
    db: apsw.Connection, rows: list[Candle], winner: Candle
) -> None:
    written = write(db, "EURUSD", "M1", [row("M1", values) for values in rows])
    assert counts(written) == (1, 0, 0, 0, len(rows) - 1)
    assert shown(db, "M1") == [winner]


def test_repeated_rows_are_unchanged(db: apsw.Connection) -> None:
    """EXACTLY-ONCE, for current and for superseded rows."""
    rows = minutes((1.0, 1.5, 0.9, 1.4, 60.0), (1.4, 1.4, 1.0, 1.3, 60.0))
    hour = [row("H1", STORED)]
    assert write(db, "EURUSD", "M1", rows).change == 1
    assert counts(write(db, "EURUSD", "H1", hour)) == (0, 0, 0, 1, 0)
    before = tables(db), connection.read_state(db)
    for timeframe, again in (("M1", rows), ("M1", rows[::-1]), ("M1", rows[:1]), ("H1", hour)):
        for fill in (False, True):
            written = write(db, "EURUSD", timeframe, again, fill=fill)
            assert counts(written) == (0, 0, len(again), 0, 0)
            assert (written.change, written.warnings) == (0, [])
            assert (tables(db), connection.read_state(db)) == before


def test_empty_write_changes_nothing(db: apsw.Connection) -> None:
    assert counts(write(db, "EURUSD", "M1", [])) == (0, 0, 0, 0, 0)
    assert connection.read_state(db)[1] == 0


def random_history(rng: random.Random) -> list[tuple[str, str, Row]]:
    """Return rows of many timeframes on three clocks over ten days, each in its own bucket."""
    found: dict[tuple[str, int, int], tuple[str, str, Row]] = {}
    for _ in range(350):
        timeframe = rng.choice(("M1",) * 8 + CHAIN + ("M2", "H2", "W1"))
        clock = rng.choice(("UTC", "Europe/Athens", "+02:00"))
        time = DAY - 19 * 86400 + rng.choice((0, 1, 5, 9)) * 86400 + 60 * rng.randrange(400)
        within = bucket(timeframe, clock, time)
        prices = rng.choices((1.1, 1.2, 1.3), k=4)
        values = (prices[0], max(prices), min(prices), prices[3], float(rng.randrange(6)))
        found[timeframe, *within] = timeframe, clock, (within, values)
    return list(found.values())


def store_history(path: Path, sent: list[list[tuple[str, str, Row]]]) -> None:
    connection.create(path)
    db = connection.connect(path)
    for batch in sent:
        groups = sorted({(timeframe, clock) for timeframe, clock, _ in batch})
        for group in groups:
            rows = [one for timeframe, clock, one in batch if (timeframe, clock) == group]
            write(db, "EURUSD", group[0], rows, group[1])
    db.close()


@pytest.mark.parametrize("number", range(8 if LONG else 1))
def test_order_and_batches_do_not_change_tables(tmp_path: Path, number: int) -> None:
    """ORDER-FREE: at once, row by row, backward, shuffled, in batches, finest or coarsest first."""
    print(f"GFIL_SEED={SEED}")
    rng = random.Random(f"{SEED} {number}")
    history = random_history(rng)
    shuffled = rng.sample(history, len(history))
    by_length = sorted(history, key=lambda one: SECONDS[one[0]])
    ways = [
        [history],
        [[one] for one in history],
        [[one] for one in reversed(history)],
        [shuffled[at : at + 17] for at in range(0, len(shuffled), 17)],
        [[one] for one in by_length],
        [[one] for one in reversed(by_length)],
    ]
    made = []
    for place, way in enumerate(ways):
        store_history(tmp_path / f"{place}.db", way)
        made.append(everything(tmp_path / f"{place}.db"))
    candles, yielded = made[0]
    assert len(yielded) > 0
    assert {kind for _, _, _, kind, *_ in candles} == {derive.DERIVED, derive.STORED}
    assert [found == made[0] for found in made] == [True] * len(ways)


def test_bucket_may_start_before_first_valid_time(db: apsw.Connection) -> None:
    """The null date of some exports, on a clock with days that start before it."""
    first = -2208988800
    write(db, "EURUSD", "M1", [((first, first + 60), (1.0, 1.0, 1.0, 1.0, 1.0))])
    with connection.transaction(db):
        symbol = symbols.read(db, "EURUSD")
        symbol_settings.set_clock(db, symbol, clocks.parse("nyclose"))
    days = [((first - 10 * 3600, first + 14 * 3600), (1.0, 1.0, 1.0, 1.0, 1.0))]
    assert write(db, "XAUUSD", "D1", days, "-14:00").inserted == 1


def test_fractional_volumes_are_equal_within_a_billionth(db: apsw.Connection) -> None:
    """Prices and whole volumes must be equal."""
    within = (1_700_006_400, 1_700_006_460)
    write(db, "EURUSD", "M1", [(within, (1.0, 1.0, 1.0, 1.0, 0.1))])
    assert write(db, "EURUSD", "M1", [(within, (1.0, 1.0, 1.0, 1.0, 0.1 + 1e-12))]).unchanged == 1
    assert write(db, "EURUSD", "M1", [(within, (1.0, 1.0 + 1e-12, 1.0, 1.0, 0.1))]).updated == 1
    assert write(db, "EURUSD", "M1", [(within, (1.0, 1.0 + 1e-12, 1.0, 1.0, 0.2))]).updated == 1


def test_fill_writes_stored_m1_over_m1_of_ticks(db: apsw.Connection) -> None:
    """Even if a provisional M1 had been superseded by the ticks."""
    within = (1_700_006_400, 1_700_006_460)
    write(db, "EURUSD", "M1", [(within, (1.0, 1.0, 1.0, 1.0, 1.0))], now=within[0] + 1)
    moments = (within[0] * 1000, within[0] * 1000 + 1)
    write_ticks(db, "EURUSD", [(at, 1.0, 1.0, 0.0, 0.0, 6) for at in moments])
    assert read(db, "EURUSD", "M1").candles[0][5] == 2.0
    whole = (1.0, 2.0, 1.0, 1.0, 9.0)
    assert write(db, "EURUSD", "M1", [(within, whole)], fill=True, now=within[1]).updated == 1
    assert read(db, "EURUSD", "M1").candles == [(within[0], *whole)]
