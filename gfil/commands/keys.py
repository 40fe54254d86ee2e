"""The commands about keys."""

import re
import time

import click

from gfil import clocks, config, timeframes
from gfil.commands import json_option, say
from gfil.store import api_keys
from gfil.store.engine import connection


@click.group()
def key() -> None:
    """Make, list and revoke keys."""


@key.command(name="create")
@click.option("--name", required=True, help="Who or what it is for.")
@click.option(
    "--scope",
    required=True,
    type=click.Choice(api_keys.SCOPES),
    help="What it may do; each may do what those before it may.",
)
@click.option("--expires", metavar="DAYS", help="Such as 90d; without it never.")
def create_key(name: str, scope: str, expires: str | None) -> None:
    """Make a key; its secret is printed alone on stdout, this once."""
    path, now = config.read().db, int(time.time())
    days = re.fullmatch(r"([1-9][0-9]{0,4})d", expires) if expires else None
    if expires and not days:
        raise click.BadParameter("days as a number and a d, such as 90d", param_hint="--expires")
    until = now + int(days[1]) * timeframes.DAY if days else None
    db = connection.connect(path)
    with connection.transaction(db):
        made, secret = api_keys.create(db, name, scope, now=now, expires=until)
    click.echo(f"{path}: key {made.id} for {made.name}, scope {made.scope}; keep it:", err=True)
    click.echo(secret)


@key.command(name="list")
@json_option
def list_keys(as_json: bool) -> None:
    """Name every key, its scope, and when it was used last."""
    path = config.read().db
    keys = api_keys.list_keys(connection.connect(path, readonly=True))

    def day(instant: int | None) -> str:
        return "never" if instant is None else clocks.format_instant(instant)[:10]

    lines = [
        f"{key.id}  {key.scope:5}  {key.name}: made {day(key.created)}, expires "
        f"{day(key.expires)}, used {day(key.last_used)}"
        + (f", revoked {day(key.revoked)}" if key.revoked else "")
        for key in keys
    ]
    told = [key._asdict() for key in keys]
    say("\n".join([*lines, f"{path}: {len(keys)} keys"]), as_json, db=path, keys=told)


@key.command(name="revoke")
@click.argument("key_id", metavar="ID")
@json_option
def revoke_key(key_id: str, as_json: bool) -> None:
    """Make a key invalid, and every login with it."""
    path = config.read().db
    db = connection.connect(path)
    with connection.transaction(db):
        gone = api_keys.revoke(db, key_id, now=int(time.time()))
    say(f"{path}: key {gone.id} of {gone.name} is revoked", as_json, db=path, id=gone.id)
