"""The import of a large file: candles per second, memory, and DuckDB on the same file."""

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson

from gfil.bench import market
from gfil.bench.processes import Run, run
from gfil.bench.results import Goal, Result
from gfil.bench.workspace import ON_UTC, Workspace
from gfil.config import ROOT
from gfil.errors import GfilError
from gfil.store.engine import connection

FEW = 10  # memory is flat if a file that is so many times smaller takes as much
WHAT = "CSV import with all derived"


def measure_import(place: Workspace) -> Iterator[Result]:
    """Import one made-up history as CSV and as MetaTrader writes it, and a tenth of it."""
    count = place.sizes.csv_rows
    part = market.minutes(count, ON_UTC)
    plain, mt5, few = (place.scratch / name for name in ("many.csv", "mt5.csv", "few.csv"))
    market.write_csv(plain, part, count)
    market.write_mt5(mt5, part, count)
    market.write_csv(few, part, count // FEW)
    least, most = _import(place, few), _import(place, plain)
    peers, note = _ask_duckdb(plain, count)
    note = f"{most.cpu_s:.1f} s of CPU in {most.seconds:.1f} s; {note}"
    goal, stretch = Goal("≥", 200_000), Goal("≥", 400_000)
    yield Result("import", WHAT, count / most.seconds, "/s", goal, stretch, peers, note)
    from_mt5 = count / _import(place, mt5).seconds
    yield Result("import", f"{WHAT}, an MT5 export", from_mt5, "/s", goal, stretch)
    yield Result(
        "import",
        f"{WHAT}: how much more memory {count:,} rows take than {count // FEW:,}",
        most.peak_mb - least.peak_mb if most.peak_mb and least.peak_mb else None,
        "MB",
        note=f"{most.peak_mb:.0f} MB at most" if most.peak_mb else "this system does not tell",
    )


def _import(place: Workspace, file: Path) -> Run:
    database = file.with_suffix(".db")
    connection.create(database)
    done = run(["-m", "gfil", "import", str(file), "--symbol", ON_UTC, "--tf", "M1"], database)
    database.unlink()
    if done.status:
        raise GfilError(f"the import to measure fails: {done.errors.strip()}")
    return done


def _ask_duckdb(file: Path, count: int) -> tuple[Mapping[str, float], str]:
    if importlib.util.find_spec("duckdb") is None:
        return {}, "DuckDB is not installed"
    database = file.with_suffix(".duckdb")
    peer = [str(ROOT / "scripts/bench/duckdb_peer.py")]
    loaded = run([*peer, "load", str(database), str(file)], database)
    size = database.stat().st_size
    asked = run([*peer, "ask", str(database)], database)
    if loaded.status or asked.status:
        return {}, f"DuckDB fails: {(loaded.errors or asked.errors).strip().splitlines()[-1]}"
    told = orjson.loads(asked.output)
    return {
        "DuckDB candles/s": count / loaded.seconds,
        "DuckDB peak MB": loaded.peak_mb or 0.0,
        "DuckDB bytes per M1": size / count,
        "DuckDB 100 H1 ms": told["read_ms"],
        "DuckDB one M1 durable ms": told["write_ms"],
    }, f"DuckDB {told['version']} on the same file"
