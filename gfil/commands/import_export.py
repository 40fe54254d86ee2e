"""The commands `import` and `export`."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gfil import clocks, config, timeframes
from gfil.commands import json_option, print_result, progress_bar
from gfil.wording import format_count

TICKS = "ticks"  # accepted where a timeframe is


@click.command(name="import")
@click.argument("sources", nargs=-1, required=True, metavar="FILE...")
@click.option("--symbol", help="Symbol of the rows (default: from a column or the file name).")
@click.option(
    "--tf", help="Timeframe of the rows, or ticks (default: from a column or the file name)."
)
@click.option(
    "--clock",
    show_default="UTC",
    help="Clock of the times: UTC, a zone, an offset or nyclose, unless a JSON head names it.",
)
@click.option("--format", "format_", help="Format of the file (default: detected).")
@click.option(
    "--columns",
    help="Column names in order, such as time,open,high,low,close,volume or time,bid,ask; "
    "_ skips a column.",
)
@click.option(
    "--on-error",
    type=click.Choice(["skip", "abort"]),
    default="skip",
    help="Skip a bad row, or refuse its whole file.",
)
@click.option("--fill", is_flag=True, help="Add missing candles only; keep stored ones unchanged.")
@click.option("--dry-run", is_flag=True, help="Report the result without storing anything.")
@click.option("--force-tf", is_flag=True, help="Import even if the rows contradict the timeframe.")
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
    """Import candles or ticks from files, folders or standard input (-), gzipped or not."""
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
    length = sum(map(files.size, found)) * (1 + options.abort)  # abort reads each file twice
    with progress_bar(length, "importing") as progress:
        file_import.load_all(
            path, found, options, outcome, now=time.time(), progress=progress.update
        )
    for line in outcome.failures:
        click.echo(f"gfil: {line}", err=True)
    print_result("\n".join(outcome.describe()), as_json, **outcome.as_json())
    return outcome.exit_status


@click.command()
@click.option("--symbol", "names", multiple=True, help="Symbol to export (repeatable).")
@click.option("--all", "everything", is_flag=True, help="Export every symbol.")
@click.option("--tf", "tfs", multiple=True, required=True, help="Timeframe, or ticks (repeatable).")
@click.option(
    "--from", "from_", metavar="TIME", help="Start of the range (default: the first row)."
)
@click.option("--to", metavar="TIME", help="End of the range, exclusive (default: the last row).")
@click.option(
    "--clock", default="UTC", help="Clock of the buckets: UTC, a zone, an offset or nyclose."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "ndjson", "json", "parquet"]),
    default="csv",
    help="Format of the files.",
)
@click.option(
    "-o", "--output", metavar="FILE|DIR", help="File or folder to write (default: standard output)."
)
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
    """Export candles or ticks in a form that imports back unchanged.

    Import exported candles with the same --clock: only JSON files name the clock in their head.
    """
    from gfil.ingest import export as exporter
    from gfil.store import symbols
    from gfil.store.engine import connection

    if bool(names) == everything:
        raise click.UsageError("name symbols with --symbol, or --all", click.get_current_context())
    start = clocks.parse_instant(from_) if from_ else clocks.TIME_MIN
    stop = clocks.parse_instant(to) if to else clocks.TIME_MAX
    names_of_tfs = [name for given in tfs for name in given.split(",")]
    wanted = [None if name == TICKS else timeframes.parse(name) for name in names_of_tfs]
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
    lines = [f"{done.file}: {_count_rows(done.rows, [done.series])}" for done in written]
    lines.append(f"{path}: {format_count(len(written), 'file')} exported")
    listed = [
        {
            "file": done.file,
            "symbol": done.series.symbol.name,
            "tf": done.series.tf,
            _row_kind(done.series): done.rows,
        }
        for done in written
    ]
    print_result("\n".join(lines), as_json, db=path, files=listed)


def _row_kind(series: Any) -> str:
    return "candles" if series.timeframe else TICKS


def _count_rows(rows: int, many: Sequence[Any]) -> str:
    kinds = {_row_kind(series) for series in many} or {"candles"}
    if kinds == {"candles", TICKS}:
        return format_count(rows, "candle and tick", "candles and ticks")
    return format_count(rows, "tick" if kinds == {TICKS} else "candle")


def _export_to_stdout(
    connection: Any, path: Path, many: Sequence[Any], format_: str, as_json: bool
) -> None:
    from gfil.ingest import export as exporter

    context = click.get_current_context()
    if as_json or format_ == "parquet":
        raise click.UsageError("--json and Parquet need -o to name a file or folder", context)
    if len(many) != 1 and format_ != "ndjson":
        raise click.UsageError("more than one file needs -o to name a folder", context)
    row_counts: list[int] = []
    output = sys.stdout.buffer
    for series in many:
        for chunk in exporter.stream(connection, series, format_, row_counts.append):
            output.write(chunk)
    click.echo(f"{path}: {_count_rows(sum(row_counts), many)} exported", err=True)
