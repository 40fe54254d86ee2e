"""The store compared with broker files: derived candles equal the published ones.

Each test runs with the samples of tests/data/brokers, and with the whole files where they are.
"""

import gzip
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

import apsw
import pytest

from gfil import clocks, timeframes
from gfil.store import symbol_settings, symbols
from gfil.store.engine import connection
from tests.conftest import SAMPLES
from tests.faults.sizes import LONG, SEED
from tests.oracle.buckets import CHAIN, SECONDS, bucket
from tests.oracle.candles import Candle, fold
from tests.store.model import Row, everything, read, tables, write

ATHENS, NEW_YORK = "Europe/Athens", "America/New_York+07:00"
HOUR, DAY = 3600, 86400
Stamped = tuple[datetime, Candle]  # as the file has it: naive, on the wall of its clock


@cache
def lines(path: Path, since: str = "") -> list[Stamped]:
    """Parse tab or comma separated text: one or two time columns, then five numbers."""
    rows = []
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        cells = line.split("\t" if "\t" in line else ",")
        if cells[0][0].isdigit() and line >= since:
            dotted = "." in cells[0]
            stamp = cells[0].replace(".", "-") + "T" + cells[1] if dotted else cells[0]
            numbers = [float(cell) for cell in cells[1 + dotted : 6 + dotted]]
            rows.append((datetime.fromisoformat(stamp), tuple(numbers)))
    return rows


def utc(stamp: datetime, clock: str) -> int:
    """Return the instant of a wall time."""
    zone, shift = (ZoneInfo("America/New_York"), 7) if clock == NEW_YORK else (ZoneInfo(clock), 0)
    return round((stamp - timedelta(hours=shift)).replace(tzinfo=zone).timestamp())


def rows_of(path: Path, timeframe: str, clock: str = "UTC", since: str = "") -> list[Row]:
    """Return rows with canonical buckets."""
    parsed, target = clocks.parse(clock), timeframes.parse(timeframe)
    return [
        (tuple(parsed.bucket(target, utc(stamp, clock))), values)
        for stamp, values in lines(path, since)
    ]


@pytest.fixture(scope="module")
def eurusd(shared_data: Path) -> dict[str, list[Row]]:
    """The broker's M1 to D1 of EURUSD in UTC: the last months, or all."""
    folder = shared_data / "eurusd_utc_multitf"
    files = {name: f"EURUSD{SECONDS[name] // 60}.csv.gz" for name in CHAIN}
    since = "" if LONG else "2021-01-15"
    return {name: rows_of(folder / file, name, since=since) for name, file in files.items()}


