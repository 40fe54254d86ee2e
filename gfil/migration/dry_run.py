"""Dry run: read the files of the old system and report on them without storing anything."""

from collections import Counter, defaultdict
from typing import Any

import apsw

from gfil.errors import BadRequest, Conflict, Refused
from gfil.migration.legacy_files import (
    FoundFiles,
    LegacyFile,
    Progress,
    ReadOptions,
    count_hours,
    open_file,
)
from gfil.migration.migrate import find_known
from gfil.migration.report import BEFORE, NOT_YET, REFUSED, FileResult, MigrationReport
from gfil.migration.verify import SEEN, BucketFlags
from gfil.store import migrated_files
from gfil.store.candles.write import CandleColumns
from gfil.timeframes import Timeframe


def run(
    db: apsw.Connection | None,
    found: FoundFiles,
    options: ReadOptions,
    report: MigrationReport,
    progress: Progress = lambda _: None,
) -> None:
    """Read all files and add them to `report`; `db` is None if there is no database yet."""
    migrated = migrated_files.list_files(db) if db else []
    for file in found.files:
        try:
            is_known = db is not None and find_known(db, migrated, file, options.clock) is not None
            counts = _count(db, file, options, report, progress)
            report.add(FileResult(file, BEFORE if is_known else NOT_YET, counts))
        except (BadRequest, Conflict, Refused) as error:
            report.add(FileResult(file, REFUSED, error=error.detail))
        except OSError as error:
            report.add(FileResult(file, REFUSED, error=error.strerror or str(error)))


def _count(
    db: apsw.Connection | None,
    file: LegacyFile,
    options: ReadOptions,
    report: MigrationReport,
    progress: Progress,
) -> dict[str, Any]:
    rows_read = 0
    flags: dict[tuple[str, Timeframe], BucketFlags] = {}
    hours: dict[str, Counter[int]] = defaultdict(Counter)
    with open_file(file, db, options, progress) as source:
        for batch in source.reading.batches:
            for symbol, timeframe, rows in batch:
                assert isinstance(rows, CandleColumns)
                assert timeframe is not None
                rows_read += len(rows.time)
                flags.setdefault((symbol, timeframe), BucketFlags(timeframe)).set(rows.time, SEEN)
                count_hours(hours[symbol], timeframe, rows)
        read, recognised = source.reading.report, source.reading.describe()
        source.finish()
    report.add_hours(hours, read.clock)
    names = ("format", "symbol", "tf", "clock", "reasons", "errors", "warnings", "from", "to")
    buckets = sum(each.count().total() for each in flags.values())
    return {
        **{name: value for name, value in read.as_json().items() if name in names},
        "rows": rows_read + read.rejected,
        "duplicates": rows_read - buckets,
        "rejected": read.rejected,
        **{name: recognised[name] for name in ("encoding", "gzip", "spacing", "first", "last")},
    }
