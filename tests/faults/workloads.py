"""Workloads: steps on a database that a power cut may interrupt."""

import contextlib
import random
from pathlib import Path
from typing import Any

import apsw

from gfil import clocks
from gfil.errors import SymbolUnknown
from gfil.ingest import importer
from gfil.migration import legacy_files, migrate, verify
from gfil.migration.report import MigrationReport
from gfil.store import api_keys, symbol_settings, symbols
from gfil.store.engine import connection
from gfil.store.removal import delete_range, sweep
from gfil.timeframes import parse
from tests.faults.power import Step
from tests.oracle.buckets import bucket
from tests.oracle.candles import Candle, Tick
from tests.store.model import Row, write, write_ticks

NOW = 1_700_000_000
DAY = NOW // 86400 * 86400 - 7 * 86400
NEW_YORK = "America/New_York+07:00"
SYMBOL = "EURUSD"


def candle(rng: random.Random, opening: float = 1.1) -> Candle:
    """Return a random candle that obeys the law."""
    prices = [opening, *(round(opening + rng.uniform(-0.01, 0.01), 5) for _ in range(3))]
    return prices[0], max(prices), min(prices), prices[-1], float(rng.randrange(1, 50))


def minutes(rng: random.Random, start: int, count: int) -> list[Row]:
    """Return `count` consecutive M1."""
    return [((time, time + 60), candle(rng)) for time in range(start, start + 60 * count, 60)]


def send(timeframe: str, rows: list[Row], clock: str = "UTC", **options: Any) -> Step:
    """Return a step that sends candles."""
    return lambda connection: write(connection, SYMBOL, timeframe, rows, clock, **options)


def pumped_candles(rng: random.Random) -> list[Step]:
    """M1 as a pump sends them: a few new ones each time, the last one repeated."""
    steps: list[Step] = []
    time = DAY
    for _ in range(40):
        rows = minutes(rng, time, rng.choice((1, 1, 2, 5)))
        steps.append(send("M1", rows))
        time = rows[-1][0][0] + 60 * rng.choice((0, 1, 1, 7, 40))
    return steps


def late_candles(rng: random.Random) -> list[Step]:
    """Candles of any timeframe and clock in random order; finer ones supersede some."""
    steps: list[Step] = [send("M1", minutes(rng, DAY, 1)), _set_clock("Europe/Athens")]
    for _ in range(34):
        timeframe = rng.choice(("M1", "M1", "M1", "M5", "H1", "H4", "D1"))
        clock = rng.choice(("UTC", NEW_YORK))
        spot = DAY + rng.randrange(3) * 86400 + rng.randrange(30) * 60
        times = range(spot, spot + 60 * rng.randint(1, 6), 60)
        withins = sorted({bucket(timeframe, clock, time) for time in times})
        steps.append(send(timeframe, [(within, candle(rng)) for within in withins], clock))
    return steps


def _set_clock(name: str) -> Step:
    def step(db: apsw.Connection) -> None:
        with connection.transaction(db):
            symbol = symbols.read(db, SYMBOL)
            symbol_settings.set_clock(db, symbol, clocks.parse(name))

    return step


def ticks_of(rng: random.Random, start_msc: int, count: int) -> list[Tick]:
    """Return `count` ticks within some seconds, a few of them in one millisecond."""
    ticks = []
    time_msc = start_msc
    for _ in range(count):
        bid = round(1.1 + rng.uniform(-0.01, 0.01), 5)
        volume = float(rng.choice((0, 0, 0, 3)))
        ticks.append((time_msc, bid, round(bid + 0.0002, 5), rng.choice((0, bid)), volume, 6))
        time_msc += rng.choice((0, 1, 700, 5000))
    return ticks


def send_ticks(ticks: list[Tick]) -> Step:
    """Return a step that sends ticks."""
    return lambda connection: write_ticks(connection, SYMBOL, ticks)


def pumped_ticks(rng: random.Random) -> list[Step]:
    """Ticks as a pump sends them: some of the last request are repeated."""
    steps: list[Step] = []
    time_msc = DAY * 1000
    for _ in range(40):
        ticks = ticks_of(rng, time_msc, rng.choice((1, 3, 20)))
        steps.append(send_ticks(ticks))
        time_msc = ticks[-1][0] + rng.choice((1, 400, 60_000, 400_000))
        if rng.random() < 0.3:
            steps.append(send_ticks(ticks[-2:]))
    return steps


def late_ticks(rng: random.Random) -> list[Step]:
    """Ticks in random order, the broker's candles over them, and changes of the price rule."""

    def reprice(price: str | None) -> Step:
        def step(db: apsw.Connection) -> None:
            with connection.transaction(db):
                symbol_settings.set_price(db, symbols.read(db, SYMBOL), price)

        return step

    steps: list[Step] = [send_ticks(ticks_of(rng, DAY * 1000, 5))]
    for _ in range(30):
        time = DAY + rng.randrange(40) * 60
        what = rng.choice(("ticks", "ticks", "ticks", "candles", "early", "price"))
        if what == "ticks":
            steps.append(send_ticks(ticks_of(rng, time * 1000, rng.choice((1, 5, 20)))))
        elif what == "price":
            steps.append(reprice(rng.choice((None, *symbols.PRICES))))
        else:
            now = time + 90 if what == "early" else NOW  # the second one is still forming
            steps.append(send("M1", minutes(rng, time, 2), now=now))
    return steps