@pytest.fixture(scope="module")
def eurusd_from_m1(
    eurusd: dict[str, list[Row]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[apsw.Connection]:
    """A database with M1 only."""
    path = tmp_path_factory.mktemp("eurusd") / "gfil.db"
    connection.create(path)
    db = connection.connect(path)
    write(db, "EURUSD", "M1", eurusd["M1"])
    yield db
    db.close()


@pytest.mark.parametrize(
    ("timeframe", "sample", "whole"),
    [
        ("M5", 576, 10068),
        ("M15", 192, 3356),
        ("M30", 96, 1678),
        ("H1", 48, 839),
        ("H4", 12, 216),
        ("D1", 2, 42),
    ],
)
def test_candles_derived_from_m1_equal_broker_candles(
    eurusd_from_m1: apsw.Connection,
    eurusd: dict[str, list[Row]],
    timeframe: str,
    sample: int,
    whole: int,
) -> None:
    """Exactly, in every bucket covered by M1, except the last D1, which was forming."""
    count = sample if len(eurusd["M1"]) == 2859 else whole
    first = eurusd["M1"][0][0][0]
    given = [(start, *row) for (start, _), row in eurusd[timeframe] if start >= first]
    assert len(given) == count
    assert read(eurusd_from_m1, "EURUSD", timeframe, start=first).candles == given


def test_files_in_any_order_show_rows_of_each_file(
    eurusd: dict[str, list[Row]], tmp_path: Path
) -> None:
    """Complete candles are never superseded, and the order does not change the tables."""
    print(f"GFIL_SEED={SEED}")
    rng = random.Random(SEED)
    orders = [rng.sample(CHAIN, 7), CHAIN, CHAIN[::-1], *(rng.sample(CHAIN, 7) for _ in range(5))]
    made = []
    for number, order in enumerate(orders if LONG else orders[:2]):
        path = tmp_path / f"{number}.db"
        connection.create(path)
        db = connection.connect(path)
        for timeframe in order:
            written = write(db, "EURUSD", timeframe, eurusd[timeframe])
            assert (written.kept, written.duplicates, written.warnings) == (0, 0, [])
        for timeframe in CHAIN:
            given = [(start, *row) for (start, _), row in eurusd[timeframe]]
            first, after = given[0][0], given[-1][0] + 1
            found = read(db, "EURUSD", timeframe, start=first, stop=after).candles
            shown = {candle[0]: candle for candle in found}
            assert [shown[candle[0]] for candle in given] == given
        db.close()
        made.append(everything(path))
    assert made[0][1] == []
    assert [found == made[0] for found in made] == [True] * len(made)


@pytest.mark.parametrize("way", ["twice", "halves", "reversed", "shuffled"])
def test_import_route_does_not_change_tables(
    eurusd: dict[str, list[Row]], db: apsw.Connection, tmp_path: Path, way: str
) -> None:
    rows = eurusd["M1"] if LONG else eurusd["M1"][-8000:]
    half = len(rows) // 2
    shuffled = random.Random(SEED).sample(rows, len(rows))
    routes = {
        "twice": [rows, rows],
        "halves": [rows[half:], rows[:half]],
        "reversed": [rows[at : at + 999][::-1] for at in reversed(range(0, len(rows), 999))],
        "shuffled": [shuffled[at : at + 1500] for at in range(0, len(rows), 1500)],
    }
    for batch in routes[way]:
        written = write(db, "EURUSD", "M1", batch)
    assert written.unchanged == (len(rows) if way == "twice" else 0)
    plain = tmp_path / "plain.db"
    connection.create(plain)
    second = connection.connect(plain)
    write(second, "EURUSD", "M1", rows)
    second.close()
    assert tables(db) == everything(plain)


@pytest.mark.parametrize("first", ["M1", "D1"])
def test_day_saved_at_noon_gives_way_to_minutes_of_whole_day(
    eurusd: dict[str, list[Row]], db: apsw.Connection, first: str
) -> None:
    start = utc(datetime(2021, 3, 17), "UTC")
    minutes = [row for row in eurusd["M1"] if start <= row[0][0] < start + DAY]
    cut = fold([values for (time, _), values in minutes if time < start + DAY // 2])
    (whole,) = [(time, *values) for (time, _), values in eurusd["D1"] if time == start]
    sent = {"M1": minutes, "D1": [((start, start + DAY), cut)]}
    for timeframe in sorted(sent, key=lambda name: name != first):
        write(db, "EURUSD", timeframe, sent[timeframe])
    assert len(minutes) == 1429
    assert whole[1:] != cut
    assert read(db, "EURUSD", "D1").candles == [whole]
    again = write(db, "EURUSD", "D1", sent["D1"])
    assert (again.unchanged, again.change) == (1, 0)


@pytest.mark.parametrize("drawn_on", ["UTC", ATHENS])
@pytest.mark.parametrize("when", ["before", "after"])
def test_gold_rolled_up_on_server_clock_equals_broker_candles(
    shared_data: Path, db: apsw.Connection, drawn_on: str, when: str
) -> None:
    folder = shared_data / "xauusd_server_time_multitf"

    def set_clock() -> None:
        with connection.transaction(db):
            symbol = symbols.ensure(db, "XAUUSD")
            symbol_settings.set_clock(db, symbol, clocks.parse(drawn_on))

    if when == "before":
        set_clock()
    minutes = rows_of(folder / "XAUUSD_M1.csv.gz", "M1", ATHENS)
    write(db, "XAUUSD", "M1", minutes, ATHENS)
    if when == "after":
        set_clock()
    first = minutes[0][0][0]
    counts = (552, 184, 46, 1) if shared_data == SAMPLES else (4000, 1333, 334, 14)
    for timeframe, count in zip(("M5", "M15", "H1", "D1"), counts, strict=True):
        given = rows_of(folder / f"XAUUSD_{timeframe}.csv.gz", timeframe, ATHENS)
        covered = [(start, *values) for (start, _), values in given if start >= first]
        assert len(covered) == count
        assert read(db, "XAUUSD", timeframe, ATHENS, start=first).candles == covered
    days = {start for (start, _), _ in given}
    assert not days & {candle[0] for candle in read(db, "XAUUSD", "D1", "UTC").candles}


def fold_by(rows: list[Stamped], label) -> list[Candle]:
    """Roll up consecutive rows with the same label in plain Python."""
    return [fold([values for _, values in group]) for _, group in groupby(rows, label)]


def test_daily_gold_candles_keep_dates_of_file(shared_data: Path, db: apsw.Connection) -> None:
    path = shared_data / "xauusd_server_time_multitf" / "XAUUSD_D1.csv.gz"
    stamped = lines(path)
    count = 367 if shared_data == SAMPLES else 5390
    assert write(db, "XAUUSD", "D1", rows_of(path, "D1", ATHENS), ATHENS).inserted == count
    athens = clocks.parse(ATHENS)
    found = read(db, "XAUUSD", "D1", ATHENS).candles
    walls = [datetime.fromtimestamp(athens.wall(time), UTC) for time, *_ in found]
    assert [wall.replace(tzinfo=None) for wall in walls] == [stamp for stamp, _ in stamped]
    assert [tuple(values) for _, *values in found] == [values for _, values in stamped]
    weeks = fold_by(stamped, lambda row: row[0].date().isocalendar()[:2])
    assert [tuple(values) for _, *values in read(db, "XAUUSD", "W1", ATHENS).candles] == weeks
    months = fold_by(stamped, lambda row: (row[0].year, row[0].month))
    assert [tuple(values) for _, *values in read(db, "XAUUSD", "MN1", ATHENS).candles] == months
    for timeframe in SECONDS:
        assert read(db, "XAUUSD", timeframe, "UTC").candles == []


def test_hourly_history_rolls_up_to_h4_d1_and_w1(shared_data: Path, db: apsw.Connection) -> None:
    """A MetaTrader export on the usual broker clock, compared with a plain roll-up."""
    path = shared_data / "mt5" / "EURUSD_H1.csv.gz"
    stamped = lines(path)
    assert len(stamped) == (624 if shared_data == SAMPLES else 7728)
    write(db, "EURUSD", "H1", rows_of(path, "H1", NEW_YORK), NEW_YORK)
    labels = {
        "H2": lambda row: (row[0].date(), row[0].hour // 2),
        "H4": lambda row: (row[0].date(), row[0].hour // 4),
        "D1": lambda row: row[0].date(),
        "W1": lambda row: row[0].date().isocalendar()[:2],
        "MN1": lambda row: (row[0].year, row[0].month),
    }
    for timeframe, label in labels.items():
        found = read(db, "EURUSD", timeframe, NEW_YORK).candles
        assert [tuple(values) for _, *values in found] == fold_by(stamped, label)
        starts = [next(group)[0] for _, group in groupby(stamped, label)]
        assert [candle[0] for candle in found] == [
            bucket(timeframe, NEW_YORK, utc(stamp, NEW_YORK))[0] for stamp in starts
        ]
    assert read(db, "EURUSD", "M30", NEW_YORK).candles == []
