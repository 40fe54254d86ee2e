"""The change log: which candles the last commits touched, for those who follow them live."""

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import apsw

from gfil.clocks import Bucket
from gfil.store.engine import connection

KEPT_CHANGES = 50_000  # at 60 commits a second a quarter of an hour, at a pump's 4 some hours
SPANS_MAX = 8  # of one commit, told apart; more become one
TRIM_CHANGES = 512  # gone at once, so that not every commit pays for it
PRUNED = 31  # in the place of a timeframe's number: old candles have gone, which no viewer is told


class LogEntry(NamedTuple):
    """Candles of one series that a commit touched, and with them longer ones that hold them.

    They start in `[start, stop)`. Where these are equal candles have gone, or the symbol has
    another name: whoever shows it has to read it anew.
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
    """Remember the spans of a series that a commit touches; inside its transaction."""
    if len(spans) > SPANS_MAX:
        spans = [Bucket(spans[0].start, spans[-1].stop)]
    db.executemany(PUT, [(change, series, *span) for span in spans])
    if change % TRIM_CHANGES == 0:
        db.execute(TRIM, {"change": change - KEPT_CHANGES})


def append_reset(db: apsw.Connection, change: int, series: int) -> None:
    """Remember that all of a symbol, one of whose series this is, has to be read anew."""
    db.execute(PUT, (change, series, 0, 0))


READ = """
SELECT change, series, start, stop
FROM change_log
WHERE change > :since AND series / 32 IN (SELECT value FROM carray(:symbols))
ORDER BY change
"""


def read_since(db: apsw.Connection, since: int, symbol_ids: Iterable[int]) -> list[LogEntry]:
    """Return what has been touched of some symbols since a change that `is_kept`."""
    wanted = array("q", symbol_ids)
    if not wanted:
        return []
    bindings = {"since": since, "symbols": apsw.carray(wanted)}
    return [LogEntry(*row) for row in connection.query_all(db, READ, bindings)]


def covers(since: int, newest: int) -> bool:
    """Say whether the log still holds every change after `since`."""
    return newest - KEPT_CHANGES <= since <= newest
