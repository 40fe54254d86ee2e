"""Tests of gfil/ingest/load/batched.py: the size of batches with and without other writers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from gfil.clocks import UTC
from gfil.ingest.load import batched
from gfil.ingest.load.batched import BATCH_ROWS_FIRST, BATCH_ROWS_MAX, BATCH_ROWS_MIN, BatchWriter
from gfil.ingest.load.writing import WriteOptions
from gfil.ingest.report import Report
from gfil.store import symbols
from gfil.store.candles import read, write
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection, pacing
from gfil.timeframes import H1, M1

START = 1709251200
OPTIONS = WriteOptions(UTC, fill=False, now=START + 400 * 86400)


@pytest.fixture
def connect(db_path: Path) -> Iterator[Callable[[], apsw.Connection]]:
    opened: list[apsw.Connection] = []

    def open_db() -> apsw.Connection:
        opened.append(connection.connect(db_path))
        return opened[-1]

    yield open_db
    for each in opened:
        each.close()


def rows_of(count: int, first: int = 0, step: int = 60) -> CandleColumns:
    times = [START + step * number for number in range(first, first + count)]
    price = [1.0] * count
    return CandleColumns(times, [0] * count, price, price, price, price, [2.0] * count)


def write_one(db: apsw.Connection, name: str = "OTHER", close: float = 1.0) -> None:
    with connection.transaction(db):
        symbol = symbols.ensure(db, name)
        column = [close]
        rows = CandleColumns([START], [0], column, column, column, column, column)
        write.write_candles(db, symbol, M1, rows)


def test_full_batch_is_written_at_once(connect: Callable[[], apsw.Connection]) -> None:
    db, report = connect(), Report("", "UTC")
    batch = BatchWriter(db, report, OPTIONS)
    batch.add("EURUSD", M1, rows_of(BATCH_ROWS_FIRST - 1))
    assert (report.inserted, connection.read_state(db)[1]) == (0, 0)
    batch.add("EURUSD", M1, rows_of(2, BATCH_ROWS_FIRST - 1))
    assert (report.inserted, connection.read_state(db)[1]) == (BATCH_ROWS_FIRST, 1)
    batch.finish()
    assert (report.inserted, report.change) == (BATCH_ROWS_FIRST + 1, 2)


def test_batches_of_a_single_writer_grow_to_the_limit_without_pauses(
    connect: Callable[[], apsw.Connection],
) -> None:
    db, report, rests = connect(), Report("", "UTC"), list[float]()
    batch = BatchWriter(db, report, OPTIONS, sleep=rests.append)
    batch.add("EURUSD", M1, rows_of(100_000))
    batch.finish()
    sizes, left = [BATCH_ROWS_FIRST, 2 * BATCH_ROWS_FIRST, 4 * BATCH_ROWS_FIRST], 100_000
    left -= sum(sizes)
    assert report.change == len(sizes) + -(-left // BATCH_ROWS_MAX)
    assert (report.inserted, rests) == (100_000, [])


def test_batches_shrink_and_pause_while_another_writer_is_active(
    connect: Callable[[], apsw.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "BATCH_S", 1e-6)  # no machine is as fast
    db, other, rests = connect(), connect(), list[float]()
    closes = iter(range(1, 10_000))

    def rest(seconds: float) -> None:
        rests.append(seconds)
        write_one(other, close=float(next(closes)))

    report = Report("", "UTC")
    batch = BatchWriter(db, report, OPTIONS, sleep=rest)
    batch.add("EURUSD", M1, rows_of(BATCH_ROWS_FIRST))
    assert rests == []
    write_one(other)
    batch.add("EURUSD", M1, rows_of(2 * BATCH_ROWS_MAX, BATCH_ROWS_FIRST))
    batch.finish()
    assert report.inserted == 2 * BATCH_ROWS_MAX + BATCH_ROWS_FIRST
    assert len(rests) >= (2 * BATCH_ROWS_MAX - 2 * BATCH_ROWS_FIRST) // BATCH_ROWS_MIN
    assert all(seconds > 0 for seconds in rests)


def test_batches_grow_again_a_second_after_the_other_write(
    connect: Callable[[], apsw.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batched, "SHARED_FOR_S", 0)
    db, rests = connect(), list[float]()
    batch = BatchWriter(db, Report("", "UTC"), OPTIONS, sleep=rests.append)
    batch.add("EURUSD", M1, rows_of(BATCH_ROWS_FIRST))
    write_one(connect())
    batch.add("EURUSD", M1, rows_of(60_000, BATCH_ROWS_FIRST))
    batch.finish()
    assert rests == []


def test_several_symbols_share_a_batch(connect: Callable[[], apsw.Connection]) -> None:
    db, report = connect(), Report("", "UTC")
    batch = BatchWriter(db, report, OPTIONS)
    for name in ("A1", "B1", "C1"):
        batch.add(name, M1, rows_of(1000))
        batch.add(name, H1, rows_of(10, step=3600))
    batch.finish()
    assert report.rows == 3030
    assert [symbol.name for symbol in symbols.list_symbols(db)] == ["A1", "B1", "C1"]


def test_trial_counts_and_rolls_back(connect: Callable[[], apsw.Connection]) -> None:
    db, report = connect(), Report("", "UTC")
    write_one(db)
    batch = BatchWriter(db, report, OPTIONS, trial=True)
    batch.add("OTHER", M1, rows_of(30_000))
    batch.finish()
    assert (report.inserted, report.updated) == (29_999, 1)
    assert connection.read_state(db)[1] == 1
    page = read.read_candles(db, symbols.read(db, "OTHER"), M1, UTC)
    assert page.candles == [(START, 1.0, 1.0, 1.0, 1.0, 1.0)]


def test_failed_batch_keeps_earlier_batches(connect: Callable[[], apsw.Connection]) -> None:
    db, report = connect(), Report("", "UTC")
    batch = BatchWriter(db, report, OPTIONS)
    batch.add("EURUSD", M1, rows_of(BATCH_ROWS_FIRST))
    write_one(connect(), "eurusd2")
    with pytest.raises(symbols.SymbolCase):
        batch.add("EURUSD2", M1, rows_of(2 * BATCH_ROWS_FIRST))
    assert (report.inserted, report.rows) == (BATCH_ROWS_FIRST, BATCH_ROWS_FIRST)
    assert not db.in_transaction
