"""Roll up (aggregate) candles: bases, tiles, the query, and the proof of forming."""

import random

import apsw
import pytest

from gfil import clocks, timeframes
from gfil.store import symbols
from gfil.store.candles import rollup
from gfil.store.candles.rollup import Ohlcv, Tile
from gfil.store.engine import connection
from tests.oracle.buckets import SECONDS, bucket
from tests.oracle.symbol import Reference
from tests.store.model import read, write

DAY = 1_700_006_400 // 86400 * 86400
HOUR, MINUTE = 3600, 60
ATHENS = "Europe/Athens"


@pytest.mark.parametrize(
    ("timeframe", "clock", "kept", "wanted"),
    [
        ("M1", "UTC", ["UTC"], []),
        ("M5", "UTC", ["UTC"], ["M1 UTC"]),
        ("M10", ATHENS, ["UTC"], ["M5 UTC", "M1 UTC"]),
        ("H1", "UTC", ["UTC", ATHENS], ["M30 UTC", "M15 UTC", "M5 UTC", "M1 UTC"]),
        (
            "D1",
            ATHENS,
            ["UTC", ATHENS],
            ["H4 Europe/Athens", "H4 UTC", "H1 UTC", "M30 UTC", "M15 UTC", "M5 UTC", "M1 UTC"],
        ),
    ],
)
def test_bases_are_ordered_coarsest_first(
    timeframe: str, clock: str, kept: list[str], wanted: list[str]
) -> None:
    found = rollup.bases(
        timeframes.parse(timeframe), clocks.parse(clock), [clocks.parse(name) for name in kept]
    )
    assert [f"{base.name} {base_clock.name}" for base, base_clock in found] == wanted


@pytest.mark.parametrize(
    ("timeframe", "clock", "kept", "time", "base"),
    [
        ("M2", "UTC", [], "2024-01-10T00:00", "M1"),
        ("M20", "UTC", [], "2024-01-10T00:00", "M5"),
        ("H3", "UTC", [], "2024-01-10T00:00", "H1"),
        ("H8", "UTC", [], "2024-01-10T00:00", "H4"),
        ("H12", "UTC", [], "2024-01-10T00:00", "H4"),
        ("W1", "UTC", [], "2024-01-10T00:00", "D1"),
        ("MN1", "UTC", [], "2024-01-10T00:00", "D1"),
        ("H4", "+05:30", [], "2024-01-10T00:00", "M30"),
        ("H4", "Asia/Kathmandu", [], "2024-01-10T00:00", "M15"),
        ("M20", "+05:30", [], "2024-01-10T00:00", "M5"),
        ("H1", "+05:30", [], "2024-01-10T00:00", "M30"),
        ("D1", "+04:00", [], "2024-01-10T00:00", "H4"),
        ("D1", ATHENS, [], "2024-01-10T00:00", "H1"),
        ("D1", ATHENS, [ATHENS], "2024-01-10T00:00", "H4"),
        ("D1", ATHENS, [ATHENS], "2024-03-31T00:00", "H4"),
        ("W1", ATHENS, [ATHENS], "2024-03-31T00:00", "D1"),
        ("W1", ATHENS, [], "2024-03-31T00:00", "H1"),
        ("W1", "EET", [ATHENS], "2024-03-31T00:00", "D1"),
        ("W1", "+02:00", [ATHENS], "2024-01-10T00:00", "D1"),
        ("W1", "+02:00", [ATHENS], "2024-07-10T00:00", "H1"),
        ("MN1", "Europe/London", [], "2024-01-10T00:00", "D1"),
        ("MN1", "Europe/London", [], "2024-03-10T00:00", "H1"),
        ("MN1", "America/Sao_Paulo", [], "2018-11-10T12:00", "H1"),
    ],
)
def test_plan_uses_coarsest_base_that_fits(
    timeframe: str, clock: str, kept: list[str], time: str, base: str
) -> None:
    parsed, target = clocks.parse(clock), timeframes.parse(timeframe)
    within = parsed.bucket(target, clocks.parse_instant(time))
    known = [clocks.parse(name) for name in ["UTC", *kept]]
    plan = rollup.plan_tiles(target, parsed, known, parsed.runs(target, *within))
    assert [found.name for found in plan] == [base]
    tiles = [tile for (tiles,) in [[*plan.values()]] for tile in tiles]
    assert (tiles[0].start, tiles[-1].stop) == within
    assert all(tile.bucket == within.start for tile in tiles)
    reference = Reference()
    reference.own = set(kept)
    assert reference.base(timeframe, clock, tuple(within))[0] == base


def test_equal_buckets_share_one_tile() -> None:
    """A year of H2 is one tile, not 4 380."""
    h2 = timeframes.H2
    year = clocks.UTC.runs(h2, DAY, DAY + 365 * 86400)
    plan = rollup.plan_tiles(h2, clocks.UTC, [clocks.UTC], year)
    assert plan == {timeframes.H1: [Tile(DAY, DAY + 365 * 86400, DAY, 2 * HOUR, HOUR)]}


def test_day_with_clock_change_has_tiles_of_two_lengths() -> None:
    athens = clocks.parse(ATHENS)
    noon = clocks.parse_instant("2024-10-27T12:00")
    start, stop = athens.bucket(timeframes.D1, noon)
    runs = athens.runs(timeframes.D1, start, stop)
    plan = rollup.plan_tiles(timeframes.D1, athens, [clocks.UTC, athens], runs)
    length = 25 * HOUR
    assert plan == {
        timeframes.H4: [
            Tile(start, start + 5 * HOUR, start, length, 5 * HOUR),
            Tile(start + 5 * HOUR, stop, start, length, 4 * HOUR),
        ]
    }


