"""The pump: each step reads new ticks, sends the spool, then runs the tasks that are due."""

import argparse
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from scripts.pump.broker_clock import BrokerClock
from scripts.pump.candle_sender import CandleSender
from scripts.pump.errors import ServerUnavailable, TerminalUnavailable
from scripts.pump.log import warn_rarely
from scripts.pump.progress import Progress
from scripts.pump.resume import resume_history, resume_ticks
from scripts.pump.server import Server
from scripts.pump.spool import Spool
from scripts.pump.state_file import StateFile
from scripts.pump.symbol_facts import send_facts
from scripts.pump.symbols import Cursor, Symbol
from scripts.pump.terminal import Terminal
from scripts.pump.tick_reader import TickReader
from scripts.pump.tick_sender import TickSender
from scripts.pump.times import DAY_S, MINUTE_S, format_time

RETRY_FIRST_S = 0.5
RETRY_MAX_S = 30.0
TASK_RETRY_S = 1.0
ONCE_ATTEMPTS = 3
STATUS_WIDTH = 110


def retry_wait_s(failures: int) -> float:
    """Return the wait after a number of failures in a row; it doubles up to RETRY_MAX_S."""
    doublings = min(failures - 1, 16)  # after a day of failures the power overflows a float
    return min(RETRY_FIRST_S * 2.0**doublings, RETRY_MAX_S)


@dataclass
class Task:
    """Work on every symbol that is due again `every_s` after it is done; 0 switches it off."""

    run: Callable[[Symbol], None]
    every_s: float
    due: float = 0.0


class Pump:
    """Moves ticks and candles of a terminal to GFIL."""

    def __init__(self, options: argparse.Namespace, terminal: Terminal, server: Server) -> None:
        self.clock = BrokerClock(options.clock)
        self.spool = Spool(options.dir / "spool", options.spool_mb * 1e6)
        self.progress = Progress()
        self.trouble = ""  # why GFIL cannot take more now
        self.is_done = False  # all that the terminal has is sent
        self._options = options
        self._terminal = terminal
        self._server = server
        self._state_file = StateFile(options.dir)
        names = terminal.choose_symbols(options.symbols, options.map)
        self.symbols = [self._load_symbol(name, target) for name, target in names.items()]
        self._reader = TickReader(
            self.symbols, terminal, self.clock, server, self.spool, self.progress
        )
        self._tick_sender = TickSender(server, self.spool, self._state_file, self.progress)
        candles = CandleSender(terminal, self.clock, server, self._pump_ticks)
        self._history = Task(candles.send_history, MINUTE_S)
        self._tasks = [
            self._history,
            Task(candles.send_new, options.candles_every),
            Task(self._send_facts, DAY_S),
            Task(candles.fill_gaps, DAY_S if options.fill_gaps else 0),
        ]
        self._is_history_forced = options.history
        self._is_resumed = False
        self._is_key_rejected = False
        self._server_failures = 0  # since a step succeeded
        self._retry_due = 0.0

    def _load_symbol(self, name: str, target: str) -> Symbol:
        state = self._state_file.of(target)
        newest_msc = max(self.spool.newest_msc.get(target, 0), state.get("acked", 0))
        return Symbol(name, target, state, Cursor(newest_msc) if newest_msc else None)

    @property
    def is_stuck(self) -> bool:
        """Whether `--once` gives up: the key is rejected, or GFIL or the terminal keeps failing."""
        failures = max(self._server_failures, self.progress.terminal_failures)
        return self._is_key_rejected or failures >= ONCE_ATTEMPTS

    def save(self) -> None:
        """Save the state file."""
        self._state_file.save()

    def step(self) -> None:
        """Read new ticks, and send the spool unless a retry is not due yet."""
        now = time.monotonic()
        sent_before = self.progress.ticks_sent
        self._reader.read()
        if now < self._retry_due and not (self._is_key_rejected and self._server.reload_key()):
            return
        try:
            self._send(now + self._options.every / 1000)
        except ServerUnavailable as error:
            self._plan_retry(error, now)
            return
        self.trouble = ""
        self._server_failures = 0
        self._is_key_rejected = False
        self._retry_due = 0.0
        if self.progress.ticks_sent > sent_before:
            self.progress.terminal_failures = 0  # one symbol fails while others go on

    def _plan_retry(self, error: ServerUnavailable, now: float) -> None:
        self.trouble = error.reason
        self._is_key_rejected = error.is_key_rejected
        self._is_resumed = False
        self._server_failures += 1
        asked_s = error.retry_after_s * random.uniform(1.0, 1.2)
        backoff_s = retry_wait_s(self._server_failures) * random.uniform(0.5, 1.0)
        self._retry_due = now + max(asked_s, backoff_s)
        waiting = f"{self.spool.tick_count} ticks wait in the spool"
        warn_rarely(f"GFIL: {error.reason}; {waiting}", key="gfil")
        for symbol in self.symbols:
            if symbol.cursor is None:  # GFIL has not reported its newest tick yet
                symbol.cursor = Cursor(int(self._server.now - MINUTE_S) * 1000)

    def _send(self, deadline: float) -> None:
        if not self._is_resumed:
            self._resume()  # before new ticks create the symbol in GFIL, or hide lost ones
        self._tick_sender.send(deadline)
        if self.spool.tick_count:
            return
        for task in self._tasks:
            if task.every_s and time.monotonic() >= task.due:
                self._run_task(task)
        is_all_sent = all(
            symbol.is_at_end and symbol.state["history"] == "done" for symbol in self.symbols
        )
        self.is_done = is_all_sent and self._is_resumed and not self.spool.tick_count

    def _run_task(self, task: Task) -> None:
        now = time.monotonic()
        failures_before = self.progress.terminal_failures
        for symbol in self.symbols:
            try:
                task.run(symbol)
            except TerminalUnavailable as error:  # one symbol does not hold up the others
                self.progress.count_failure(error)
        has_failed = self.progress.terminal_failures > failures_before
        task.due = now + (TASK_RETRY_S if has_failed else task.every_s)

    def _resume(self) -> None:
        answer = self._server.get("/api/v1/symbols")
        stored = {info["symbol"].lower(): info for info in answer.get("symbols", ())}
        oldest_msc = int(self._server.now - self._options.tick_days * DAY_S) * 1000
        for symbol in self.symbols:
            info = stored.get(symbol.target.lower())
            if info and info["symbol"] != symbol.target:
                raise SystemExit(f"GFIL calls {symbol.target} {info['symbol']}: use --map")
            spooled_msc = self.spool.newest_msc.get(symbol.target, 0)
            resume_ticks(symbol, info, spooled_msc, oldest_msc)
            resume_history(symbol, info, self._is_history_forced)
        self._is_history_forced = False
        self._is_resumed = True
        self._history.due = 0.0
        self.save()

    def _send_facts(self, symbol: Symbol) -> None:
        send_facts(symbol, self._terminal, self._server)

    def _pump_ticks(self) -> None:
        self._reader.read()
        self._tick_sender.send(time.monotonic() + self._options.every / 1000)

    def show_status(self) -> None:
        """Write one line over the last line of the console."""
        server_state = f"GFIL {self.trouble or 'ok'}"
        state = server_state if self._terminal.is_open else "no terminal"
        counts = f"{self.progress.ticks_sent} ticks sent, {self.spool.tick_count} in the spool"
        line = f"{format_time(time.time())}Z  {counts}, {state}"[:STATUS_WIDTH]
        print(line.ljust(STATUS_WIDTH), end="\r", file=sys.stderr, flush=True)
