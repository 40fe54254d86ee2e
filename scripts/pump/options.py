"""The command line of the pump."""

import argparse
import os
from pathlib import Path

USAGE = """Send ticks and candles from a MetaTrader 5 terminal to GFIL, without a gap.

The pump writes each tick to a spool on this disk before it sends the tick, and keeps the tick there
until GFIL confirms that it is stored. After a crash or an outage the pump resumes automatically.

  pip install MetaTrader5 tzdata
  set GFIL_KEY=...           (from: scripts/gfil key create --name pump --scope write)
  python mt5_pump.py --url https://charts.example.com --check
  python mt5_pump.py --url https://charts.example.com --clock nyclose --map XAUUSD.r=XAUUSD

Ctrl-C, SIGINT and SIGTERM stop the pump cleanly, also one that was started in the background."""
FOLDER = Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "gfil-pump"


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=USAGE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_source_options(parser)
    _add_mode_options(parser)
    _add_limit_options(parser)
    return parser


def parse_options() -> argparse.Namespace:
    """Parse the command line; end the program on wrong usage."""
    options = make_parser().parse_args()
    if not options.clock and not options.check:
        raise SystemExit(
            "--clock is needed: the terminal does not report the broker's clock; "
            "--check shows which clocks fit"
        )
    return options


def _add_source_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--url", required=True, help="address of GFIL, such as https://charts.example.com")
    add("--clock", help="the broker's clock (required; --check shows which clocks fit)")
    add("--symbols", nargs="+", metavar="S", help="symbols to pump (default: the Market Watch)")
    add(
        "--map",
        action="append",
        default=[],
        metavar="S=NAME",
        help="name in GFIL of a symbol of the terminal; may be repeated",
    )
    add("--key-file", type=Path, metavar="FILE", help="file with the key (default: GFIL_KEY)")
    add("--terminal", metavar="EXE", help="path of terminal64.exe, if there are several")
    add(
        "--insecure",
        action="store_true",
        help="allow http to another machine: the key is sent unencrypted",
    )


def _add_mode_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--check", action="store_true", help="show terminal, times and fitting clocks, then exit")
    add("--once", action="store_true", help="send everything up to now, then exit")
    add("--dry-run", action="store_true", help="show what --once would send, and write nothing")
    add("--fill-gaps", action="store_true", help="once a day send the M1 that GFIL lacks")
    add("--history", action="store_true", help="send the whole history once more")


def _add_limit_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--dir",
        type=Path,
        default=FOLDER,
        help="folder of spool, state and log (default: %(default)s)",
    )
    add(
        "--spool-mb",
        type=float,
        default=512,
        metavar="MB",
        help="largest spool (default: %(default)s)",
    )
    add(
        "--tick-days",
        type=float,
        default=7,
        metavar="N",
        help="age of the oldest ticks to send (default: %(default)s)",
    )
    add(
        "--every",
        type=int,
        default=250,
        metavar="MS",
        help="milliseconds between two reads of ticks (default: %(default)s)",
    )
    add(
        "--candles-every",
        type=float,
        default=60,
        metavar="S",
        help="seconds between two reads of candles (default: %(default)s)",
    )
