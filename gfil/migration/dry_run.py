"""A look at the files of the old system: what each is, from when to when; nothing is stored."""

from collections import Counter, defaultdict
from typing import Any

import apsw

from gfil.errors import BadRequest, Conflict, Refused
from gfil.migration.legacy_files import (
    Found,
    LegacyFile,
    Progress,
    ReadOptions,
    count_hours,
    opened,
)
from gfil.migration.migrate import find_known
from gfil.migration.report import BEFORE, LOOKED_AT, REFUSED, FileResult, MigrationReport
from gfil.migration.seen_rows import SEEN, SeenRows
from gfil.store import migrated_files
from gfil.store.candles.write import CandleColumns
from gfil.timeframes import Timeframe


def run(
    db: apsw.Connection | None,
    found: Found,
    how: ReadOptions,
    moved: MigrationReport,
    progress: Progress = lambda _: None,
) -> None:
    """Read all files and tell `moved` what they are; `db` is None where there is none yet."""
    known = migrated_files.list_files(db) if db else []
    for original in found.originals:
        try:
            is_known = db is not None and find_known(db, known, original, how.clock) is not None
            counts = _count(db, original, how, moved, progress)
            moved.add(FileResult(original, BEFORE if is_known else LOOKED_AT, counts))
        except (BadRequest, Conflict, Refused) as error:
            moved.add(FileResult(original, REFUSED, error=error.detail))
        except OSError as error:
            moved.add(FileResult(original, REFUSED, error=error.strerror or str(error)))


def _count(
    db: apsw.Connection | None,
    original: LegacyFile,
    how: ReadOptions,
    moved: MigrationReport,
    progress: Progress,
) -> dict[str, Any]:
    rows_read = 0
    marks: dict[tuple[str, Timeframe], SeenRows] = {}
    hours: dict[str, Counter[int]] = defaultdict(Counter)
    with opened(original, db, how, progress) as source:
        for piece in source.reading.batches:
            for symbol, timeframe, rows in piece:
                assert isinstance(rows, CandleColumns)
                assert timeframe is not None
                rows_read += len(rows.time)
                marks.setdefault((symbol, timeframe), SeenRows(timeframe)).mark(rows.time, SEEN)
                count_hours(hours[symbol], timeframe, rows)
        report, told = source.reading.report, source.reading.describe()
        source.finish()
    moved.see_hours(hours, report.clock)
    named = ("format", "symbol", "tf", "clock", "reasons", "errors", "warnings", "from", "to")
    distinct = sum(each.count().total() for each in marks.values())
    return {
        **{name: value for name, value in report.as_json().items() if name in named},
        "rows": rows_read + report.rejected,
        "duplicates": rows_read - distinct,
        "rejected": report.rejected,
        **{name: told[name] for name in ("encoding", "gzip", "spacing", "first", "last")},
    }
