"""Tests of gfil/migration/legacy_files.py and verify.py: stored rows and their counts."""

import gzip
import os
from pathlib import Path
from typing import Any

import apsw
import pytest

from gfil import clocks
from gfil.errors import BadParameter, GfilError, Refused
from gfil.migration import legacy_files, verify
from gfil.migration.legacy_files import LegacyFile, Loaded, ReadOptions
from gfil.migration.verify import VerifyResult
from gfil.store.candles.write import CandleColumns
from gfil.timeframes import M1
from tests.conftest import SAMPLES
from tests.migration import legacy_samples
from tests.migration.legacy_samples import MONDAY, NOW, fold, minutes, objects, save, stamped
from tests.store.model import read, write

HOW = ReadOptions(None, NOW)


def take(
    db: apsw.Connection, path: Path, edges: tuple[int, ...] = (), how: ReadOptions = HOW
) -> tuple[Loaded, VerifyResult]:
    """Load and verify a file."""
    original = next(each for each in legacy_files.find(str(path.parent)).files if each.path == path)
    loaded = legacy_files.load(db, original, how, edges)
    return loaded, verify.verify(db, original, how, edges)


def adds_up(loaded: Loaded, result: VerifyResult) -> bool:
    """Return whether no row is missing and both readings count the same rows."""
    found = result.present + result.covered + result.kept
    return (
        result.rows == found + result.duplicates + result.rejected == loaded.report.rows
        and result.missing == 0
        and result.digest == loaded.fingerprint.digest
    )


def values(db: apsw.Connection, symbol: str, tf: str) -> list[tuple[float, ...]]:
    """Return all candles of a timeframe."""
    return [tuple(row) for row in read(db, symbol, tf).candles]


def test_folder_is_read_by_symbol_with_minutes_first(tmp_path: Path) -> None:
    for name in ("B_1w", "B_1m", "A.r-1h", "A.r-5m", "B_15m"):
        save(tmp_path, name, [])
    (tmp_path / "notes.txt").write_text("x")
    save(tmp_path, "settings", {})
    (tmp_path / "C_1m.json").mkdir()
    with gzip.open(tmp_path / "B_4h.json.gz", "wb") as file:
        file.write(b"[]")
    found = legacy_files.find(str(tmp_path))
    assert [(each.symbol, each.timeframe.name) for each in found.files] == [
        *(("A.r", "M5"), ("A.r", "H1")),
        *(("B", "M1"), ("B", "M15"), ("B", "H4"), ("B", "W1")),
    ]
    assert found.foreign == ["C_1m.json", "notes.txt", "settings.json"]


def test_source_without_old_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(BadParameter, match="no file named like"):
        legacy_files.find(str(tmp_path))
    with pytest.raises(BadParameter, match="not a folder or an SQLite file"):
        legacy_files.find(str(tmp_path / "notes.txt"))
    with pytest.raises(BadParameter, match="no such file or folder"):
        legacy_files.find(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "shape",
    [
        objects,
        lambda rows: [[*row] for row in rows],
        lambda rows: [dict(row, ts=row["ts"] * 1000) for row in objects(rows)],
        lambda rows: {"candles": objects(rows)},
        lambda rows: (
            stamped(rows[:50], "%Y-%m-%dT%H:%M:%S") + stamped(rows[50:], "%Y-%m-%d %H:%M:%S.%f")
        ),
        lambda rows: dict(zip("tohlcv", map(list, zip(*rows, strict=True)), strict=True)),
    ],
)
def test_every_spelling_is_stored(db: apsw.Connection, tmp_path: Path, shape: Any) -> None:
    rows = minutes(100)
    loaded, result = take(db, save(tmp_path, "EURUSD_1m", shape(rows)))
    assert values(db, "EURUSD", "M1") == rows
    assert adds_up(loaded, result)
    assert (result.present, loaded.report.inserted) == (100, 100)


def test_closed_candle_wins_among_duplicates(db: apsw.Connection, tmp_path: Path) -> None:
    rows = minutes(40)
    forming = [(*row[:5], row[5] / 2) for row in rows[10:14]]
    given = rows[:12] + forming + rows[12:] + [rows[3], rows[39]]
    loaded, result = take(db, save(tmp_path, "EURUSD_1m", objects(given)))
    assert values(db, "EURUSD", "M1") == rows
    assert (result.rows, result.present, result.duplicates) == (46, 40, 6)
    assert loaded.report.duplicates == 6
    assert adds_up(loaded, result)


def test_unsorted_rows_are_sorted() -> None:
    rows = minutes(50)
    given = [*reversed(rows), *rows[10:20]]
    columns = zip(*((row[0], 0, *row[1:]) for row in given), strict=True)
    distinct = legacy_files.distinguish(CandleColumns(*map(list, columns)))
    assert [*zip(distinct.time, *distinct[2:], strict=True)] == rows


