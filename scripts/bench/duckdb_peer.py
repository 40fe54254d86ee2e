"""DuckDB on the same file as GFIL: `duckdb_peer.py load DATABASE CSV`, `… ask DATABASE`."""

import importlib
import json
import sys
from statistics import median
from time import perf_counter
from typing import Any

CHAIN_MINUTES = {"M5": 5, "M15": 15, "M30": 30, "H1": 60, "H4": 240, "D1": 1440}
READS = 50
WRITES = 20

TABLE = """
CREATE TABLE {name} (time BIGINT PRIMARY KEY, open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE,
                 volume DOUBLE)
"""
FILL = """
INSERT INTO M1
SELECT epoch(time)::BIGINT, open, high, low, close, volume
FROM read_csv(?, header = true, columns = {
    'time': 'TIMESTAMPTZ', 'open': 'DOUBLE', 'high': 'DOUBLE', 'low': 'DOUBLE', 'close': 'DOUBLE',
    'volume': 'DOUBLE'})
"""
DERIVE = """
SELECT time - time % {seconds} AS time, arg_min(open, time) AS open, max(high) AS high,
       min(low) AS low, arg_max(close, time) AS close, sum(volume) AS volume
FROM {base}
{where}
GROUP BY 1
"""


def derive(db: Any, first: int = 0) -> None:
    """Derive the chain from minute `first` on, each timeframe from the one below it."""
    base = "M1"
    for name, minutes in CHAIN_MINUTES.items():
        seconds = 60 * minutes
        where = f"WHERE time >= {first - first % seconds}"
        select = DERIVE.format(seconds=seconds, base=base, where=where)
        db.execute(f"INSERT OR REPLACE INTO {name} {select}")
        base = name


def fill(db: Any, path: str) -> None:
    """Import the file and derive all timeframes."""
    for name in ("M1", *CHAIN_MINUTES):
        db.execute(TABLE.format(name=name))
    db.execute("BEGIN")
    db.execute(FILL, [path])
    derive(db)
    db.execute("COMMIT")
    db.execute("CHECKPOINT")


def time_ms(action: Any, times: int) -> float:
    """Return the median duration of an action in ms."""
    durations = []
    for _ in range(times):
        start = perf_counter()
        action()
        durations.append(1000 * (perf_counter() - start))
    return median(durations)


def ask(db: Any) -> dict[str, float]:
    """Measure reading 100 H1, and writing one M1 with its derived candles."""

    def read() -> None:
        db.execute("SELECT * FROM H1 ORDER BY time DESC LIMIT 100").fetchall()

    def write() -> None:
        db.execute("BEGIN")
        db.execute("INSERT INTO M1 SELECT max(time) + 60, 1.1, 1.2, 1.0, 1.1, 9 FROM M1")
        (newest,) = db.execute("SELECT max(time) FROM M1").fetchone()
        derive(db, newest)
        db.execute("COMMIT")

    return {"read_ms": time_ms(read, READS), "write_ms": time_ms(write, WRITES)}


def main(command: str, database: str, *files: str) -> None:
    """Run the program."""
    duckdb: Any = importlib.import_module(
        "duckdb"
    )  # not in requirements-dev.txt, so mypy cannot import it
    db = duckdb.connect(database)
    if command == "load":
        fill(db, *files)
    else:
        print(json.dumps({**ask(db), "version": duckdb.__version__}))
    db.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
