"""The command `gaps`."""

import time
from typing import Any

import click

from gfil import clocks, config
from gfil.commands import json_option, print_result
from gfil.store import symbols
from gfil.store.engine import connection
from gfil.wording import format_count


@click.command()
@click.option("--symbol", "name", help="Symbol to check (default: every symbol).")
@click.option(
    "--from", "from_", metavar="TIME", help="Start of the range (default: the first candle)."
)
@click.option("--to", metavar="TIME", help="End of the range, exclusive (default: now).")
@json_option
def gaps(name: str | None, from_: str | None, to: str | None, as_json: bool) -> None:
    """List missing minutes that at least half of the nearest 8 weeks have."""
    from gfil.maintenance.gaps import find

    path, now = config.read().db, time.time()
    start = clocks.parse_instant(from_) if from_ else None
    stop = clocks.parse_instant(to) if to else None
    db = connection.connect(path, readonly=True)
    chosen = symbols.list_symbols(db) if name is None else [symbols.read(db, name)]
    lines: list[str] = []
    rows: list[dict[str, Any]] = []
    for symbol in chosen:
        for gap in find(db, symbol, start, stop, now=now):
            start_stop = " to ".join(map(clocks.format_instant, gap))
            lines.append(f"{symbol.name}: {start_stop}, {format_count(gap.minutes, 'minute')}")
            rows.append(gap.named(symbol.name))
    minutes = format_count(sum(gap["minutes"] for gap in rows), "minute")
    lines.append(f"{path}: {format_count(len(rows), 'gap')}, {minutes}")
    print_result("\n".join(lines), as_json, db=path, gaps=rows)
