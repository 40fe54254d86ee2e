"""Shared by all commands: one-line errors, exit statuses, results and progress bars."""

import sys
from collections.abc import Callable
from typing import Any, NoReturn

import apsw
import click
import orjson

from gfil import config
from gfil.errors import GfilError
from gfil.store.engine.sqlite_errors import translate


class Commands(click.Group):
    """Group of commands that return their exit status (None is 0) and fail in one line."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command named by the arguments and exit with its status."""
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
            _fail(error.line, error.exit_status)
        except apsw.Error as error:
            known = translate(error, config.read().db)
            if not isinstance(known, GfilError):
                raise
            _fail(known.line, known.exit_status)
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


def print_result(text: str, as_json: bool, **fields: Any) -> None:
    """Print the result of a command on stdout: the text, or the fields as one JSON object."""
    click.echo(orjson.dumps(fields, default=str).decode() if as_json else text)


def progress_bar(
    length: int, label: str, show_item: Callable[[Any], str | None] | None = None
) -> Any:
    """Return a progress bar on stderr; it stays hidden where stderr is not a terminal.

    `show_item` formats the item that `update` was called with last.
    """
    hidden = not length or not sys.stderr.isatty()
    return click.progressbar(
        length=length, file=sys.stderr, hidden=hidden, label=label, item_show_func=show_item
    )
