"""The commands `key create`, `key list` and `key revoke`."""

import re
import time

import click

from gfil import clocks, config, timeframes
from gfil.commands import json_option, print_result
from gfil.store import api_keys
from gfil.store.engine import connection
from gfil.wording import format_count


@click.group()
def key() -> None:
    """Create, list and revoke API keys."""


@key.command(name="create")
@click.option("--name", required=True, help="Name of the person or program that uses the key.")
@click.option(
    "--scope",
    required=True,
    type=click.Choice(api_keys.SCOPES),
    help="Permission; each scope includes the ones before it.",
)
@click.option(
    "--expires", metavar="DAYS", help="Lifetime in days, such as 90d (default: never expires)."
)
def create_key(name: str, scope: str, expires: str | None) -> None:
    """Create a key and print its secret on stdout, this once."""
    path, now = config.read().db, int(time.time())
    days = re.fullmatch(r"([1-9][0-9]{0,4})d", expires) if expires else None
    if expires and not days:
        raise click.BadParameter("must be a number of days such as 90d", param_hint="--expires")
    until = now + int(days[1]) * timeframes.DAY if days else None
    db = connection.connect(path)
    with connection.transaction(db):
        made, secret = api_keys.create(db, name, scope, now=now, expires=until)
    click.echo(f"{path}: key {made.id} for {made.name}, scope {made.scope}; its secret:", err=True)
    click.echo(secret)


@key.command(name="list")
@json_option
def list_keys(as_json: bool) -> None:
    """List every key with its scope and last use."""
    path = config.read().db
    keys = api_keys.list_keys(connection.connect(path, readonly=True))

    def day(instant: int | None) -> str:
        return "never" if instant is None else clocks.format_instant(instant)[:10]

    lines = [
        f"{key.id}  {key.scope:5}  {key.name}: created {day(key.created)}, expires "
        f"{day(key.expires)}, used {day(key.last_used)}"
        + (f", revoked {day(key.revoked)}" if key.revoked else "")
        for key in keys
    ]
    lines.append(f"{path}: {format_count(len(keys), 'key')}")
    print_result("\n".join(lines), as_json, db=path, keys=[key._asdict() for key in keys])


@key.command(name="revoke")
@click.argument("key_id", metavar="ID")
@json_option
def revoke_key(key_id: str, as_json: bool) -> None:
    """Revoke a key and end every login made with it."""
    path = config.read().db
    db = connection.connect(path)
    with connection.transaction(db):
        revoked = api_keys.revoke(db, key_id, now=int(time.time()))
    line = f"{path}: key {revoked.id} of {revoked.name} is revoked"
    print_result(line, as_json, db=path, id=revoked.id)
