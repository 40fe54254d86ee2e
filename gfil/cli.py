"""The commands; a failure is one plain line on stderr."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import click
import orjson

from gfil import clocks, config, timeframes
from gfil.errors import GfilError

DEMO_DB = "data/demo.db"


class Commands(click.Group):
    """A group whose commands return their exit status, None for 0, and fail in one line."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command that the arguments name, and exit with its status."""
        try:
            status: int | None = super().main(*args, **{**extra, "standalone_mode": False})
            raise SystemExit(status)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            raise SystemExit(error.exit_code) from None
        except click.ClickException as error:
            _fail(_usage_line(error), error.exit_code)
        except click.Abort:
            _fail("stopped", 1)
        except GfilError as error:
            _fail(error.detail, error.exit_status)
        except OSError as error:
            _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 1)


def _usage_line(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    hint = f" (see `{context.command_path} --help`)" if context else ""
    return error.format_message().rstrip(".") + hint


def _fail(detail: str, status: int) -> NoReturn:
    click.echo(f"gfil: {' '.join(detail.split())}", err=True)
    raise SystemExit(status)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def say(line: str, as_json: bool, **names: Any) -> None:
    """Print a command's result: the line for people, or the names as one JSON object."""
    click.echo(orjson.dumps(names, default=str).decode() if as_json else line)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(config.VERSION, prog_name="gfil")
def cli() -> None:
    """Keep a trader's candles and ticks, and draw any timeframe of them."""


@cli.command()
@click.option("--bind", default="127.0.0.1:8000", metavar="HOST:PORT", help="Where to listen.")
@click.option("--demo", is_flag=True, help="Show a made-up history from a database of its own.")
def serve(bind: str, demo: bool) -> None:
    """Start the server; makes the database if there is none."""
    from gfil import serve as server
    from gfil.store import db

    settings = config.read()
    if demo:
        settings = replace(settings, db=config.ROOT / DEMO_DB)
    host, port = server.parse_bind(bind)
    listener, loopback = server.listen(host, port, settings)
    if demo and not settings.db.exists():
        click.echo("Making up a history for the demo…", err=True)
    db.create(settings.db)
    if demo:
        from gfil import demo as made_up

        made_up.fill(settings.db)
    server.run(listener, settings.db, loopback=loopback)


@cli.command()
@json_option
def init(as_json: bool) -> None:
    """Make an empty database; where there is one, only bring it up to date."""
    from gfil.store import db

    path = config.read().db
    created = not path.exists()
    db.create(path)
    say(f"{path}: {'made' if created else 'is there already'}", as_json, db=path, created=created)


@cli.group(name="symbol")
def symbol_group() -> None:
    """List, describe, rename and delete symbols."""


@symbol_group.command(name="list")
@json_option
def list_symbols(as_json: bool) -> None:
    """Name every symbol with its clock, digits and newest candle."""
    from gfil.store import db, holdings, symbols

    path = config.read().db
    connection = db.connect(path, readonly=True)
    described = []
    for symbol in symbols.list(connection):
        latest = holdings.read_latest(connection, symbol)
        facts = symbol._asdict() | {"digits": symbol.digits_shown, "symbol": symbol.name}
        del facts["id"], facts["name"], facts["digits_seen"]
        described.append(facts | {"last_time": latest.time if latest else None})
    lines = [
        f"{facts['symbol']:32} {facts['clock']:24} {facts['digits']} digits, "
        + (f"up to {clocks.format_instant(facts['last_time'])}" if facts["last_time"] else "empty")
        + (f"  {facts['description']}" if facts["description"] else "")
        for facts in described
    ]
    summary = f"{path}: {len(lines)} symbols"
    say("\n".join([*lines, summary]), as_json, db=path, symbols=described)


@symbol_group.command(name="set")
@click.argument("name", metavar="SYMBOL")
@click.option("--clock", help="What its charts are drawn on: UTC, a zone, an offset, or nyclose.")
@click.option("--digits", type=click.IntRange(0, 8), help="Decimals of its prices.")
@click.option("--description", help="A few words.")
@click.option("--price", type=click.Choice(["bid", "ask", "mid", "last"]), help="A tick's price.")
@click.option("--base", help="Base currency.")
@click.option("--quote", help="Quote currency.")
@json_option
def set_symbol(name: str, clock: str | None, as_json: bool, **facts: Any) -> None:
    """Set facts of a symbol; a new clock derives H4 and D1 on it."""
    from gfil.store import candles, db, symbols

    path = config.read().db
    given = {fact: value for fact, value in facts.items() if value is not None}
    if clock is None and not given:
        raise click.UsageError("name at least one fact to set", click.get_current_context())
    connection = db.connect(path)
    with db.transaction(connection):
        symbol = symbols.read(connection, name)
        if given and symbol != symbol._replace(**given):
            symbol = symbols.update(connection, symbol._replace(**given))
        if clock is not None:
            symbol = candles.set_clock(connection, symbol, clocks.parse(clock))
    say(f"{path}: {symbol.name} is set", as_json, db=path, symbol=symbol.name, clock=symbol.clock)


@symbol_group.command(name="rename")
@click.argument("old")
@click.argument("new")
@json_option
def rename_symbol(old: str, new: str, as_json: bool) -> None:
    """Give a symbol a name that no other has."""
    from gfil.store import db, symbols

    path = config.read().db
    connection = db.connect(path)
    with db.transaction(connection):
        symbol = symbols.read(connection, old)
        symbols.rename(connection, symbol, new)
    say(f"{path}: {symbol.name} is now {new}", as_json, db=path, symbol=new, was=symbol.name)


@symbol_group.command(name="delete")
@click.argument("name", metavar="SYMBOL")
@json_option
def delete_symbol(name: str, as_json: bool) -> None:
    """Delete a symbol and all its candles."""
    from gfil.store import db, deletion, symbols

    path = config.read().db
    connection = db.connect(path)
    with db.transaction(connection):
        symbol = symbols.read(connection, name)
        symbols.delete(connection, symbol)
    deletion.sweep_all(connection)
    say(f"{path}: {symbol.name} is deleted", as_json, db=path, symbol=symbol.name)


@cli.command()
@click.option("--symbol", "name", required=True, help="Whose candles.")
@click.option("--from", "from_", metavar="TIME", help="From here on; without it from the first.")
@click.option("--to", metavar="TIME", help="Up to here; without it to the last.")
@click.option("--tf", help="Only this timeframe.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@json_option
def delete(
    name: str, from_: str | None, to: str | None, tf: str | None, dry_run: bool, as_json: bool
) -> None:
    """Delete stored candles of a range; what was derived from them follows."""
    from gfil.store import db, deletion, symbols

    path = config.read().db
    start = clocks.parse_instant(from_) if from_ else clocks.TIME_MIN
    stop = clocks.parse_instant(to) if to else clocks.TIME_MAX
    timeframe = timeframes.parse(tf) if tf else None
    connection = db.connect(path)
    symbol = symbols.read(connection, name)
    run = deletion.count_range if dry_run else deletion.delete_range
    done = run(connection, symbol, start, stop, timeframe)
    verb = "would go" if dry_run else "deleted"
    lines = [f"{path}: {done.deleted} candles of {symbol.name} {verb}", *done.warnings]
    say("\n".join(lines), as_json, db=path, deleted=done.deleted, ticks=0, warnings=done.warnings)


@cli.command(name="import")
@click.argument("sources", nargs=-1, required=True, metavar="FILE...")
@click.option("--symbol", help="Whose candles; without it columns or the file's name tell.")
@click.option("--tf", help="Their timeframe; without it columns or the file's name tell.")
@click.option(
    "--clock", default="UTC", help="Clock of the stamps: UTC, a zone, an offset, nyclose."
)
@click.option("--format", "format_", help="The format; without it the content tells.")
@click.option(
    "--columns", help="What the cells hold: time,open,close,high,low,volume; _ skips one."
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
    clock: str,
    format_: str | None,
    columns: str | None,
    on_error: str,
    fill: bool,
    dry_run: bool,
    force_tf: bool,
    as_json: bool,
) -> int:
    """Import candles from files, folders and standard input (-), packed with gzip or not."""
    from gfil.ingest import files, formats, layout
    from gfil.ingest.importer import Options

    options = Options(
        symbol=symbol,
        timeframe=timeframes.parse(tf) if tf else None,
        clock=clocks.parse(clock),
        format=formats.check_name(format_) if format_ else None,
        columns=layout.parse_columns(columns) if columns else None,
        abort=on_error == "abort",
        fill=fill,
        dry_run=dry_run,
        force_timeframe=force_tf,
    )
    found = files.find(sources)
    path = config.read().db
    outcome = files.Outcome(path, dry_run)
    with _progress(sum(map(files.size, found)) * (1 + options.abort)) as progress:
        files.load_all(path, found, options, outcome, now=time.time(), progress=progress.update)
    for line in outcome.failures:
        click.echo(f"gfil: {line}", err=True)
    say("\n".join(outcome.describe()), as_json, **outcome.as_json())
    return outcome.exit_status


def _progress(length: int) -> Any:
    # A bar for people to watch, on the terminal only.
    hidden = not length or not sys.stderr.isatty()
    return click.progressbar(length=length, file=sys.stderr, hidden=hidden, label="importing")


@cli.command()
@click.option("--symbol", "names", multiple=True, help="Whose candles; may be given again.")
@click.option("--all", "everything", is_flag=True, help="All symbols.")
@click.option("--tf", "tfs", multiple=True, required=True, help="Timeframe; may be given again.")
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
    """Export candles; what was exported imports back to the same candles."""
    from gfil.ingest import export as exporter
    from gfil.store import db, symbols

    if bool(names) == everything:
        raise click.UsageError("name symbols with --symbol, or --all", click.get_current_context())
    start = clocks.parse_instant(from_) if from_ else clocks.TIME_MIN
    stop = clocks.parse_instant(to) if to else clocks.TIME_MAX
    wanted = [timeframes.parse(tf) for given in tfs for tf in given.split(",")]
    path = config.read().db
    connection = db.connect(path, readonly=True)
    chosen = (
        symbols.list(connection) if everything else [symbols.read(connection, n) for n in names]
    )
    many = [
        exporter.Series(symbol, timeframe, clocks.parse(clock), start, stop)
        for symbol in chosen
        for timeframe in wanted
    ]
    if output is None:
        _export_to_stdout(connection, path, many, format_, as_json)
        return
    written = list(exporter.write_files(connection, many, format_, Path(output)))
    lines = [f"{done.file}: {done.candles} candles" for done in written]
    listed = [
        {
            "file": done.file,
            "symbol": done.series.symbol.name,
            "tf": done.series.timeframe.name,
            "candles": done.candles,
        }
        for done in written
    ]
    say("\n".join([*lines, f"{path}: {len(written)} exported"]), as_json, db=path, files=listed)


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
    click.echo(f"{path}: {sum(numbers)} candles exported", err=True)


@cli.command()
@click.option("--quick", is_flag=True, help="Small sizes: shows that it works, measures little.")
@click.option("--only", "rows", multiple=True, metavar="ROW", help="Only this row; more than once.")
@click.option("--keep", type=click.Path(file_okay=False), help="Where to keep the databases.")
@click.option("--candles", type=click.IntRange(min=40_000), help="M1 of the largest database.")
@click.option("--csv-rows", type=click.IntRange(min=2_000), help="Rows of the imported file.")
@json_option
def bench(
    quick: bool, rows: Sequence[str], keep: str | None, as_json: bool, **sizes: int | None
) -> None:
    """Measure what the product promises, on this machine and on made-up data."""
    from gfil import bench as benchmark
    from gfil.bench import place, report

    given = {name: size for name, size in sizes.items() if size is not None}
    chosen = replace(place.QUICK if quick else place.FULL, **given)
    machine = report.machine()
    folder = config.read().db.parent
    figures = benchmark.run(rows, chosen, folder, Path(keep) if keep else None)
    text = report.describe(machine, chosen, figures)
    say(text, as_json, **report.names(machine, chosen, figures))
