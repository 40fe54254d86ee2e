"""The change log: the spans that recent commits changed, for subscriptions and caches."""

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import apsw

from gfil.clocks import Bucket
from gfil.store.engine import connection

LOGGED_CHANGES_MAX = 50_000  # a quarter of an hour at 60 commits a second
SPANS_MAX = 8  # of one commit; more become one span
TRIM_CHANGES = 512  # deleted together, so that few commits pay for the deletion
PRUNED = 31  # in place of a timeframe's number: candles were pruned, subscribers ignore it


class LogEntry(NamedTuple):
    """A span `[start, stop)` of one series that a commit changed; coarser candles changed too.

    `start == stop` is a reset: candles were deleted or the symbol was renamed, so all candles of
    the symbol must be read again.
    """

    change: int
    series: int
    start: int
    stop: int


PUT = """
INSERT INTO change_log (change, series, start, stop)
VALUES (?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
TRIM = "DELETE FROM change_log WHERE change <= :change"


def append(db: apsw.Connection, change: int, series: int, spans: Sequence[Bucket]) -> None:
    """Log the changed spans of a series; inside the transaction that changes them."""
    if len(spans) > SPANS_MAX:
        spans = [Bucket(spans[0].start, spans[-1].stop)]
    db.executemany(PUT, [(change, series, *span) for span in spans])
    if change % TRIM_CHANGES == 0:
        db.execute(TRIM, {"change": change - LOGGED_CHANGES_MAX})


def append_reset(db: apsw.Connection, change: int, series: int) -> None:
    """Log a reset of the symbol that a series belongs to; inside a transaction."""
    db.execute(PUT, (change, series, 0, 0))


READ = """
SELECT change, series, start, stop
FROM change_log
WHERE change > :since AND series / 32 IN (SELECT value FROM carray(:symbols))
ORDER BY change
"""


def read_since(db: apsw.Connection, since: int, symbol_ids: Iterable[int]) -> list[LogEntry]:
    """Return the entries of some symbols after a change that the log `covers`."""
    ids = array("q", symbol_ids)
    if not ids:
        return []
    bindings = {"since": since, "symbols": apsw.carray(ids)}
    return [LogEntry(*row) for row in connection.query_all(db, READ, bindings)]


def covers(since: int, newest: int) -> bool:
    """Return whether the log still has every change after `since`."""
    return newest - LOGGED_CHANGES_MAX <= since <= newest
