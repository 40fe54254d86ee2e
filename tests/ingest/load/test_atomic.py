"""Tests of gfil/ingest/load/atomic.py: a request checked as a whole, stored in one transaction."""

import random
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest

from gfil.clocks import UTC
from gfil.errors import BadRequest, Refused
from gfil.ingest import importer
from gfil.ingest.load.atomic import SLICE_ROWS, AtomicWrite
from gfil.ingest.options import Options
from gfil.ingest.report import Report
from gfil.store import symbols
from gfil.store.candles import read
from gfil.store.engine import connection
from gfil.timeframes import M1

START = 1709251200  # 2024-03-01 00:00
NOW = START + 400 * 86400
HEADER = b"time,open,high,low,close,volume\n"


def rows(places: Any, volume: int = 7) -> bytes:
    return b"".join(b"%d,1,2,0.5,1,%d\n" % (START + 60 * at, volume) for at in places)


def prepare(db: apsw.Connection, data: bytes, **options: Any) -> AtomicWrite:
    return importer.prepare(db, [data], Options(**options), now=NOW, name="EURUSD_M1.csv")


def send(db: apsw.Connection, data: bytes, **options: Any) -> Report:
    prepared = prepare(db, data, **options)
    with connection.transaction(db):
        report = prepared.store(db)
    counts = report.counts()
    assert counts.pop("rows") == sum(counts.values())
    return report


def store_and_undo(db: apsw.Connection, prepared: AtomicWrite) -> Report:
    with suppress(ZeroDivisionError), connection.transaction(db):
        report = prepared.store(db)
        raise ZeroDivisionError
    return report


def test_prepare_writes_nothing(db: apsw.Connection) -> None:
    prepared = prepare(db, HEADER + rows(range(3)) + b"oops\n")
    assert (symbols.list_symbols(db), connection.read_state(db)[1]) == ([], 0)
    with connection.transaction(db):
        report = prepared.store(db)
    assert (report.inserted, report.rejected, report.change) == (3, 1, 1)


def test_repeated_request_changes_nothing(db: apsw.Connection) -> None:
    first, again = (send(db, HEADER + rows(range(3))) for _ in range(2))
    assert (first.inserted, first.change, first.has_changed) == (3, 1, True)
    assert (again.unchanged, again.change, again.has_changed) == (3, 1, False)


def test_failed_transaction_can_be_retried(db: apsw.Connection) -> None:
    prepared = prepare(db, HEADER + rows(range(3)))
    store_and_undo(db, prepared)
    with connection.transaction(db):
        assert prepared.store(db).counts() == {
            "rows": 3,
            "inserted": 3,
            "updated": 0,
            "unchanged": 0,
            "kept": 0,
            "duplicates": 0,
            "rejected": 0,
        }


def test_request_of_several_pieces_is_one_transaction(db: apsw.Connection) -> None:
    report = send(db, HEADER + rows(range(50_000)))
    assert (connection.read_state(db)[1], report.inserted, report.rows) == (1, 50_000, 50_000)


def test_larger_volume_then_later_row_wins_a_bucket(db: apsw.Connection) -> None:
    # The rivals are further apart than one piece, and the rows descend.
    count = SLICE_ROWS + 5_000
    data = HEADER + b"%d,1,9,1,3,50\n%d,1,9,1,4,7\n" % (START, START + 60)
    data += rows(reversed(range(count))) + b"%d,1,9,1,5,50\n%d,1,9,1,6,6\n" % (START, START + 60)
    report = send(db, data)
    assert (report.inserted, report.duplicates, report.rows) == (count, 4, count + 4)
    page = read.read_candles(db, symbols.read(db, "EURUSD"), M1, UTC, START, START + 120)
    assert [candle[4:] for candle in page.candles] == [(5.0, 50.0), (1.0, 7.0)]


def test_shuffled_request_gives_the_result_of_an_ordered_one(
    db: apsw.Connection, tmp_path: Path
) -> None:
    connection.create(tmp_path / "other.db")
    other = connection.connect(tmp_path / "other.db")
    places = list(range(30_000))
    send(db, HEADER + rows(places))
    random.Random(3).shuffle(places)
    send(other, HEADER + rows(places))
    every = "SELECT * FROM candle ORDER BY series, time, extra_s"
    assert other.execute(every).fetchall() == db.execute(every).fetchall()
    other.close()


def test_abort_refuses_before_writing(db: apsw.Connection) -> None:
    with pytest.raises(Refused, match="1 row is refused, the first is row 5"):
        prepare(db, HEADER + rows(range(3)) + b"oops\n", abort=True)


def test_truncated_request_is_refused_as_a_whole(db: apsw.Connection) -> None:
    data = b'[{"t":1709251200,"o":1,"h":2,"l":0.5,"c":1},{"t":1709251260,"o":1,"h":2'
    with pytest.raises(BadRequest, match="the body is truncated: nothing was stored"):
        prepare(db, data)


def test_dry_run_counts_in_a_rolled_back_transaction(db: apsw.Connection) -> None:
    send(db, HEADER + rows(range(2)))
    prepared = prepare(db, HEADER + rows(range(5), 8) + b"oops\n", dry_run=True)
    report = store_and_undo(db, prepared)
    assert (report.inserted, report.updated, report.rejected, report.change) == (3, 2, 1, 1)
    assert report.as_json()["last"] == {"utc": "2024-03-01 00:04", "clock": "2024-03-01 00:04"}
    assert connection.read_state(db)[1] == 1


CANDLES = HEADER + rows(range(270_000))
TICKS = b"time_msc,bid,ask\n" + b"".join(
    b"%d,1.25,1.5\n" % (START * 1000 + n) for n in range(350_000)
)
LINES = b"".join(b'{"time_msc":%d,"bid":1,"ask":2}\n' % (START * 1000 + n) for n in range(190_000))


@pytest.mark.parametrize("data", [CANDLES, TICKS, LINES], ids=["candles", "ticks", "lines"])
def test_prepared_request_takes_little_memory(db: apsw.Connection, data: bytes) -> None:
    assert 6_000_000 < len(data) < 9_000_000
    pieces = [data[at : at + 65536] for at in range(0, len(data), 65536)]
    options = Options(symbol="EURUSD")
    tracemalloc.start()
    try:
        prepared = importer.prepare(db, pieces, options, now=NOW, name="EURUSD_M1.csv")
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 20_000_000
    assert most < 28_000_000
    assert isinstance(prepared, AtomicWrite)
