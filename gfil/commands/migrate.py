"""The command that moves over from the old JSON files."""

import math
import sys
import time
from typing import Any

import click

from gfil import clocks, config
from gfil.commands import json_option, say
from gfil.errors import BadParameter

NEVER = "never"
KEEP_HOURS_MAX = 24 * 366


@click.command()
@click.argument("source", metavar="DIR|FILE.db")
@click.option(
    "--dry-run", is_flag=True, help="Tell what is there and would be done; store nothing."
)
@click.option(
    "--clock",
    show_default="UTC",
    help="Clock of the stamps: UTC, a zone, an offset, nyclose; without it a JSON head tells.",
)
@click.option(
    "--keep-hours",
    show_default="72",
    metavar="HOURS|never",
    help="How long the old files stay once they are verified.",
)
@json_option
def migrate(
    source: str, dry_run: bool, clock: str | None, keep_hours: str | None, as_json: bool
) -> int:
    """Move over from the old system: a folder of SYMBOL_TF.json files, or its SQLite file.

    What is stored already stays as it is. Stopped at any moment and run again it goes on; a second
    run does nothing.
    """
    from gfil.migration import dry_run as migration_dry_run
    from gfil.migration import legacy_files
    from gfil.migration import migrate as migration
    from gfil.migration.report import MigrationReport
    from gfil.store.engine import connection

    told_clock = None if clock is None else clocks.parse(clock)
    hours = _parse_hours("72" if keep_hours is None else keep_hours)
    found = legacy_files.find(source)
    path = config.read().db
    moved = MigrationReport(path, found.foreign, dry_run, hours)
    length = sum(original.size for original in found.originals)
    with _progress(length * (1 if dry_run else 2)) as progress:
        if dry_run:
            db = connection.connect(path, readonly=True) if path.exists() else None
            how = legacy_files.ReadOptions(told_clock, time.time())
            migration_dry_run.run(db, found, how, moved, progress.update)
        else:
            wishes = migration.MigrationOptions(told_clock, hours, keep_hours is not None)
            migration.migrate(
                path, found, wishes, moved, tell_time=time.time, progress=progress.update
            )
    for file in moved.files:
        if file.error:
            click.echo(f"gfil: {file.name}: {file.error}", err=True)
    say("\n".join(moved.describe()), as_json, **moved.as_json())
    return moved.exit_status


def _parse_hours(text: str) -> float | None:
    if text.strip().casefold() == NEVER:
        return None
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not 0 <= hours <= KEEP_HOURS_MAX:
        raise BadParameter(f"--keep-hours {text[:32]!r}: a number up to {KEEP_HOURS_MAX}, or never")
    return hours


def _progress(length: int) -> Any:
    # A bar for people to watch, on the terminal only.
    hidden = not length or not sys.stderr.isatty()
    return click.progressbar(length=length, file=sys.stderr, hidden=hidden, label="migrating")
