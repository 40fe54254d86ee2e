"""The command that tells which minutes are missing."""

import time
from typing import Any

import click

from gfil import clocks, config
from gfil.commands import json_option, say
from gfil.store import symbols
from gfil.store.engine import connection


@click.command()
@click.option("--symbol", "name", help="Whose minutes; without it those of every symbol.")
@click.option("--from", "from_", metavar="TIME", help="From here on; without it from the first.")
@click.option("--to", metavar="TIME", help="Up to here; without it to now.")
@json_option
def gaps(name: str | None, from_: str | None, to: str | None, as_json: bool) -> None:
    """Tell which minutes are missing that at least half of the nearest 8 weeks have."""
    from gfil.maintenance.gaps import find

    path, now = config.read().db, time.time()
    start = clocks.parse_instant(from_) if from_ else None
    stop = clocks.parse_instant(to) if to else None
    db = connection.connect(path, readonly=True)
    chosen = symbols.list_symbols(db) if name is None else [symbols.read(db, name)]
    lines: list[str] = []
    told: list[dict[str, Any]] = []
    for symbol in chosen:
        for gap in find(db, symbol, start, stop, now=now):
            reach = " to ".join(map(clocks.format_instant, gap))
            lines.append(f"{symbol.name}: {reach}, {gap.minutes} minutes")
            told.append(gap.named(symbol.name))
    minutes = sum(gap["minutes"] for gap in told)
    summary = f"{path}: {len(told)} gaps, {minutes} minutes"
    say("\n".join([*lines, summary]), as_json, db=path, gaps=told)
