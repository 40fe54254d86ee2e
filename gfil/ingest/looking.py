"""A look at the files of the old system: what each is, from when to when; nothing is stored."""

from collections import Counter, defaultdict
from typing import Any

import apsw

from gfil.errors import BadRequest, Conflict, Refused
from gfil.ingest.legacy import Found, How, Original, Progress, count_hours, opened
from gfil.ingest.marks import SEEN, Marks
from gfil.ingest.migration import find_known
from gfil.ingest.moved import BEFORE, LOOKED_AT, REFUSED, File, Moved
from gfil.store import migrated
from gfil.store.candles import Rows
from gfil.timeframes import Timeframe


def look(
    db: apsw.Connection | None,
    found: Found,
    how: How,
    moved: Moved,
    progress: Progress = lambda _: None,
) -> None:
    """Read all files and tell `moved` what they are; `db` is None where there is none yet."""
    known = migrated.list(db) if db else []
    for original in found.originals:
        try:
            is_known = db is not None and find_known(db, known, original, how.clock) is not None
            counts = _count(db, original, how, moved, progress)
            moved.add(File(original, BEFORE if is_known else LOOKED_AT, counts))
        except (BadRequest, Conflict, Refused) as error:
            moved.add(File(original, REFUSED, error=error.detail))
        except OSError as error:
            moved.add(File(original, REFUSED, error=error.strerror or str(error)))


def _count(
    db: apsw.Connection | None, original: Original, how: How, moved: Moved, progress: Progress
) -> dict[str, Any]:
    rows_read = 0
    marks: dict[tuple[str, Timeframe], Marks] = {}
    hours: dict[str, Counter[int]] = defaultdict(Counter)
    with opened(original, db, how, progress) as source:
        for piece in source.reading.pieces:
            for symbol, timeframe, rows in piece:
                assert isinstance(rows, Rows)
                assert timeframe is not None
                rows_read += len(rows.time)
                marks.setdefault((symbol, timeframe), Marks(timeframe)).mark(rows.time, SEEN)
                count_hours(hours[symbol], timeframe, rows)
        report, told = source.reading.report, source.reading.tell()
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
