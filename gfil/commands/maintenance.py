"""The commands that copy the database, put a copy in its place, and say whether all is well."""

import sys
import time
from pathlib import Path
from typing import Any

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
    from gfil.maintenance.backup import write

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
    from gfil.maintenance.restore import run

    path = config.read().db
    done = run(src, path, now=time.time())
    line = f"{path}: restored from {src}"
    line += f"; what was there is now {done.kept}" if done.kept else ""
    line += f"; {done.revoked} keys revoked since stay revoked" if done.revoked else ""
    say(line, as_json, db=path, source=src, **done._asdict())


@click.command()
@click.option("--quick", is_flag=True, help="In seconds: of the data only the last days.")
@click.option("--repair", is_flag=True, help="Derive wrong candles again from their base.")
@json_option
def doctor(quick: bool, repair: bool, as_json: bool) -> int:
    """Tell whether all is well: the file, the laws of the data, the disk, what cron should do."""
    from gfil.maintenance.doctor import CHECKS, run

    settings = config.read()
    with _progress(len(CHECKS)) as bar:

        def tell(what: str) -> None:
            bar.update(what in CHECKS, what)

        found = run(
            settings.db,
            now=time.time(),
            free_mb_min=settings.min_free_mb,
            quick=quick,
            repair=repair,
            progress=tell,
        )
    wrong = [check.name for check in found if not check.ok]
    lines = [
        f"{'ok   ' if check.ok else 'WRONG'} {check.name:8}  {check.detail}" for check in found
    ]
    summary = f"{settings.db}: {'wrong: ' + ' '.join(wrong) if wrong else 'all is well'}"
    told = [check._asdict() for check in found]
    say("\n".join([*lines, summary]), as_json, db=settings.db, ok=not wrong, checks=told)
    return 1 if wrong else 0


def _progress(length: int) -> Any:
    # On a terminal only, as of an import.
    return click.progressbar(
        length=length,
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
        label="looking",
        item_show_func=lambda what: what,
    )
