"""The command that tells the hourly figures."""

import re
import time
from collections.abc import Sequence

import click

from gfil import clocks, config
from gfil.commands import json_option, say
from gfil.store import hourly_stats
from gfil.store.engine import connection
from gfil.store.hourly_stats import RETENTION_S, Summary
from gfil.timeframes import DAY, HOUR

UNITS_S = {"h": HOUR, "d": DAY}
HEAD = ("", "requests", "a second", "rows", "a second", "p50 ms", "p95 ms", "p99 ms")


@click.command()
@click.option("--since", default="7d", metavar="AMOUNT", help="Such as 24h or 7d; 30d at most.")
@json_option
def stats(since: str, as_json: bool) -> None:
    """Tell how much was taken in and read over HTTP, and how long that took."""
    path, now = config.read().db, time.time()
    db = connection.connect(path, readonly=True)
    with connection.snapshot(db):
        first, found = hourly_stats.summarise(db, now - _parse(since), now)
    lines = [
        *_align([HEAD, *map(_row, found)]),
        *(f"{each.kind} refused: {_list(each.reasons)}" for each in found if each.reasons),
        f"{path}: since {clocks.format_instant(first)}",
    ]
    kinds = [summary._asdict() for summary in found]
    say("\n".join(lines), as_json, db=path, since=first, kinds=kinds)


def _parse(since: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,3})([hd])", since)
    seconds = int(match[1]) * UNITS_S[match[2]] if match else 0
    if not 0 < seconds <= RETENTION_S:
        raise click.BadParameter("hours or days as 24h or 7d, 30d at most", param_hint="--since")
    return seconds


def _row(summary: Summary) -> tuple[str, ...]:
    took = (summary.p50_ms, summary.p95_ms, summary.p99_ms)
    return (
        summary.kind,
        f"{summary.requests:,}",
        _rate(summary.requests_s),
        f"{sum(summary.rows.values()):,}" if summary.rows else "",
        _rate(summary.rows_s) if summary.rows else "",
        *("" if ms is None else f"{ms:.3g}" for ms in took),
    )


def _rate(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}"


def _list(counts: dict[str, int]) -> str:
    most_first = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{number:,} {reason}" for reason, number in most_first)


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]
