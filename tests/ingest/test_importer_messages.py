"""Tests of gfil/ingest/importer.py: the clock in a JSON head, and a conflict during an import."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from gfil import clocks
from gfil.clocks import UTC
from gfil.errors import BadParameter
from gfil.ingest import importer
from gfil.ingest.options import Options
from gfil.ingest.report import Report
from gfil.ingest.source.byte_stream import PIECE_BYTES
from gfil.store import symbols
from gfil.store.candles import read
from gfil.store.engine import connection
from gfil.store.symbols import SymbolCase
from gfil.timeframes import M1

START = 1709251200  # 2024-03-01 00:00
NOW = START + 400 * 86400
HEADER = b"time,open,high,low,close,volume\n"


def rows(count: int, before: bytes = b"") -> bytes:
    return b"".join(b"%s%d,1,2,0.5,1,7\n" % (before, START + 60 * at) for at in range(count))


def load(db: apsw.Connection, data: bytes, name: str = "EURUSD_M1.csv", **options: Any) -> Report:
    return importer.load(db, [data], Options(**options), now=NOW, name=name)


HEAD = b'{"symbol":"EURUSD","tf":"D1","clock":"%s","candles":[\n%s]}\n'
ATHENS_DAY = b'["2024-02-29T22:00:00Z",1,2,0.5,1.5,7]'


@pytest.mark.parametrize(
    ("head", "said", "used", "reasons"),
    [
        (b"Europe/Athens", None, "Europe/Athens", {}),
        (b"Europe/Athens", "Europe/Athens", "Europe/Athens", {}),
        (b"UTC", "Europe/Athens", "Europe/Athens", {}),
        (b"Europe/Athens", "UTC", "UTC", {"off_bucket": 1}),
        (b"Mars/Phobos", "Europe/Athens", "Europe/Athens", {}),
    ],
)
def test_clock_option_overrides_the_json_head(
    db: apsw.Connection, head: bytes, said: str | None, used: str, reasons: dict[str, int]
) -> None:
    clock = clocks.parse(said) if said else None
    for trial in (True, False):
        report = load(db, HEAD % (head, ATHENS_DAY), "x.json", clock=clock, dry_run=trial)
        assert (report.clock, dict(report.reasons)) == (used, reasons)
        assert report.inserted == 1 - len(reasons)


def test_default_clock_is_utc(db: apsw.Connection) -> None:
    plain = HEAD.replace(b'"clock":"%s",', b"")
    assert load(db, plain % ATHENS_DAY, "x.json").as_json()["clock"] == "UTC"
    assert load(db, HEADER + rows(3)).as_json()["clock"] == "UTC"
    numeral = HEAD.replace(b'"clock":"%s"', b'"clock":7')
    assert dict(load(db, numeral % ATHENS_DAY, "x.json").reasons) == {"off_bucket": 1}


def test_unknown_clock_in_the_head_is_refused(db: apsw.Connection) -> None:
    with pytest.raises(BadParameter, match="Mars/Phobos"):
        load(db, HEAD % (b"Mars/Phobos", ATHENS_DAY), "x.json")
    assert symbols.list_symbols(db) == []


@pytest.mark.parametrize("count", [40_000, 300])  # in a batch on the way, in the last one
def test_conflict_after_stored_batches_counts_their_rows(db: apsw.Connection, count: int) -> None:
    # Another program creates the symbol in another case after the first batch.
    other = connection.connect(Path(db.filename))

    def chunks() -> Iterator[bytes]:
        yield b"symbol," + HEADER + rows(5_000, b"A,")
        yield rows(1, b"B,") + b"\n" * 3 * PIECE_BYTES  # so that it is read by now
        with connection.transaction(other):
            symbols.ensure(other, "b")
        yield rows(count, b"B,")

    try:
        with pytest.raises(SymbolCase) as caught:
            importer.load(db, chunks(), Options(timeframe=M1), now=NOW, name="x.csv")
    finally:
        other.close()
    page = read.read_candles(db, symbols.read(db, "A"), M1, UTC, START, NOW, 10_000)
    assert len(page.candles) >= 4_000
    assert f"known 'b'; {len(page.candles):,} rows before are stored" in caught.value.detail
    assert caught.value.detail == str(caught.value)


def test_conflict_before_the_first_batch_counts_no_rows(db: apsw.Connection) -> None:
    other = connection.connect(Path(db.filename))

    def chunks() -> Iterator[bytes]:
        yield b"symbol," + HEADER + rows(5, b"A,") + b"\n" * 2 * PIECE_BYTES
        with connection.transaction(other):
            symbols.ensure(other, "a")

    try:
        with pytest.raises(SymbolCase) as caught:
            importer.load(db, chunks(), Options(timeframe=M1), now=NOW, name="x.csv")
    finally:
        other.close()
    assert "stored" not in caught.value.detail
