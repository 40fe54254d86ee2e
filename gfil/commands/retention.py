"""The commands that keep the database small: how long what is kept, and the nightly prune."""

import sys
import time
from collections.abc import Mapping

import apsw
import click

from gfil import clocks, config
from gfil.commands import json_option, say
from gfil.errors import BadParameter
from gfil.store import symbols
from gfil.store.engine import connection
from gfil.store.retention import rules
from gfil.store.retention.rules import FOREVER, SUBJECTS, Period
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
    db = connection.connect(path, readonly=not wanted)
    symbol = symbols.read(db, name) if name is not None else None
    if wanted:
        with connection.transaction(db):
            rules.set_rules(db, symbol, wanted)
            for other in [] if symbol else _list_ruled(db):
                rules.set_rules(db, other, {})  # nothing new, but it may contradict by now
    told = {"symbol": symbol.name} if symbol else {"symbols": _own(db)}
    kept = rules.read_rules(db, symbol)
    whose = symbol.name if symbol else "every symbol"
    lines = [f"{path}: {whose}: {_spell(kept)}, all else forever"]
    if symbol is None:
        for other in _list_ruled(db):
            lines.append(f"{other.name}: {_spell(rules.read_own_rules(db, other))}")
    if wanted:
        lines.append("`gfil prune --dry-run` tells what the next prune would remove")
    named = {what: keep.name for what, keep in kept.items()}
    say("\n".join(lines), as_json, db=path, **told, retention=named)


def _parse(wish: str) -> tuple[str, Period | None]:
    what, equals, keep = wish.partition("=")
    if not equals:
        raise BadParameter(f"bad rule {wish[:64]!r}: say TF=KEEP, such as M1=3months or ticks=7d")
    is_default = keep.strip().casefold() == "default"
    return rules.parse_subject(what), None if is_default else rules.parse_period(keep)


def _list_ruled(connection: apsw.Connection) -> list[Symbol]:
    ruled = rules.list_symbols_with_rules(connection)
    return [symbol for symbol in symbols.list_symbols(connection) if symbol.id in ruled]


def _own(connection: apsw.Connection) -> dict[str, dict[str, str]]:
    return {
        symbol.name: {
            what: keep.name for what, keep in rules.read_own_rules(connection, symbol).items()
        }
        for symbol in _list_ruled(connection)
    }


def _spell(kept: Mapping[str, Period]) -> str:
    # Those that are kept for ever only where somebody said so.
    named = [what for what in SUBJECTS if what in kept and kept[what] != FOREVER]
    return " ".join(f"{what}={kept[what].name}" for what in named) or "nothing is pruned"


@click.command()
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@click.option("--imported", is_flag=True, help="Imported days too, which else stay.")
@json_option
def prune(dry_run: bool, imported: bool, as_json: bool) -> None:
    """Remove what is older than it is kept, and give its room back; for the nightly cron."""
    from gfil.maintenance import ballast
    from gfil.maintenance.prune import prune as run
    from gfil.migration import cleanup

    settings, now = config.read(), time.time()
    path = settings.db
    if dry_run:
        db = connection.connect(path, readonly=True)
        report = run(db, now=now, imported=imported, dry_run=True)
        migrated = cleanup.delete_migrated(db, now, dry_run=True)
    else:
        with ballast.released(path, settings.min_free_mb):
            db = connection.connect(path)
            db.set_busy_timeout(PATIENCE_MS)
            report = run(
                db,
                now=now,
                imported=imported,
                is_tight=lambda: ballast.is_needed(path),
                progress=_show,
            )
            migrated = cleanup.delete_migrated(db, now)
            db.close()
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
