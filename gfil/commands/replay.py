"""The command that posts a file of ticks as a pump would."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import click

from gfil import clocks
from gfil.commands import json_option, say

KEY_VARIABLE = "GFIL_KEY"
KEY_FORM = re.compile(r"[!-~]+")
READ_BYTES = 256 * 1024
EXIT_REFUSED = 3


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--url", required=True, help="The server, such as http://127.0.0.1:8000.")
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False),
    help="Holds a key of scope write; without it GFIL_KEY in the environment is the key.",
)
@click.option(
    "--speed", default="1", help="So many times as fast as they came; max: as the server takes it."
)
@click.option("--now", "to_now", is_flag=True, help="Move the stamps: the first tick is now.")
@click.option("--symbol", help="Whose ticks; without it a column or the file's name tells.")
@click.option("--clock", show_default="UTC", help="Clock of the stamps, as for import.")
@click.option("--format", "format_", help="The format; without it the content tells.")
@click.option("--columns", help="What the cells hold: time,bid,ask; _ skips one.")
@click.option("--insecure", is_flag=True, help="Send the key to another machine in the clear.")
@json_option
def replay(
    file: IO[bytes],
    url: str,
    key_file: str | None,
    speed: str,
    to_now: bool,
    symbol: str | None,
    clock: str | None,
    format_: str | None,
    columns: str | None,
    insecure: bool,
    as_json: bool,
) -> int:
    """Post a file of ticks to a server, as fast as they came or faster, as a pump would."""
    from gfil.client import replay as replaying
    from gfil.client import tick_poster
    from gfil.ingest import formats
    from gfil.ingest.options import Options
    from gfil.ingest.parse import columns as column_names
    from gfil.ingest.source import files

    server = tick_poster.parse_url(url, insecure=insecure)
    options = Options(
        symbol=symbol,
        clock=None if clock is None else clocks.parse(clock),
        format=formats.check_name(format_) if format_ else None,
        columns=column_names.parse_columns(columns) if columns else None,
    )
    pace = replaying.Pace(_parse_speed(speed), to_now)
    poster = tick_poster.Poster(
        server, _read_key(key_file), tell=lambda line: click.echo(f"gfil: {line}", err=True)
    )
    name = files.STANDARD_INPUT if file is sys.stdin.buffer else file.name
    with closing(poster), _progress(files.size(name)) as bar:
        report = replaying.run(_chunks(file), options, poster, pace, name=name, progress=bar.update)
    end = f"change {report.change}" if report.has_changed else "nothing changed"
    line = "\n".join([*report.describe(), f"{server.url}: {end}"])
    say(line, as_json, url=server.url, **report.as_json())
    return EXIT_REFUSED if report.rejected else 0


def _parse_speed(text: str) -> float | None:
    from gfil.client.replay import SPEED_MAX

    if text == "max":
        return None
    is_number = re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,6})?", text)
    if not is_number or not 0 < float(text) <= SPEED_MAX:
        hint = "--speed"
        raise click.BadParameter("a number above 0, such as 10, or max", param_hint=hint)
    return float(text)


def _read_key(path: str | None) -> str:
    context = click.get_current_context()
    text = os.environ.get(KEY_VARIABLE, "")
    if path is not None:
        text = Path(path).read_text("utf-8-sig", "replace")
    elif not text.strip():
        raise click.UsageError(f"a key is needed: --key-file, or {KEY_VARIABLE}", context)
    if not KEY_FORM.fullmatch(text.strip()):
        raise click.UsageError(f"{path or KEY_VARIABLE} holds no key", context)
    return text.strip()


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(READ_BYTES):
        yield chunk


def _progress(length: int) -> Any:
    # A bar for people to watch, on the terminal only; beside it how far the stamps have come.
    hidden = not length or not sys.stderr.isatty()
    return click.progressbar(
        length=length,
        file=sys.stderr,
        hidden=hidden,
        label="replaying",
        item_show_func=lambda stamp: stamp,
    )
