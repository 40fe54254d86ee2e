"""The commands that copy the database, put a copy in its place, and say whether all is well."""

import time
from pathlib import Path

import click

from gfil import config
from gfil.commands import json_option, say

MB = 1_000_000


@click.command()
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--keep", type=click.IntRange(1), help="So many in the folder DEST; older ones go.")
@json_option
def backup(dest: Path, keep: int | None, as_json: bool) -> None:
    """Make a checked copy, while the server runs; into a folder under a name with the date."""
    from gfil.upkeep.backup import write

    path = config.read().db
    made = write(path, dest, keep=keep, now=time.time())
    line = f"{path}: backed up to {made.path}, {made.bytes / MB:.1f} MB, checked"
    if made.removed:
        line += f"; {len(made.removed)} older removed"
    say(line, as_json, db=path, **made.as_json())


@click.command()
@click.argument("src", type=click.Path(path_type=Path))
@json_option
def restore(src: Path, as_json: bool) -> None:
    """Put a backup, verified first, in the place of the database, which is kept beside it."""
    from gfil.upkeep.restore import run

    path = config.read().db
    done = run(src, path, now=time.time())
    line = f"{path}: restored from {src}"
    line += f"; what was there is now {done.kept}" if done.kept else ""
    line += f"; {done.revoked} keys revoked since stay revoked" if done.revoked else ""
    say(line, as_json, db=path, source=src, **done._asdict())
