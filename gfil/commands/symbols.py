"""The commands `symbol list`, `set`, `rename` and `delete`, and `delete`."""

from typing import Any

import click

from gfil import clocks, config, timeframes
from gfil.commands import json_option, print_result
from gfil.errors import BadParameter
from gfil.store import symbol_settings, symbols
from gfil.store.candles import inventory
from gfil.store.engine import connection
from gfil.store.removal import delete_range, sweep
from gfil.wording import format_count


@click.group(name="symbol")
def symbol_group() -> None:
    """List, describe, rename and delete symbols."""


@symbol_group.command(name="list")
@json_option
def list_symbols(as_json: bool) -> None:
    """List every symbol with its clock, digits and newest candle."""
    path = config.read().db
    db = connection.connect(path, readonly=True)
    described = []
    for symbol in symbols.list_symbols(db):
        latest = inventory.read_latest(db, symbol)
        facts = symbol._asdict() | {"digits": symbol.digits_shown, "symbol": symbol.name}
        del facts["id"], facts["name"], facts["digits_seen"]
        described.append(facts | {"last_time": latest.time if latest else None})
    lines = [
        f"{facts['symbol']:32} {facts['clock']:24} {facts['digits']} digits, "
        + (f"up to {clocks.format_instant(facts['last_time'])}" if facts["last_time"] else "empty")
        + (f"  {facts['description']}" if facts["description"] else "")
        for facts in described
    ]
    lines.append(f"{path}: {format_count(len(lines), 'symbol')}")
    print_result("\n".join(lines), as_json, db=path, symbols=described)


@symbol_group.command(name="set")
@click.argument("symbol_name", metavar="SYMBOL")
@click.option("--clock", help="Clock of its charts: UTC, a zone, an offset or nyclose.")
@click.option("--digits", type=click.IntRange(0, 8), help="Number of decimals of its prices.")
@click.option("--description", help="Short description.")
@click.option(
    "--price", type=click.Choice(symbols.PRICES), help="Field of a tick that makes its candles."
)
@click.option("--base", help="Base currency.")
@click.option("--quote", help="Quote currency.")
@json_option
def set_symbol(symbol_name: str, as_json: bool, **settings: Any) -> None:
    """Change settings of a symbol.

    A new clock derives its H4 and D1 candles again. A new price derives its M1 candles again from
    the ticks.
    """
    path = config.read().db
    given = {name: value for name, value in settings.items() if value is not None}
    if not given:
        raise click.UsageError("give at least one setting to change", click.get_current_context())
    db = connection.connect(path)
    with connection.transaction(db):
        symbol = symbol_settings.update_settings(db, symbols.read(db, symbol_name), given)
    line = f"{path}: changed the settings of {symbol.name}"
    print_result(line, as_json, db=path, symbol=symbol.name, clock=symbol.clock)


@symbol_group.command(name="rename")
@click.argument("old")
@click.argument("new")
@json_option
def rename_symbol(old: str, new: str, as_json: bool) -> None:
    """Rename a symbol; the new name must be free."""
    path = config.read().db
    db = connection.connect(path)
    with connection.transaction(db):
        symbol = symbols.read(db, old)
        symbols.rename(db, symbol, new)
    line = f"{path}: {symbol.name} is now {new}"
    print_result(line, as_json, db=path, symbol=new, was=symbol.name)


@symbol_group.command(name="delete")
@click.argument("name", metavar="SYMBOL")
@json_option
def delete_symbol(name: str, as_json: bool) -> None:
    """Delete a symbol with all its candles and ticks."""
    path = config.read().db
    db = connection.connect(path)
    with connection.transaction(db):
        symbol = symbols.read(db, name)
        symbols.delete(db, symbol)
    sweep.sweep_all(db)
    print_result(f"{path}: deleted {symbol.name}", as_json, db=path, symbol=symbol.name)


@click.command()
@click.option("--symbol", "name", required=True, help="Symbol to delete from.")
@click.option(
    "--from", "from_", metavar="TIME", help="Start of the range (default: the first candle)."
)
@click.option(
    "--to", metavar="TIME", help="End of the range, exclusive (default: the last candle)."
)
@click.option("--tf", help="Delete only this timeframe, and no ticks.")
@click.option("--dry-run", is_flag=True, help="Report the counts without deleting.")
@json_option
def delete(
    name: str, from_: str | None, to: str | None, tf: str | None, dry_run: bool, as_json: bool
) -> None:
    """Delete the stored candles and ticks of a range and derive the coarser candles again."""
    path = config.read().db
    start = clocks.parse_instant(from_) if from_ else clocks.TIME_MIN
    stop = clocks.parse_instant(to) if to else clocks.TIME_MAX
    if start > stop:
        raise BadParameter("--from is after --to")
    timeframe = timeframes.parse(tf) if tf else None
    db = connection.connect(path)
    symbol = symbols.read(db, name)
    run = delete_range.count_range if dry_run else delete_range.delete_range
    done = run(db, symbol, start, stop, timeframe)
    verb = "would be deleted" if dry_run else "deleted"
    candles, ticks = format_count(done.deleted, "candle"), format_count(done.ticks, "tick")
    line = f"{path}: {candles} and {ticks} of {symbol.name} {verb}"
    counts = {"deleted": done.deleted, "ticks": done.ticks, "warnings": done.warnings}
    print_result("\n".join([line, *done.warnings]), as_json, db=path, **counts)
