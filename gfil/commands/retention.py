"""The commands `retention` and `prune`."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import apsw
import click

from gfil import clocks, config
from gfil.commands import json_option, print_result
from gfil.errors import BadParameter
from gfil.store import symbols
from gfil.store.engine import connection
from gfil.store.retention import rules
from gfil.store.retention.backdated_days import BackdatedDays
from gfil.store.retention.rules import FOREVER, SUBJECTS, Period
from gfil.store.symbols import Symbol
from gfil.wording import format_count

BUSY_TIMEOUT_MS = 30_000  # no request waits for a prune, so a prune can wait for the write lock


@click.command()
@click.option("--symbol", "name", help="Symbol to configure (default: the global policy).")
@click.argument("texts", nargs=-1, metavar="[TF=KEEP|ticks=KEEP]...")
@json_option
def retention(name: str | None, texts: tuple[str, ...], as_json: bool) -> None:
    """Show or set retention rules: 7d, 2w, 3months, 1y, forever, or default to remove a rule."""
    path = config.read().db
    changes = dict(map(_parse_rule, texts))
    db = connection.connect(path, readonly=not changes)
    symbol = symbols.read(db, name) if name is not None else None
    if changes:
        _change_rules(db, symbol, changes)
    in_force = rules.read_rules(db, symbol)
    owner = symbol.name if symbol else "every symbol"
    lines = [f"{path}: {owner}: {_format_rules(in_force)}, all else forever"]
    fields: dict[str, Any] = {"symbol": symbol.name} if symbol else {"symbols": {}}
    for other in [] if symbol else _list_symbols_with_rules(db):
        own = rules.read_own_rules(db, other)
        lines.append(f"{other.name}: {_format_rules(own)}")
        fields["symbols"][other.name] = {subject: keep.name for subject, keep in own.items()}
    if changes:
        lines.append("`gfil prune --dry-run` shows what the next prune would remove")
    fields["retention"] = {subject: keep.name for subject, keep in in_force.items()}
    print_result("\n".join(lines), as_json, db=path, **fields)


def _parse_rule(text: str) -> tuple[str, Period | None]:
    subject, equals, keep = text.partition("=")
    if not equals:
        raise BadParameter(f"bad rule {text[:64]!r}: use TF=KEEP, such as M1=3months or ticks=7d")
    is_default = keep.strip().casefold() == "default"
    return rules.parse_subject(subject), None if is_default else rules.parse_period(keep)


def _change_rules(
    db: apsw.Connection, symbol: Symbol | None, changes: Mapping[str, Period | None]
) -> None:
    with connection.transaction(db):
        rules.set_rules(db, symbol, changes)
        for other in [] if symbol else _list_symbols_with_rules(db):
            rules.set_rules(db, other, {})  # checks its rules against the new global policy


def _list_symbols_with_rules(db: apsw.Connection) -> list[Symbol]:
    ids = rules.list_symbols_with_rules(db)
    return [symbol for symbol in symbols.list_symbols(db) if symbol.id in ids]


def _format_rules(periods: Mapping[str, Period]) -> str:
    limited = [name for name in SUBJECTS if periods.get(name, FOREVER) != FOREVER]
    return " ".join(f"{name}={periods[name].name}" for name in limited) or "nothing is pruned"


@click.command()
@click.option("--dry-run", is_flag=True, help="Report what would be removed without removing it.")
@click.option("--imported", is_flag=True, help="Remove backdated days too.")
@json_option
def prune(dry_run: bool, imported: bool, as_json: bool) -> None:
    """Remove rows past their retention and free their disk space; run this nightly from cron."""
    from gfil.maintenance import free_space
    from gfil.maintenance.prune import prune as run
    from gfil.migration import cleanup

    settings, now = config.read(), time.time()
    path = settings.db
    if dry_run:
        db = connection.connect(path, readonly=True)
        report = run(db, now=now, imported=imported, dry_run=True)
        migrated = cleanup.delete_migrated(db, now, dry_run=True)
    else:
        with free_space.ballast_released(path, settings.min_free_mb):
            db = connection.connect(path)
            db.set_busy_timeout(BUSY_TIMEOUT_MS)
            report = run(
                db,
                now=now,
                imported=imported,
                is_tight=lambda: free_space.is_tight(path),
                progress=_show_symbol,
            )
            migrated = cleanup.delete_migrated(db, now)
            db.close()
    lines = [f"{path}: {'dry run: ' if dry_run else ''}{report.describe()}"]
    lines += [*map(_describe_backdated, report.imported), *migrated.describe()]
    fields = {**report.as_json(), "migrated": migrated.as_json()}
    print_result("\n".join(lines), as_json, db=path, dry_run=dry_run, **fields)


def _describe_backdated(days: BackdatedDays) -> str:
    first, last = (clocks.format_instant(day)[:10] for day in (days.first, days.last))
    return (
        f"{days.symbol} {days.tf}: {format_count(days.days, 'backdated day')} from {first} to "
        f"{last} kept; only `gfil prune --imported` removes them"
    )


def _show_symbol(symbol: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[Kpruning {symbol}", err=True, nl=False)
