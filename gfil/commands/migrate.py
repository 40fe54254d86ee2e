"""The command `migrate`."""

import math
import time

import click

from gfil import clocks, config
from gfil.commands import json_option, print_result, progress_bar
from gfil.errors import BadParameter

NEVER = "never"
KEEP_HOURS_MAX = 24 * 366


@click.command()
@click.argument("source", metavar="DIR|FILE.db")
@click.option("--dry-run", is_flag=True, help="Report on the files without storing anything.")
@click.option(
    "--clock",
    show_default="UTC",
    help="Clock of the times: UTC, a zone, an offset or nyclose, unless a JSON head names it.",
)
@click.option(
    "--keep-hours",
    show_default="72",
    metavar="HOURS|never",
    help="Hours to keep the old files after verification.",
)
@json_option
def migrate(
    source: str, dry_run: bool, clock: str | None, keep_hours: str | None, as_json: bool
) -> int:
    """Import the files of the old system: a folder of SYMBOL_TF.json files, or its SQLite file.

    Stored candles stay unchanged. An interrupted migration resumes when it is run again; a second
    run of a finished migration changes nothing.
    """
    from gfil.migration import dry_run as migration_dry_run
    from gfil.migration import legacy_files
    from gfil.migration import migrate as migration
    from gfil.migration.report import MigrationReport
    from gfil.store.engine import connection

    known_clock = None if clock is None else clocks.parse(clock)
    hours = _parse_hours("72" if keep_hours is None else keep_hours)
    found = legacy_files.find(source)
    path = config.read().db
    report = MigrationReport(path, found.foreign, dry_run, hours)
    size_bytes = sum(file.size for file in found.files)
    with progress_bar(size_bytes * (1 if dry_run else 2), "migrating") as progress:
        if dry_run:
            db = connection.connect(path, readonly=True) if path.exists() else None
            read_options = legacy_files.ReadOptions(known_clock, time.time())
            migration_dry_run.run(db, found, read_options, report, progress.update)
        else:
            options = migration.MigrationOptions(known_clock, hours, keep_hours is not None)
            migration.migrate(
                path, found, options, report, read_time=time.time, progress=progress.update
            )
    for file in report.files:
        if file.error:
            click.echo(f"gfil: {file.name}: {file.error}", err=True)
    print_result("\n".join(report.describe()), as_json, **report.as_json())
    return report.exit_status


def _parse_hours(text: str) -> float | None:
    if text.strip().casefold() == NEVER:
        return None
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not 0 <= hours <= KEEP_HOURS_MAX:
        limits = f"a number from 0 to {KEEP_HOURS_MAX}, or never"
        raise BadParameter(f"--keep-hours must be {limits}, not {text[:32]!r}")
    return hours