def keys_made_and_revoked(rng: random.Random) -> list[Step]:
    """Keys created and revoked between writes: a revoked key must stay revoked."""
    ids = {}

    def make(number: int) -> Step:
        def step(db: apsw.Connection) -> None:
            with connection.transaction(db):
                key, _ = api_keys.create(db, f"key {number}", "write", now=NOW)
                ids[number] = key.id

        return step

    def revoke(number: int) -> Step:
        def step(db: apsw.Connection) -> None:
            with connection.transaction(db):
                api_keys.revoke(db, ids[number], now=NOW + number)

        return step

    steps: list[Step] = []
    for number in range(24):
        steps += [make(number), send("M1", minutes(rng, DAY + number * 600, 1)), revoke(number)]
    return steps


def checkpoints(rng: random.Random, path: Path) -> list[Step]:
    """Writes with checkpoints of another connection between them, also during a read."""
    steps: list[Step] = []
    modes = (
        apsw.SQLITE_CHECKPOINT_PASSIVE,
        apsw.SQLITE_CHECKPOINT_FULL,
        apsw.SQLITE_CHECKPOINT_RESTART,
        apsw.SQLITE_CHECKPOINT_TRUNCATE,
    )

    def checkpoint(mode: int, beside_reader: bool) -> Step:
        def step(_: apsw.Connection) -> None:
            other, reader = connection.connect(path), connection.connect(path, readonly=True)
            other.set_busy_timeout(0)
            with connection.snapshot(reader) if beside_reader else contextlib.nullcontext():
                connection.read_state(reader)
                with contextlib.suppress(apsw.BusyError):
                    other.wal_checkpoint(mode=mode)
            other.close()
            reader.close()

        return step

    for number, rows in enumerate(pumped_candles(rng)[:24]):
        steps.append(rows)
        if rng.random() < 0.5:
            steps.append(checkpoint(modes[number % 4], rng.random() < 0.3))
    return steps


def two_writers(rng: random.Random, path: Path) -> list[Step]:
    """Ticks and candles by two alternating connections, as two workers write."""
    others: list[apsw.Connection] = []

    def by_the_other(step: Step) -> Step:
        def other(_: apsw.Connection) -> None:
            if not others:
                others.append(connection.connect(path))
            step(others[0])

        return other

    def leave(_: apsw.Connection) -> None:
        others.pop().close()

    steps = pumped_ticks(rng)[:20] + pumped_candles(rng)[:20]
    rng.shuffle(steps)
    return [by_the_other(step) if rng.random() < 0.5 else step for step in steps] + [leave]


def csv(rows: list[Row]) -> bytes:
    """Return M1 as a CSV file."""
    lines = (f"{start},{','.join(map(str, values))}" for (start, _), values in rows)
    return "\n".join(["time,open,high,low,close,volume", *lines, ""]).encode()


def load(content: bytes) -> Step:
    """Return a step that imports a file."""
    options = importer.Options(symbol=SYMBOL, timeframe=parse("M1"))
    return lambda connection: importer.load(connection, [content], options, now=NOW)


def migration_of(folder: Path) -> Step:
    """Return a step that migrates the legacy files of a folder, one of them cut off."""

    def step(connection: apsw.Connection) -> None:
        path = Path(connection.filename)
        found, moved = legacy_files.find(str(folder)), MigrationReport(path)
        with verify.verifier(path) as checking:
            wishes = migrate.MigrationOptions(keep_hours=72)
            migrate.migrate_into(connection, checking, found, wishes, moved, read_time=lambda: NOW)
        assert moved.exit_status == 3, "of one file the last row is refused"

    return step


def deletions(rng: random.Random) -> list[Step]:
    """Deletions of ranges and whole symbols, with their derived candles."""

    def cut(start: int, stop: int, timeframe: str | None) -> Step:
        def step(connection: apsw.Connection) -> None:
            symbol = symbols.read(connection, SYMBOL)
            parsed = parse(timeframe) if timeframe else None
            delete_range.delete_range(connection, symbol, start, stop, parsed)

        return step

    def drop(db: apsw.Connection) -> None:
        with contextlib.suppress(SymbolUnknown), connection.transaction(db):
            symbols.delete(db, symbols.read(db, SYMBOL))
        sweep.sweep_all(db)

    steps: list[Step] = []
    for _ in range(3):
        steps += [
            send("M1", minutes(rng, DAY, 40)),
            send_ticks(ticks_of(rng, (DAY + 30 * 60) * 1000, 20)),
            send("D1", [(bucket("D1", NEW_YORK, DAY), candle(rng))], NEW_YORK),
            *(
                cut(start, start + rng.choice((300, 900, 90_000)), timeframe)
                for timeframe in (None, "M1", "D1", None)
                for start in (DAY + 60 * rng.randrange(40),)
            ),
            drop,
        ]
    return steps