def test_day_of_25_hours_rolls_up_all_its_hours(db: apsw.Connection) -> None:
    start, stop = bucket("D1", ATHENS, clocks.parse_instant("2024-10-27T12:00"))
    rows = [
        ((time, time + HOUR), (float(n), n + 1.0, n - 1.0, n + 0.5, 2.0))
        for n, time in enumerate(range(start - HOUR, stop + HOUR, HOUR))
    ]
    write(db, "XAUUSD", "H1", rows)
    days = read(db, "XAUUSD", "D1", ATHENS).candles
    assert days[1] == (start, 1.0, 26.0, 0.0, 25.5, 50.0)
    assert [day[5] for day in days] == [2, 50, 2]


def test_roll_up_returns_one_row_for_bucket_of_several_tiles(db: apsw.Connection) -> None:
    """Each row is a whole bucket, not a tile or a partial sum."""
    rows = [((DAY + HOUR * n, DAY + HOUR * n + HOUR), (n, n + 1, n - 1, n, 1)) for n in range(4)]
    write(db, "EURUSD", "H1", rows)
    h1, h4 = timeframes.H1, timeframes.H4
    tiles = [
        Tile(time, time + HOUR, DAY, 4 * HOUR, HOUR) for time in range(DAY, DAY + 4 * HOUR, HOUR)
    ]
    symbol = symbols.read(db, "EURUSD")
    found = rollup.roll_up(db, symbol, h4, {h1: tiles})
    bindings = {"series": symbol.series(h1.number), "base_s": HOUR, "target_s": 4 * HOUR}
    bindings["is_mixed"] = True
    wanted = (0, 4, -1, 3, 4)
    assert found == {(DAY, 0): wanted}
    assert connection.query_all(db, rollup.ROLL_UP, bindings) == [(DAY, 0, *wanted)]


def test_roll_up_of_nothing_is_empty(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [])
    symbol = symbols.read(db, "EURUSD")
    plan = {timeframes.M1: [Tile(DAY, DAY + HOUR, DAY, HOUR, MINUTE)]}
    assert rollup.roll_up(db, symbol, timeframes.H1, plan) == {}
    assert rollup.roll_up(db, symbol, timeframes.H1, {}) == {}


@pytest.mark.parametrize("seed", range(3))
def test_roll_up_has_exact_prices_and_near_volume(db: apsw.Connection, seed: int) -> None:
    """A thousand fractional volumes of very different size."""
    rng = random.Random(seed)
    rows = []
    for number in range(1440):
        prices = [rng.uniform(1.0, 2.0) for _ in range(4)]
        values = (
            prices[0],
            max(prices),
            min(prices),
            prices[3],
            rng.random() * 10 ** rng.choice((0, 3, 9)),
        )
        rows.append(((DAY + 60 * number, DAY + 60 * number + 60), values))
    write(db, "EURUSD", "M1", rows)
    folded = [values for _, values in rows]
    wanted = (folded[0][0], max(v[1] for v in folded), min(v[2] for v in folded), folded[-1][3])
    for timeframe in ("D1", "W1", "MN1"):
        ((_, *found, volume),) = read(db, "EURUSD", timeframe).candles
        assert tuple(found) == wanted
        assert volume == pytest.approx(sum(v[4] for v in folded), rel=1e-9)


CANDLE = Ohlcv(1.0, 1.5, 0.9, 1.2, 100.0)


@pytest.mark.parametrize(
    ("fuller", "proves"),
    [
        (CANDLE, False),
        (CANDLE._replace(volume=101.0), True),
        (CANDLE._replace(volume=101.0, close=9.0), True),
        (CANDLE._replace(volume=101.0, high=2.0, low=0.1), True),
        (CANDLE._replace(volume=100.0 + 9e-8), False),
        (CANDLE._replace(volume=100.0 + 2e-7), True),
        (CANDLE._replace(volume=99.0, high=2.0), False),
        (CANDLE._replace(volume=101.0, open=1.1), False),
        (CANDLE._replace(volume=101.0, high=1.4), False),
        (CANDLE._replace(volume=101.0, low=1.0), False),
        (CANDLE._replace(volume=0.0), False),
        (CANDLE._replace(volume=0.0, high=1.6), True),
        (CANDLE._replace(volume=0.0, low=0.8), True),
        (CANDLE._replace(volume=0.0, low=0.8, high=1.4), False),
    ],
)
def test_proves_forming_table(fuller: Ohlcv, proves: bool) -> None:
    assert rollup.proves_forming(fuller, CANDLE) == proves


def test_proves_forming_without_volume_needs_wider_range() -> None:
    silent = CANDLE._replace(volume=0.0)
    assert not rollup.proves_forming(CANDLE, silent)
    assert rollup.proves_forming(CANDLE._replace(high=1.6), silent)


def test_proves_forming_is_irreflexive_and_asymmetric() -> None:
    rng = random.Random(5)
    for _ in range(5000):
        pair = []
        for _ in range(2):
            prices = rng.choices((1.0, 1.1, 1.2), k=4)
            values = prices[0], max(prices), min(prices), prices[3], float(rng.randrange(3))
            pair.append(Ohlcv(*values))
        assert not rollup.proves_forming(pair[0], pair[0])
        assert not (rollup.proves_forming(*pair) and rollup.proves_forming(*pair[::-1]))


def test_every_timeframe_can_be_rolled_up(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [((DAY, DAY + 60), (1, 2, 1, 2, 3))])
    for timeframe in SECONDS:
        assert [row[1:] for row in read(db, "EURUSD", timeframe).candles] == [(1, 2, 1, 2, 3)]