def test_different_candle_is_named_after_many_forming_ones(
    db: apsw.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "EXAMPLES_KEPT_MAX", 5)
    rows = minutes(300)
    take(db, save(tmp_path, "EURUSD_1m", objects(rows)))
    given = [each for row in fold(rows, "5m") for each in ((*row[:5], row[5] - 1), row)]
    given[-2:] = [(*given[-1][:5], given[-1][5] + 7)]
    _, result = take(db, save(tmp_path, "EURUSD_5m", objects(given)))
    assert result.different == 1
    assert [text[:20] for text in result.examples] == [clocks.format_instant(given[-1][0])]


def test_rows_above_minutes_are_compared_and_not_stored(
    db: apsw.Connection, tmp_path: Path
) -> None:
    rows = minutes(300, MONDAY + 30 * 60)
    take(db, save(tmp_path, "EURUSD_1m", objects(rows)))
    hours = fold(rows, "1h")
    wrong = [*hours[2][:4], 9.0, 1.0]
    wrong[2] = 9.0
    given = [*hours[:2], wrong, *hours[3:]]
    loaded, result = take(db, save(tmp_path, "EURUSD_1h", [[*row] for row in given]))
    assert (loaded.covered, loaded.report.inserted + loaded.report.updated) == (5, 1)
    assert (result.present, result.covered, result.different) == (1, 5, 1)
    start = clocks.format_instant(MONDAY + 2 * 3600)
    assert [text.split(": ")[0] for text in result.examples] == [start]
    assert values(db, "EURUSD", "H1") == hours
    assert adds_up(loaded, result)


def test_bucket_of_the_first_minute_takes_the_row_of_the_file(
    db: apsw.Connection, tmp_path: Path
) -> None:
    whole = minutes(600)
    take(db, save(tmp_path, "EURUSD_1m", objects(whole[150:])))
    loaded, result = take(db, save(tmp_path, "EURUSD_1h", objects(fold(whole, "1h"))))
    assert values(db, "EURUSD", "H1") == fold(whole, "1h")
    assert (result.present, result.covered) == (3, 7)
    assert adds_up(loaded, result)


def test_bucket_at_the_end_of_a_truncated_file_takes_the_row_of_the_file(
    db: apsw.Connection, tmp_path: Path
) -> None:
    whole = minutes(600)
    loaded, result = take(db, save(tmp_path, "EURUSD_1m", objects(whole), cut=0.55))
    assert loaded.report.reasons == {"truncated": 1}
    assert result.rejected == 1
    assert adds_up(loaded, result)
    left = values(db, "EURUSD", "M1")
    assert left == whole[: len(left)]
    assert 300 < len(left) < 350
    edges = (whole[0][0], int(left[-1][0]))
    loaded, result = take(db, save(tmp_path, "EURUSD_1h", objects(fold(whole, "1h"))), edges)
    assert values(db, "EURUSD", "H1") == fold(whole, "1h")
    assert (result.present, result.covered) == (6, 4)
    assert adds_up(loaded, result)


def test_stored_candle_is_never_replaced(db: apsw.Connection, tmp_path: Path) -> None:
    rows = minutes(30)
    mine = ((rows[5][0], rows[5][0] + 60), (7.0, 8.0, 6.0, 7.5, 1.0))
    write(db, "EURUSD", "M1", [mine])
    loaded, result = take(db, save(tmp_path, "EURUSD_1m", objects(rows)))
    assert values(db, "EURUSD", "M1")[5] == (rows[5][0], *mine[1])
    assert (result.present, result.kept, loaded.report.kept) == (29, 1, 1)
    assert adds_up(loaded, result)


def test_weeks_that_start_on_a_thursday_are_refused(db: apsw.Connection, tmp_path: Path) -> None:
    monday = (MONDAY, 1.0, 2.0, 0.5, 1.5, 10.0)
    thursdays = [(MONDAY + 259200 + n * 604800, *monday[1:]) for n in range(3)]
    loaded, result = take(db, save(tmp_path, "EURUSD_1w", objects([monday, *thursdays])))
    assert loaded.report.reasons == {"off_bucket": 3}
    assert [error["row"] for error in loaded.report.errors] == [1, 2, 3]
    assert (result.rows, result.present, result.rejected) == (4, 1, 3)
    assert adds_up(loaded, result)


def test_times_are_read_on_the_given_clock(db: apsw.Connection, tmp_path: Path) -> None:
    rows = minutes(200)
    athens = ReadOptions(clocks.parse("Europe/Athens"), NOW)
    loaded, result = take(db, save(tmp_path, "EURUSD_1m", objects(rows)), how=athens)
    assert values(db, "EURUSD", "M1") == [(row[0] - 7200, *row[1:]) for row in rows]
    assert adds_up(loaded, result)
    loaded, result = take(db, save(tmp_path, "EURUSD_1d", objects(fold(rows, "1d"))), how=athens)
    assert (result.present, result.covered) == (1, 0)
    assert adds_up(loaded, result)


