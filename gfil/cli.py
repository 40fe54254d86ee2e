"""The commands; a failure is one plain line on stderr."""

from dataclasses import replace
from typing import Any, NoReturn

import click
import orjson

from gfil import config
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
