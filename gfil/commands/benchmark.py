"""The command that measures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from gfil import config
from gfil.commands import json_option, say


@click.command()
@click.option("--quick", is_flag=True, help="Small sizes: shows that it works, measures little.")
@click.option("--only", "rows", multiple=True, metavar="ROW", help="Only this row; more than once.")
@click.option("--keep", type=click.Path(file_okay=False), help="Where to keep the databases.")
@click.option("--candles", type=click.IntRange(min=40_000), help="M1 of the largest database.")
@click.option("--csv-rows", type=click.IntRange(min=2_000), help="Rows of the imported file.")
@json_option
def bench(
    quick: bool, rows: Sequence[str], keep: str | None, as_json: bool, **sizes: int | None
) -> None:
    """Measure what the product promises, on this machine and on made-up data."""
    from gfil import bench as benchmark
    from gfil.bench import report, workspace

    given = {name: size for name, size in sizes.items() if size is not None}
    chosen = replace(workspace.QUICK if quick else workspace.FULL, **given)
    machine = report.machine()
    folder = config.read().db.parent
    figures = benchmark.run(rows, chosen, folder, Path(keep) if keep else None)
    text = report.describe(machine, chosen, figures)
    say(text, as_json, **report.names(machine, chosen, figures))