def test_long_file_is_sorted_in_batches(
    db: apsw.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legacy_files, "SORTED_ROWS_MAX", 1000)
    rows = minutes(20_000)
    given = rows[:9000] + [(*row[:5], 0.5) for row in rows[8000:8010]] + rows[9000:] + rows[:5]
    loaded, result = take(db, save(tmp_path, "EURUSD_1m", objects(given)))
    assert values(db, "EURUSD", "M1") == rows
    assert (result.present, result.duplicates, result.kept) == (20_000, 15, 0)
    assert adds_up(loaded, result)


@pytest.mark.parametrize("runs_backwards", [False, True])
def test_last_rows_of_a_batch_wait_for_their_duplicates(
    db: apsw.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs_backwards: bool
) -> None:
    monkeypatch.setattr(legacy_files, "SORTED_ROWS_MAX", 1000)
    monkeypatch.setattr(legacy_files, "HELD_ROWS", 10)
    rows = minutes(20_000)
    twice = [row for one in rows for row in ((*one[:5], one[5] / 2), one)]
    given = [*reversed(twice)] if runs_backwards else twice
    loaded, result = take(db, save(tmp_path, "EURUSD_1m", objects(given)))
    assert values(db, "EURUSD", "M1") == rows
    assert (result.present, result.duplicates) == (20_000, 20_000)
    assert adds_up(loaded, result)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty"),
        (b"<html>", "unknown format"),
        (b'{"theme": 1}', "unknown format"),
    ],
)
def test_file_without_rows_is_refused(
    db: apsw.Connection, tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "EURUSD_1m.json"
    path.write_bytes(content)
    with pytest.raises(GfilError, match=why):
        legacy_files.load(db, LegacyFile(path, "EURUSD", M1, len(content)), HOW, ())


def test_file_with_rows_that_contradict_its_name_is_refused(
    db: apsw.Connection, tmp_path: Path
) -> None:
    path = save(tmp_path, "EURUSD_1m", objects(fold(minutes(6000), "1h")))
    with pytest.raises(Refused, match="rows are 1 hour apart; the file name says M1"):
        legacy_files.load(db, LegacyFile(path, "EURUSD", M1, 9), HOW, ())


def test_rows_deleted_after_loading_are_missing(db: apsw.Connection, tmp_path: Path) -> None:
    """Proves that the verification detects missing rows."""
    path = save(tmp_path, "EURUSD_1m", objects(minutes(50)))
    loaded, result = take(db, path)
    assert adds_up(loaded, result)
    db.execute("DELETE FROM candle WHERE series = 32 AND time = :time", {"time": MONDAY + 600})
    (original,) = legacy_files.find(str(tmp_path)).files
    result = verify.verify(db, original, HOW, ())
    assert (result.present, result.missing) == (49, 1)
    assert not adds_up(loaded, result)


def test_missing_file_is_a_failure_in_the_verdict(db: apsw.Connection, tmp_path: Path) -> None:
    gone = LegacyFile(tmp_path / "EURUSD_1m.json", "EURUSD", M1, 9)
    assert "No such file" in verify.verify(db, gone, HOW, ()).failure


def test_verification_in_another_process_gives_the_same_verdict(
    db: apsw.Connection, db_path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "klines"
    legacy_samples.save_symbol(folder, "EURUSD", 3000)
    originals = legacy_files.find(str(folder)).files
    for original in originals:
        legacy_files.load(db, original, HOW, ())
    here = [verify.verify(db, original, HOW, ()) for original in originals]
    with verify.verifier(db_path) as beside:
        there = []
        for original in originals:
            beside.start(original, HOW, ())
            there += beside.results(3)
        there += beside.results()
    assert there == here
    assert sum(result.present for result in here) > 3000


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_an_error(db: apsw.Connection, tmp_path: Path) -> None:
    path = save(tmp_path, "EURUSD_1m", [])
    path.chmod(0)
    with pytest.raises(OSError, match="Permission"):
        take(db, path)


def test_production_file_with_forming_candles_keeps_the_closed_ones(
    db: apsw.Connection, tmp_path: Path, shared_data: Path
) -> None:
    packed = shared_data / "legacy_json" / "ETH_BTC-5m.json.gz"
    path = tmp_path / "ETH_BTC-5m.json"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    loaded, result = take(db, path)
    rows = 240 if shared_data == SAMPLES else 11_523
    assert (result.rows, result.present, result.duplicates) == (rows, rows - 2, 2)
    assert adds_up(loaded, result)
    stored = {row[0]: row[1:] for row in values(db, "ETH_BTC", "M5")}
    instant = clocks.parse_instant("2018-03-24T09:25:00Z")
    assert stored[instant] == (0.06065976, 0.06076967, 0.06065971, 0.06065971, 39.8703469)
    assert stored[instant + 300] == (0.06065971, 0.06075966, 0.06065971, 0.06065972, 13.24292168)
