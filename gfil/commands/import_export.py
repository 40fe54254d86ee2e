"""The commands that take candles and ticks from files and put them into files."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gfil import clocks, config, timeframes
from gfil.commands import json_option, say

TICKS = "ticks"  # in place of a timeframe


@click.command(name="import")
@click.argument("sources", nargs=-1, required=True, metavar="FILE...")
@click.option("--symbol", help="Whose rows; without it columns or the file's name tell.")
@click.option("--tf", help="Their timeframe, or ticks; without it columns or the file's name tell.")
@click.option(
    "--clock",
    show_default="UTC",
    help="Clock of the stamps: UTC, a zone, an offset, nyclose; without it a JSON head tells.",
)
@click.option("--format", "format_", help="The format; without it the content tells.")
@click.option(
    "--columns",
    help="What the cells hold: time,open,close,high,low,volume, or time,bid,ask; _ skips one.",
)
@click.option(
    "--on-error",
    type=click.Choice(["skip", "abort"]),
    default="skip",
    help="Pass over a bad row, or store nothing of its file.",
)
@click.option("--fill", is_flag=True, help="Only add what is missing; stored candles stay.")
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and store nothing.")
@click.option("--force-tf", is_flag=True, help="Even if the rows contradict the timeframe.")
@json_option
def import_(
    sources: tuple[str, ...],
    symbol: str | None,
    tf: str | None,
    clock: str | None,
    format_: str | None,
    columns: str | None,
    on_error: str,
    fill: bool,
    dry_run: bool,
    force_tf: bool,
    as_json: bool,
) -> int:
    """Import candles and ticks from files, folders and standard input (-), gzipped or not."""
    from gfil.ingest import file_import, formats
    from gfil.ingest.options import Options
    from gfil.ingest.parse import columns as column_names
    from gfil.ingest.source import files

    options = Options(
        symbol=symbol,
        timeframe=timeframes.parse(tf) if tf and tf != TICKS else None,
        kind="ticks" if tf == TICKS else None,
        clock=None if clock is None else clocks.parse(clock),
        format=formats.check_name(format_) if format_ else None,
        columns=column_names.parse_columns(columns) if columns else None,
        abort=on_error == "abort",
        fill=fill,
        dry_run=dry_run,
        force_timeframe=force_tf,
    )
    found = files.find(sources)
    path = config.read().db
    outcome = file_import.Outcome(path, dry_run)
    with _progress(sum(map(files.size, found)) * (1 + options.abort)) as progress:
        file_import.load_all(
            path, found, options, outcome, now=time.time(), progress=progress.update
        )
    for line in outcome.failures:
        click.echo(f"gfil: {line}", err=True)
    say("\n".join(outcome.describe()), as_json, **outcome.as_json())
    return outcome.exit_status


def _progress(length: int) -> Any:
    # A bar for people to watch, on the terminal only.
    hidden = not length or not sys.stderr.isatty()
    return click.progressbar(length=length, file=sys.stderr, hidden=hidden, label="importing")


@click.command()
@click.option("--symbol", "names", multiple=True, help="Whose rows; may be given again.")
@click.option("--all", "everything", is_flag=True, help="All symbols.")
@click.option(
    "--tf", "tfs", multiple=True, required=True, help="Timeframe, or ticks; may be given again."
)
@click.option("--from", "from_", metavar="TIME", help="From here on; without it from the first.")
@click.option("--to", metavar="TIME", help="Up to here; without it to the last.")
@click.option("--clock", default="UTC", help="On whose days: UTC, a zone, an offset, nyclose.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "ndjson", "json", "parquet"]),
    default="csv",
    help="What the files are.",
)
@click.option("-o", "--output", metavar="FILE|DIR", help="Where to; without it standard output.")
@json_option
def export(
    names: tuple[str, ...],
    everything: bool,
    tfs: tuple[str, ...],
    from_: str | None,
    to: str | None,
    clock: str,
    format_: str,
    output: str | None,
    as_json: bool,
) -> None:
    """Export candles or ticks; what was exported imports back to the same.

    Import candles with the same --clock: only JSON names it in its head.
    """
    from gfil.ingest import export as exporter
    from gfil.store import symbols
    from gfil.store.engine import connection

    if bool(names) == everything:
        raise click.UsageError("name symbols with --symbol, or --all", click.get_current_context())
    start = clocks.parse_instant(from_) if from_ else clocks.TIME_MIN
    stop = clocks.parse_instant(to) if to else clocks.TIME_MAX
    wanted = [
        None if tf == TICKS else timeframes.parse(tf) for given in tfs for tf in given.split(",")
    ]
    path = config.read().db
    db = connection.connect(path, readonly=True)
    chosen = symbols.list_symbols(db) if everything else [symbols.read(db, n) for n in names]
    many = [
        exporter.Series(symbol, timeframe, clocks.parse(clock), start, stop)
        for symbol in chosen
        for timeframe in wanted
    ]
    if output is None:
        _export_to_stdout(db, path, many, format_, as_json)
        return
    written = list(exporter.write_files(db, many, format_, Path(output)))
    lines = [f"{done.file}: {done.rows} {_rows_of(done.series)}" for done in written]
    listed = [
        {
            "file": done.file,
            "symbol": done.series.symbol.name,
            "tf": done.series.tf,
            _rows_of(done.series): done.rows,
        }
        for done in written
    ]
    say("\n".join([*lines, f"{path}: {len(written)} exported"]), as_json, db=path, files=listed)


def _rows_of(series: Any) -> str:
    return "candles" if series.timeframe else TICKS


def _export_to_stdout(
    connection: Any, path: Path, many: Sequence[Any], format_: str, as_json: bool
) -> None:
    from gfil.ingest import export as exporter

    context = click.get_current_context()
    if as_json or format_ == "parquet":
        raise click.UsageError("-o must name a file or folder for this", context)
    if len(many) != 1 and format_ != "ndjson":
        raise click.UsageError("-o must name a folder for more than one file", context)
    numbers: list[int] = []
    output = sys.stdout.buffer
    for series in many:
        for piece in exporter.stream(connection, series, format_, numbers.append):
            output.write(piece)
    kinds = " and ".join(dict.fromkeys(map(_rows_of, many))) or "candles"
    click.echo(f"{path}: {sum(numbers)} {kinds} exported", err=True)
