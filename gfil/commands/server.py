"""The commands that make a database and serve it."""

from dataclasses import replace
from pathlib import Path

import click

from gfil import config
from gfil.commands import json_option, say

DEMO_DB = "data/demo.db"


@click.command()
@click.option("--bind", default="127.0.0.1:8000", metavar="HOST:PORT", help="Where to listen.")
@click.option(
    "--demo",
    is_flag=True,
    help="Show made-up prices, live too, from a database of their own.",
)
def serve(bind: str, demo: bool) -> None:
    """Start the server; makes the database if there is none."""
    from gfil.server import gunicorn_conf as server

    settings = config.read()
    if demo:
        settings = replace(settings, db=config.ROOT / DEMO_DB)
    host, port = server.parse_bind(bind)
    listener, loopback = server.listen(host, port, settings)
    if demo and not settings.db.exists():
        click.echo("Making up a history for the demo…", err=True)
    _prepare(settings.db)
    if demo:
        from gfil.demo import history as made_up
        from gfil.demo import live_feed

        made_up.fill(settings.db)
        live_feed.keep(listener.getsockname(), settings.db)
    server.run(listener, settings.db, loopback=loopback)


def _prepare(path: Path) -> None:
    from gfil.store.engine import connection
    from gfil.store.removal import sweep

    if upgrade := connection.create(path):
        kept = f"as it was: {upgrade.copy}" if upgrade.copy else "no room for a copy as it was"
        click.echo(f"{path}: upgraded from schema {upgrade.schema_before}; {kept}", err=True)
    db = connection.connect(path)
    sweep.sweep_all(db)  # what a deletion that was killed has left
    db.close()


@click.command()
@json_option
def init(as_json: bool) -> None:
    """Make an empty database; where there is one, only bring it up to date."""
    path = config.read().db
    created = not path.exists()
    _prepare(path)
    say(f"{path}: {'made' if created else 'is there already'}", as_json, db=path, created=created)
