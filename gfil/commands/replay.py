"""The command `replay`."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

import click

from gfil import clocks
from gfil.commands import json_option, print_result, progress_bar

KEY_VARIABLE = "GFIL_KEY"
KEY_FORM = re.compile(r"[!-~]+")
READ_BYTES = 256 * 1024
EXIT_REFUSED = 3


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--url", required=True, help="URL of the server, such as http://127.0.0.1:8000.")
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False),
    help="File with a key of scope write (default: the environment variable GFIL_KEY).",
)
@click.option(
    "--speed",
    default="1",
    help="Factor on the original speed, or max to post as fast as the server accepts.",
)
@click.option(
    "--now", "to_now", is_flag=True, help="Shift all times so that the first tick is now."
)
@click.option("--symbol", help="Symbol of the ticks (default: from a column or the file name).")
@click.option("--clock", show_default="UTC", help="Clock of the times, as for import.")
@click.option("--format", "format_", help="Format of the file (default: detected).")
@click.option("--columns", help="Column names in order, such as time,bid,ask; _ skips a column.")
@click.option(
    "--insecure",
    is_flag=True,
    help="Allow http:// to another machine; the key is sent unencrypted.",
)
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
    """Post a file of ticks to a server at its original speed or faster."""
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
        server, _read_key(key_file), report=lambda line: click.echo(f"gfil: {line}", err=True)
    )
    name = files.STANDARD_INPUT if file is sys.stdin.buffer else file.name
    with closing(poster), progress_bar(files.size(name), "replaying", lambda time: time) as bar:
        report = replaying.run(_chunks(file), options, poster, pace, name=name, progress=bar.update)
    end = f"change {report.change}" if report.has_changed else "nothing changed"
    line = "\n".join([*report.describe(), f"{server.url}: {end}"])
    print_result(line, as_json, url=server.url, **report.as_json())
    return EXIT_REFUSED if report.rejected else 0


def _parse_speed(text: str) -> float | None:
    from gfil.client.replay import SPEED_MAX

    if text == "max":
        return None
    is_number = re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,6})?", text)
    if not is_number or not 0 < float(text) <= SPEED_MAX:
        hint = "--speed"
        raise click.BadParameter("must be a number above 0 such as 10, or max", param_hint=hint)
    return float(text)


def _read_key(path: str | None) -> str:
    context = click.get_current_context()
    text = os.environ.get(KEY_VARIABLE, "")
    if path is not None:
        text = Path(path).read_text("utf-8-sig", "replace")
    elif not text.strip():
        raise click.UsageError(f"give a key with --key-file or {KEY_VARIABLE}", context)
    if not KEY_FORM.fullmatch(text.strip()):
        raise click.UsageError(f"{path or KEY_VARIABLE} does not contain a key", context)
    return text.strip()


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(READ_BYTES):
        yield chunk
