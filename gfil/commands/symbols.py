"""The commands about symbols, and delete."""

from typing import Any

import click

from gfil import clocks, config, timeframes
from gfil.commands import json_option, say
from gfil.errors import BadParameter
from gfil.store import symbol_settings, symbols
from gfil.store.candles import inventory
from gfil.store.engine import connection
from gfil.store.removal import delete_range, sweep


@click.group(name="symbol")
def symbol_group() -> None:
    """List, describe, rename and delete symbols."""


@symbol_group.command(name="list")
@json_option
def list_symbols(as_json: bool) -> None:
    """Name every symbol with its clock, digits and newest candle."""
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
    summary = f"{path}: {len(lines)} symbols"
    say("\n".join([*lines, summary]), as_json, db=path, symbols=described)


@symbol_group.command(name="set")
@click.argument("name", metavar="SYMBOL")
@click.option("--clock", help="What its charts are drawn on: UTC, a zone, an offset, or nyclose.")
@click.option("--digits", type=click.IntRange(0, 8), help="Decimals of its prices.")
@click.option("--description", help="A few words.")
@click.option("--price", type=click.Choice(symbols.PRICES), help="A tick's price.")
@click.option("--base", help="Base currency.")
@click.option("--quote", help="Quote currency.")
@json_option
def set_symbol(name: str, as_json: bool, **facts: Any) -> None:
    """Set facts of a symbol; a new clock derives H4 and D1 on it, a new price M1 of ticks."""
    path = config.read().db
    given = {fact: value for fact, value in facts.items() if value is not None}
    if not given:
        raise click.UsageError("name at least one fact to set", click.get_current_context())
    db = connection.connect(path)
    with connection.transaction(db):
        symbol = symbol_settings.update_settings(db, symbols.read(db, name), given)
    say(f"{path}: {symbol.name} is set", as_json, db=path, symbol=symbol.name, clock=symbol.clock)


@symbol_group.command(name="rename")
@click.argument("old")
@click.argument("new")
@json_option
def rename_symbol(old: str, new: str, as_json: bool) -> None:
    """Give a symbol a name that no other has."""
    path = config.read().db
    db = connection.connect(path)
    with connection.transaction(db):
        symbol = symbols.read(db, old)
        symbols.rename(db, symbol, new)
    say(f"{path}: {symbol.name} is now {new}", as_json, db=path, symbol=new, was=symbol.name)


@symbol_group.command(name="delete")
@click.argument("name", metavar="SYMBOL")
@json_option
def delete_symbol(name: str, as_json: bool) -> None:
    """Delete a symbol, all its candles and ticks."""
    path = config.read().db
    db = connection.connect(path)
    with connection.transaction(db):
        symbol = symbols.read(db, name)
        symbols.delete(db, symbol)
    sweep.sweep_all(db)
    say(f"{path}: {symbol.name} is deleted", as_json, db=path, symbol=symbol.name)


@click.command()
@click.option("--symbol", "name", required=True, help="Whose candles.")
@click.option("--from", "from_", metavar="TIME", help="From here on; without it from the first.")
@click.option("--to", metavar="TIME", help="Up to here; without it to the last.")
@click.option("--tf", help="Only this timeframe.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@json_option
def delete(
    name: str, from_: str | None, to: str | None, tf: str | None, dry_run: bool, as_json: bool
) -> None:
    """Delete stored candles of a range, and its ticks; what was derived from them follows."""
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
    verb = "would go" if dry_run else "deleted"
    line = f"{path}: {done.deleted} candles and {done.ticks} ticks of {symbol.name} {verb}"
    told = {"deleted": done.deleted, "ticks": done.ticks, "warnings": done.warnings}
    say("\n".join([line, *done.warnings]), as_json, db=path, **told)
