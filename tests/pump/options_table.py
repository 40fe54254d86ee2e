"""The rows of the table of options in docs/mt5.md, made from the parser of the pump."""

import argparse
from collections.abc import Iterator

from scripts.pump.options import make_parser

FOLDER = "`%LOCALAPPDATA%\\gfil-pump`"  # the default of --dir on Windows


def pump_options() -> Iterator[tuple[str, str]]:
    """Yield the head of the table, then option and meaning of each row."""
    yield "option", "meaning"
    for action in make_parser()._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
        default = FOLDER if action.dest == "dir" else action.default
        yield f"`{action.option_strings[-1]}{value}`", (action.help or "") % {"default": default}
