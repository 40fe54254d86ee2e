"""The command `bench`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from gfil import config
from gfil.commands import json_option, print_result


@click.command()
@click.option("--quick", is_flag=True, help="Use small sizes: a check that the benchmark works.")
@click.option(
    "--only", "rows", multiple=True, metavar="ROW", help="Run only this row (repeatable)."
)
@click.option("--keep", type=click.Path(file_okay=False), help="Keep the databases in this folder.")
@click.option(
    "--candles",
    type=click.IntRange(min=40_000),
    help="Number of M1 candles in the largest database.",
)
@click.option(
    "--csv-rows", type=click.IntRange(min=2_000), help="Number of rows in the imported file."
)
@json_option
def bench(
    quick: bool, rows: Sequence[str], keep: str | None, as_json: bool, **sizes: int | None
) -> None:
    """Measure throughput and latency on this machine with generated data."""
    from gfil import bench as benchmark
    from gfil.bench import report, workspace

    changed = {name: size for name, size in sizes.items() if size is not None}
    chosen = replace(workspace.QUICK if quick else workspace.FULL, **changed)
    machine = report.machine()
    folder = config.read().db.parent
    results = benchmark.run(rows, chosen, folder, Path(keep) if keep else None)
    text = report.describe(machine, chosen, results)
    print_result(text, as_json, **report.as_json(machine, chosen, results))
