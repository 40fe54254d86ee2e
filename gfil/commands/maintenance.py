"""The commands `backup`, `restore` and `doctor`."""

import time
from pathlib import Path

import click

from gfil import config
from gfil.commands import json_option, print_result, progress_bar
from gfil.wording import format_count, format_size


@click.command()
@click.argument("dest", type=click.Path(path_type=Path))
@click.option(
    "--keep",
    metavar="N",
    type=click.IntRange(1),
    help="Keep the newest N backups in DEST and delete older ones.",
)
@json_option
def backup(dest: Path, keep: int | None, as_json: bool) -> None:
    """Write a verified copy of the database while the server runs.

    If DEST is a folder, the name of the copy contains the date and time.
    """
    from gfil.maintenance.backup import write

    path = config.read().db
    made = write(path, dest, keep=keep, now=time.time())
    line = f"{path}: backed up to {made.path}, {format_size(made.bytes)}, verified"
    if made.removed:
        line += f"; {format_count(len(made.removed), 'older backup')} deleted"
    print_result(line, as_json, db=path, **made.as_json())


@click.command()
@click.argument("src", type=click.Path(path_type=Path))
@json_option
def restore(src: Path, as_json: bool) -> None:
    """Replace the database with a verified backup and keep the old one next to it."""
    from gfil.maintenance.restore import run

    path = config.read().db
    done = run(src, path, now=time.time())
    line = f"{path}: restored from {src}"
    line += f"; the previous database is now {done.kept}" if done.kept else ""
    if done.revoked:
        line += f"; {format_count(done.revoked, 'key')} revoked since the backup stayed revoked"
    print_result(line, as_json, db=path, source=src, **done._asdict())


@click.command()
@click.option("--quick", is_flag=True, help="Check only the last days of data; takes seconds.")
@click.option("--repair", is_flag=True, help="Derive wrong candles again from their finer candles.")
@json_option
def doctor(quick: bool, repair: bool, as_json: bool) -> int:
    """Check the file, the laws of the data, the disk, backups, prunes and stale symbols."""
    from gfil.maintenance.doctor import CHECKS, run

    settings = config.read()
    with progress_bar(len(CHECKS), "checking", lambda step: step) as bar:

        def show(step: str) -> None:
            bar.update(step in CHECKS, step)

        found = run(
            settings.db,
            now=time.time(),
            free_mb_min=settings.min_free_mb,
            quick=quick,
            repair=repair,
            progress=show,
        )
    wrong = [check.name for check in found if not check.ok]
    lines = [
        f"{'ok   ' if check.ok else 'WRONG'} {check.name:8}  {check.detail}" for check in found
    ]
    lines.append(f"{settings.db}: {'wrong: ' + ' '.join(wrong) if wrong else 'all is well'}")
    checks = [check._asdict() for check in found]
    print_result("\n".join(lines), as_json, db=settings.db, ok=not wrong, checks=checks)
    return 1 if wrong else 0
