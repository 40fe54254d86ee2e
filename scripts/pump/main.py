"""The program: options, signals, the lock of the folder, and the loop."""

import argparse
import importlib
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from scripts.pump.check import check
from scripts.pump.errors import TerminalUnavailable
from scripts.pump.log import LOG, start_log
from scripts.pump.options import parse_options
from scripts.pump.progress import Progress
from scripts.pump.pump import Pump
from scripts.pump.server import Server
from scripts.pump.terminal import Terminal
from scripts.pump.tick_reader import REOPEN_EVERY_S


def main() -> None:
    """Run the pump until it is done or a signal stops it."""
    handle_stop_signals()
    options = parse_options()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as trial_folder:
        if options.dry_run or options.check:
            _use_trial_folder(options, Path(trial_folder))
        try:
            options.dir.mkdir(parents=True, exist_ok=True)
            with (options.dir / "lock").open("a+b") as lock_file:
                _lock(lock_file, options.dir)
                start_log(options.dir)
                run(options)
        except KeyboardInterrupt:
            raise SystemExit("mt5_pump: stopped by a signal") from None
        except (ImportError, TerminalUnavailable) as error:
            raise SystemExit(f"mt5_pump: {error}") from None
        except OSError as error:
            raise SystemExit(f"mt5_pump: {options.dir}: {error}") from None


def handle_stop_signals() -> None:
    """Let SIGINT, SIGTERM and SIGBREAK (Windows) raise KeyboardInterrupt.

    A shell starts background jobs of a script with SIGINT ignored, and Python keeps that. The pump
    sets its own handlers so that `kill -INT` always stops it cleanly. SIGHUP stays as inherited:
    a pump under `nohup` outlives its terminal.
    """
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)


def run(options: argparse.Namespace) -> None:
    """Connect to GFIL and the terminal, then check or pump."""
    server = Server(options)
    terminal = Terminal(options.terminal)
    _wait_for_terminal(terminal, options.once, Progress())
    if options.check:
        check(options, terminal, server)
        return
    pump = Pump(options, terminal, server)
    names = " ".join(symbol.target for symbol in pump.symbols)
    LOG.info("pumping %s to %s, clock of the broker %s", names, options.url, pump.clock.name)
    with suppress(KeyboardInterrupt):
        _pump_until_done(pump, options)
    pump.save()
    done = "would be sent" if options.dry_run else "sent"
    count, waiting = pump.progress.ticks_sent, pump.spool.tick_count
    LOG.info("ended: %s ticks %s, %s wait in the spool", count, done, waiting)


def _pump_until_done(pump: Pump, options: argparse.Namespace) -> None:
    while not (options.once and pump.is_done):
        started = time.monotonic()
        pump.step()
        if options.once and pump.is_stuck:
            raise SystemExit(f"not everything was sent: {pump.trouble or 'see the log above'}")
        if sys.stderr is not None and sys.stderr.isatty():
            pump.show_status()
        time.sleep(max(0.0, started + options.every / 1000 - time.monotonic()))


def _wait_for_terminal(terminal: Terminal, is_once: bool, progress: Progress) -> None:
    while not terminal.is_open:
        try:
            terminal.open()
        except TerminalUnavailable as error:
            if is_once:
                raise
            progress.count_failure(error)
            time.sleep(REOPEN_EVERY_S)


def _use_trial_folder(options: argparse.Namespace, folder: Path) -> None:
    with suppress(FileNotFoundError):
        (folder / "state.json").write_bytes((options.dir / "state.json").read_bytes())
    options.dir = folder
    options.once = True


def _lock(file: IO[bytes], folder: Path) -> None:
    # The system releases the lock when the process ends, however it ends.
    try:
        if os.name == "nt":
            msvcrt = importlib.import_module("msvcrt")
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl = importlib.import_module("fcntl")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise SystemExit(f"{folder}: {error} (another pump runs in this folder)") from None
