"""The commands that keep the database small: how long what is kept, and the nightly prune."""

import sys
import time
from collections.abc import Mapping

import apsw
import click

from gfil import clocks, config
from gfil.commands import json_option, say
from gfil.errors import BadParameter
from gfil.store import db, symbols
from gfil.store import retention as rules
from gfil.store.retention import FOREVER, WHATS, Keep
from gfil.store.symbols import Symbol

PATIENCE_MS = 30_000  # for the write lock: nobody waits for a prune


@click.command()
@click.option("--symbol", "name", help="Whose; without it of every symbol without its own.")
@click.argument("wishes", nargs=-1, metavar="[TF=KEEP|ticks=KEEP]...")
@json_option
def retention(name: str | None, wishes: tuple[str, ...], as_json: bool) -> None:
    """Show or set how long what is kept: 7d, 3months, 1y, forever; of a symbol also default."""
    path = config.read().db
    wanted = dict(map(_parse, wishes))
    connection = db.connect(path, readonly=not wanted)
    symbol = symbols.read(connection, name) if name is not None else None
    if wanted:
        with db.transaction(connection):
            rules.put(connection, symbol, wanted)
            for other in [] if symbol else _list_ruled(connection):
                rules.put(connection, other, {})  # nothing new, but it may contradict by now
    told = {"symbol": symbol.name} if symbol else {"symbols": _own(connection)}
    kept = rules.read(connection, symbol)
    whose = symbol.name if symbol else "every symbol"
    lines = [f"{path}: {whose}: {_spell(kept)}, all else forever"]
    if symbol is None:
        for other in _list_ruled(connection):
            lines.append(f"{other.name}: {_spell(rules.read_own(connection, other))}")
    if wanted:
        lines.append("`gfil prune --dry-run` tells what the next prune would remove")
    named = {what: keep.name for what, keep in kept.items()}
    say("\n".join(lines), as_json, db=path, **told, retention=named)


def _parse(wish: str) -> tuple[str, Keep | None]:
    what, equals, keep = wish.partition("=")
    if not equals:
        raise BadParameter(f"bad rule {wish[:64]!r}: say TF=KEEP, such as M1=3months or ticks=7d")
    is_default = keep.strip().casefold() == "default"
    return rules.parse_what(what), None if is_default else rules.parse_keep(keep)


def _list_ruled(connection: apsw.Connection) -> list[Symbol]:
    ruled = rules.list_ruled(connection)
    return [symbol for symbol in symbols.list(connection) if symbol.id in ruled]


def _own(connection: apsw.Connection) -> dict[str, dict[str, str]]:
    return {
        symbol.name: {what: keep.name for what, keep in rules.read_own(connection, symbol).items()}
        for symbol in _list_ruled(connection)
    }


def _spell(kept: Mapping[str, Keep]) -> str:
    # Those that are kept for ever only where somebody said so.
    named = [what for what in WHATS if what in kept and kept[what] != FOREVER]
    return " ".join(f"{what}={kept[what].name}" for what in named) or "nothing is pruned"


@click.command()
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@click.option("--imported", is_flag=True, help="Imported days too, which else stay.")
@json_option
def prune(dry_run: bool, imported: bool, as_json: bool) -> None:
    """Remove what is older than it is kept, and give its room back; for the nightly cron."""
    from gfil.upkeep import ballast, originals
    from gfil.upkeep.retention import prune as run

    settings, now = config.read(), time.time()
    path = settings.db
    if dry_run:
        connection = db.connect(path, readonly=True)
        report = run(connection, now=now, imported=imported, dry_run=True)
        migrated = originals.delete_migrated(connection, now, dry_run=True)
    else:
        with ballast.thrown_off(path, settings.min_free_mb):
            connection = db.connect(path)
            connection.set_busy_timeout(PATIENCE_MS)
            report = run(
                connection,
                now=now,
                imported=imported,
                is_tight=lambda: ballast.is_needed(path),
                progress=_show,
            )
            migrated = originals.delete_migrated(connection, now)
            connection.close()
    lines = [f"{path}: {'would be done: ' if dry_run else ''}{report.describe()}"]
    lines += [
        f"{each.symbol} {each.tf}: {each.days} imported days from "
        f"{clocks.format_instant(each.first)[:10]} to {clocks.format_instant(each.last)[:10]} "
        "stay: only `gfil prune --imported` removes them"
        for each in report.imported
    ]
    named = {**report.as_json(), "migrated": migrated.as_json()}
    say("\n".join([*lines, *migrated.describe()]), as_json, db=path, dry_run=dry_run, **named)


def _show(symbol: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[Kpruning {symbol}", err=True, nl=False)
