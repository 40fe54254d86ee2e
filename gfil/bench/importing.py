"""Import row: candles per second and memory for a large file, and DuckDB on the same file."""

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

FEW_FACTOR = 10  # memory is flat if a file smaller by this factor needs as much
WHAT = "CSV import with all derived candles"


def measure_import(workspace: Workspace) -> Iterator[Result]:
    """Import a generated history as CSV and as an MT5 export, and a tenth of it."""
    count = workspace.sizes.csv_rows
    part = market.minutes(count, ON_UTC)
    plain, mt5, few = (workspace.scratch / name for name in ("many.csv", "mt5.csv", "few.csv"))
    market.write_csv(plain, part, count)
    market.write_mt5(mt5, part, count)
    market.write_csv(few, part, count // FEW_FACTOR)
    small, large = _import(workspace, few), _import(workspace, plain)
    peers, note = _measure_duckdb(plain, count)
    note = f"{large.cpu_s:.1f} s of CPU in {large.seconds:.1f} s; {note}"
    goal, stretch = Goal("≥", 200_000), Goal("≥", 400_000)
    yield Result("import", WHAT, count / large.seconds, "/s", goal, stretch, peers, note)
    from_mt5 = count / _import(workspace, mt5).seconds
    yield Result("import", f"{WHAT}, an MT5 export", from_mt5, "/s", goal, stretch)
    yield Result(
        "import",
        f"{WHAT}: additional memory of {count:,} rows over {count // FEW_FACTOR:,}",
        large.peak_mb - small.peak_mb if large.peak_mb and small.peak_mb else None,
        "MB",
        note=f"peak {large.peak_mb:.0f} MB" if large.peak_mb else "not available on this system",
    )


def _import(workspace: Workspace, file: Path) -> Run:
    database = file.with_suffix(".db")
    connection.create(database)
    done = run(["-m", "gfil", "import", str(file), "--symbol", ON_UTC, "--tf", "M1"], database)
    database.unlink()
    if done.status:
        raise GfilError(f"the measured import failed: {done.errors.strip()}")
    return done


def _measure_duckdb(file: Path, count: int) -> tuple[Mapping[str, float], str]:
    if importlib.util.find_spec("duckdb") is None:
        return {}, "DuckDB is not installed"
    database = file.with_suffix(".duckdb")
    peer = [str(ROOT / "scripts/bench/duckdb_peer.py")]
    loaded = run([*peer, "load", str(database), str(file)], database)
    size = database.stat().st_size
    asked = run([*peer, "ask", str(database)], database)
    if loaded.status or asked.status:
        return {}, f"DuckDB failed: {(loaded.errors or asked.errors).strip().splitlines()[-1]}"
    fields = orjson.loads(asked.output)
    return {
        "DuckDB candles/s": count / loaded.seconds,
        "DuckDB peak MB": loaded.peak_mb or 0.0,
        "DuckDB bytes per M1": size / count,
        "DuckDB 100 H1 ms": fields["read_ms"],
        "DuckDB one M1 durable ms": fields["write_ms"],
    }, f"DuckDB {fields['version']} on the same file"
