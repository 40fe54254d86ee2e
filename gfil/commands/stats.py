"""The command `stats`."""

import re
import time
from collections.abc import Sequence

import click

from gfil import clocks, config
from gfil.commands import json_option, print_result
from gfil.store import hourly_stats
from gfil.store.engine import connection
from gfil.store.hourly_stats import RETENTION_S, Summary
from gfil.timeframes import DAY, HOUR
from gfil.wording import format_number

UNITS_S = {"h": HOUR, "d": DAY}
HEAD = ("", "requests", "per s", "rows", "per s", "p50 ms", "p95 ms", "p99 ms")


@click.command()
@click.option(
    "--since",
    default="7d",
    metavar="DURATION",
    help="Hours or days, such as 24h or 7d (at most 30d).",
)
@json_option
def stats(since: str, as_json: bool) -> None:
    """Show rates and latencies of HTTP requests, from the hourly statistics."""
    path, now = config.read().db, time.time()
    db = connection.connect(path, readonly=True)
    with connection.snapshot(db):
        first, found = hourly_stats.summarise(db, now - _parse(since), now)
    lines = [
        *_align([HEAD, *map(_row, found)]),
        *(f"{row.kind} refused: {_list_reasons(row.reasons)}" for row in found if row.reasons),
        f"{path}: since {clocks.format_instant(first)}",
    ]
    kinds = [summary._asdict() for summary in found]
    print_result("\n".join(lines), as_json, db=path, since=first, kinds=kinds)


def _parse(since: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,3})([hd])", since)
    seconds = int(match[1]) * UNITS_S[match[2]] if match else 0
    if not 0 < seconds <= RETENTION_S:
        raise click.BadParameter(
            "must be hours or days such as 24h or 7d, at most 30d", param_hint="--since"
        )
    return seconds


def _row(summary: Summary) -> tuple[str, ...]:
    latencies_ms = (summary.p50_ms, summary.p95_ms, summary.p99_ms)
    return (
        summary.kind,
        format_number(summary.requests),
        _format_rate(summary.requests_s),
        format_number(sum(summary.rows.values())) if summary.rows else "",
        _format_rate(summary.rows_s) if summary.rows else "",
        *("" if ms is None else f"{ms:.3g}" for ms in latencies_ms),
    )


def _format_rate(rate_s: float) -> str:
    return format_number(rate_s) if rate_s >= 100 else f"{rate_s:.2g}"


def _list_reasons(counts: dict[str, int]) -> str:
    most_first = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{format_number(number)} {reason}" for reason, number in most_first)


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]
