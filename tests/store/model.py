"""A database and the oracle side by side: a test does the same to both and compares them."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from gfil import clocks, timeframes
from gfil.clocks import TIME_MIN
from gfil.maintenance.prune import prune
from gfil.store import retention_clock, symbol_settings, symbols
from gfil.store.candles import read as candle_read
from gfil.store.candles import ticks
from gfil.store.candles import write as candle_write
from gfil.store.candles.ticks import Ticks
from gfil.store.candles.write import CandleColumns, WriteResult
from gfil.store.engine import connection
from gfil.store.removal import delete_range
from gfil.store.retention import rules
from gfil.timeframes import TIMEFRAMES
from tests.oracle.buckets import CHAIN, DAY, SECONDS
from tests.oracle.candles import Row, Tick, check_ascending, is_close
from tests.oracle.database import list_differences, read_rows
from tests.oracle.symbol import Reference

EVERYTHING = 10**7
PAGED_MAX = 20

CANDLES = """
SELECT series, time, extra_s, kind, open, high, low, close, volume
FROM candle ORDER BY series, time, extra_s
"""
SUPERSEDED = """
SELECT series, time, extra_s, open, high, low, close, volume
FROM superseded ORDER BY series, time, extra_s
"""


def columns(timeframe: str, rows: Sequence[Row]) -> CandleColumns:
    """Return rows as `write_candles` takes them."""
    flat = [(start, stop - start - SECONDS[timeframe], *values) for (start, stop), values in rows]
    return (
        CandleColumns(*map(list, zip(*flat, strict=True)))
        if flat
        else CandleColumns(*([] for _ in range(7)))
    )


def write(
    db: apsw.Connection,
    symbol: str,
    timeframe: str,
    rows: Sequence[Row],
    clock: str = "UTC",
    **options: Any,
) -> WriteResult:
    """Send rows of one timeframe and clock in one transaction."""
    with connection.transaction(db):
        return candle_write.write_candles(
            db,
            symbols.ensure(db, symbol),
            timeframes.parse(timeframe),
            columns(timeframe, rows),
            clock=clocks.parse(clock),
            **options,
        )


def write_ticks(db: apsw.Connection, symbol: str, given: Sequence[Tick]) -> ticks.TickWriteResult:
    """Send ticks of one symbol in one transaction."""
    with connection.transaction(db):
        columns = Ticks(*zip(*given, strict=True)) if given else Ticks(*[()] * 6)
        return ticks.write_ticks(db, symbols.ensure(db, symbol), columns)


def read(
    connection: apsw.Connection,
    symbol: str,
    timeframe: str,
    clock: str = "UTC",
    start: int | None = TIME_MIN,
    stop: int | None = None,
    limit: int = EVERYTHING,
) -> candle_read.CandleSlice:
    """Read candles by names; all of them by default."""
    found = symbols.read(connection, symbol)
    parsed = timeframes.parse(timeframe), clocks.parse(clock)
    return candle_read.read_candles(connection, found, *parsed, start, stop, limit)


def tables(db: apsw.Connection) -> tuple[list[Any], list[Any]]:
    """Return all rows of the two tables that hold candles."""
    return connection.query_all(db, CANDLES), connection.query_all(db, SUPERSEDED)


class Model:
    """One symbol in a real file, and the same symbol in the oracle."""

    symbol = "EURUSD"

    def __init__(self, path: Path) -> None:
        connection.create(path)
        self.connection = connection.connect(path)
        self.reference = Reference()
        with connection.transaction(self.connection):
            symbols.ensure(self.connection, self.symbol)

    def close(self) -> None:
        self.connection.close()

    @property
    def change(self) -> int:
        return connection.read_state(self.connection)[1]

    def write(self, timeframe: str, clock: str, rows: Sequence[Row], **options: Any) -> None:
        """Send rows to both and compare the counts."""
        change = self.change
        wanted = self.reference.write(timeframe, clock, rows, **options)
        moved = int(wanted.pop("changed"))
        written = write(self.connection, self.symbol, timeframe, rows, clock, **options)
        assert {name: getattr(written, name) for name in wanted} == wanted
        assert written.change == (change + 1) * moved
        assert self.change == change + moved
        assert sum(wanted.values()) == len(rows)

    def write_ticks(self, given: Sequence[Tick]) -> None:
        """Send ticks to both and compare the counts."""
        change = self.change
        new, known, refused = self.reference.write_ticks(given)
        written = write_ticks(self.connection, self.symbol, given)
        assert written[:3] == (new, known, refused)
        assert written.change == (change + 1 if new else 0)
        assert self.change == change + bool(new)

    def set_price(self, price: str | None) -> None:
        """Set the price rule of ticks in both."""
        with connection.transaction(self.connection):
            symbol_settings.set_price(
                self.connection, symbols.read(self.connection, self.symbol), price
            )
        self.reference.set_price(price)

    def delete(self, start: int, stop: int, timeframe: str | None = None) -> None:
        """Delete a range in both."""
        parsed = timeframes.parse(timeframe) if timeframe else None
        symbol = symbols.read(self.connection, self.symbol)
        foretold = delete_range.count_range(self.connection, symbol, start, stop, parsed)
        done = delete_range.delete_range(self.connection, symbol, start, stop, parsed)
        gone = self.reference.delete(start, stop, timeframe)
        gone_ticks = 0 if timeframe else self.reference.delete_ticks(start, stop)
        assert (foretold.deleted, done.deleted) == (gone, gone)
        assert (foretold.ticks, done.ticks) == (gone_ticks, gone_ticks)

    def prune(self, now: int, days: dict[str, int]) -> None:
        """Prune both: the named rows after their number of days, all others never."""
        never = dict.fromkeys(rules.SUBJECTS) | dict.fromkeys(CHAIN, rules.FOREVER)
        wishes = never | {what: rules.Period(count, "days") for what, count in days.items()}
        with connection.transaction(self.connection):
            rules.set_rules(self.connection, None, wishes)
        foretold = prune(self.connection, now=now, dry_run=True)
        newest = retention_clock.read_newest(self.connection)
        done = prune(self.connection, now=now, rest=lambda _: None)
        self.reference.days = days
        counted = {
            what: self.reference.prune_ticks(cutoff, now)
            if what == "ticks"
            else self.reference.prune(what, cutoff, now)
            for what, cutoff in self._cutoffs(min(now, newest or now), days)
        }
        self.reference.release_clocks()
        self.reference.forget_marks(now)
        assert done.ticks == foretold.ticks == counted.pop("ticks", 0)
        counted = {what: count for what, count in counted.items() if count}
        assert (done.rows, foretold.rows) == (counted, counted)
        assert (done.days, done.left) == (foretold.days, foretold.left)

    def _cutoffs(self, until: int, days: dict[str, int]) -> list[tuple[str, int]]:
        today = until - until % DAY
        return [(what, today - days[what] * DAY) for what in rules.SUBJECTS if what in days]

    def set_clock(self, clock: str) -> None:
        """Set the clock of the symbol in both."""
        with connection.transaction(self.connection):
            symbol = symbols.read(self.connection, self.symbol)
            symbol_settings.set_clock(self.connection, symbol, clocks.parse(clock))
        self.reference.set_clock(clock)

    def check_tables(self) -> None:
        """Assert that every row equals the one that the laws demand."""
        db = self.connection
        rows = read_rows(db, symbols.read(db, self.symbol).id)
        assert list_differences(rows, self.reference) == []
        received = dict(connection.query_all(db, "SELECT day, time FROM received_day"))
        assert received == self.reference.received
        backdated = connection.query_all(db, "SELECT series % 32, day FROM backdated_day")
        named = {(TIMEFRAMES[number].name, day) for number, day in backdated}
        assert named == self.reference.backdated

    def check_answers(self, clock: str) -> None:
        """Assert that every timeframe on a clock answers as the laws demand."""
        for timeframe in SECONDS:
            page = read(self.connection, self.symbol, timeframe, clock)
            self._compare(page.candles, self.reference.read(timeframe, clock), timeframe, clock)
            assert page.next is None

    def check_pages(self, rng: random.Random, timeframe: str, clock: str) -> None:
        """Assert that pages of any size, read in either direction, add up to their range."""
        whole = self.reference.read(timeframe, clock)
        if not whole:
            return
        first = rng.randrange(len(whole))
        some = whole[first : first + rng.randint(1, PAGED_MAX)]
        start, stop = some[0][0] - rng.choice((0, 1, 60)), some[-1][0] + rng.choice((1, 60))
        some = [row for row in whole if start <= row[0] < stop]
        limit = rng.choice((1, 2, 3, 7))
        forward, backward = [], []
        place = start
        while place is not None:
            page = self._read_page(timeframe, clock, place, stop, limit)
            forward, place = forward + page.candles, page.next
        self._compare(forward, some, timeframe, clock, start, stop, limit)
        place = stop
        while place is not None and len(backward) < len(some):
            page = self._read_page(timeframe, clock, None, place, limit)
            backward, place = page.candles + backward, page.next
        before = [row for row in whole if row[0] < stop]
        assert place is None or len(backward) < len(before)
        self._compare(backward, before[-len(backward) :], timeframe, clock, None, stop, limit)

    def _read_page(
        self, timeframe: str, clock: str, start: int | None, stop: int, limit: int
    ) -> candle_read.CandleSlice:
        page = read(self.connection, self.symbol, timeframe, clock, start, stop, limit)
        assert len(page.candles) == limit or page.next is None
        return page

    def _compare(self, found: list[Any], wanted: list[Any], *what: Any) -> None:
        check_ascending(found)
        same = len(found) == len(wanted) and all(map(is_close, found, wanted))
        assert same, (what, _first_difference(found, wanted))


def _first_difference(found: list[Any], wanted: list[Any]) -> dict[str, Any]:
    there, should = ({row[0]: row[1:] for row in rows} for rows in (found, wanted))
    times = sorted(there.keys() | should.keys())
    different = [time for time in times if there.get(time) != should.get(time)]
    return {time: (there.get(time), should.get(time)) for time in different[:3]} | {
        "different": len(different)
    }


def everything(path: Path) -> tuple[list[Any], list[Any]]:
    """Return all rows of the two tables that hold candles, from a file."""
    db = connection.connect(path, readonly=True)
    try:
        return tables(db)
    finally:
        db.close()
