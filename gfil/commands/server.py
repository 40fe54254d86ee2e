"""The commands `serve` and `init`."""

from dataclasses import replace
from pathlib import Path

import click

from gfil import config
from gfil.commands import json_option, print_result

DEMO_DB = "data/demo.db"


@click.command()
@click.option("--bind", default="127.0.0.1:8000", metavar="HOST:PORT", help="Address to listen on.")
@click.option(
    "--demo",
    is_flag=True,
    help="Serve generated prices with a live feed, from a separate database.",
)
def serve(bind: str, demo: bool) -> None:
    """Start the server and create the database if it does not exist."""
    from gfil.server import gunicorn_conf as server

    settings = config.read()
    if demo:
        settings = replace(settings, db=config.ROOT / DEMO_DB)
    host, port = server.parse_bind(bind)
    listener, loopback = server.listen(host, port, settings)
    if demo and not settings.db.exists():
        click.echo("Generating the demo history…", err=True)
    _prepare(settings.db)
    if demo:
        from gfil.demo import history, live_feed

        history.fill(settings.db)
        live_feed.start(listener.getsockname(), settings.db)
    server.run(listener, settings.db, loopback=loopback)


def _prepare(path: Path) -> None:
    from gfil.store.engine import connection
    from gfil.store.removal import sweep

    if upgrade := connection.create(path):
        backup = upgrade.copy or "none, the disk has too little free space"
        click.echo(
            f"{path}: upgraded from schema {upgrade.schema_before}; backup: {backup}", err=True
        )
    db = connection.connect(path)
    sweep.sweep_all(db)  # finishes deletions that were interrupted
    db.close()


@click.command()
@json_option
def init(as_json: bool) -> None:
    """Create an empty database, or upgrade the existing one to this version."""
    path = config.read().db
    created = not path.exists()
    _prepare(path)
    line = f"{path}: {'created' if created else 'exists already'}"
    print_result(line, as_json, db=path, created=created)
