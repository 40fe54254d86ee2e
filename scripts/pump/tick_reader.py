"""Reading ticks: from the terminal into the spool."""

import time
from collections.abc import Sequence
from typing import Any

from scripts.pump.broker_clock import BrokerClock
from scripts.pump.errors import TerminalUnavailable
from scripts.pump.future_guard import AHEAD_MAX_S, FutureGuard
from scripts.pump.log import warn_rarely
from scripts.pump.progress import Progress
from scripts.pump.server import Server
from scripts.pump.spool import Spool
from scripts.pump.symbols import Cursor, Recheck, Symbol
from scripts.pump.terminal import Terminal
from scripts.pump.times import DAY_S, HOUR_S, LATEST, MINUTE_S, format_time

TICK_FIELDS = ("time_msc", "bid", "ask", "last", "volume", "volume_real", "flags")
WINDOW_S = 6 * HOUR_S  # of ticks read in one call
BACKLOG_BYTES = 32_000_000  # a larger spool is sent before older ticks are read
RECHECK_AFTER_S = 60.0
SILENCE_S = 120.0  # a terminal that was offline this long adds older ticks once it is back
REOPEN_EVERY_S = 5.0


class TickReader:
    """Reads the new ticks of every symbol into the spool."""

    def __init__(
        self,
        symbols: Sequence[Symbol],
        terminal: Terminal,
        clock: BrokerClock,
        server: Server,
        spool: Spool,
        progress: Progress,
    ) -> None:
        self._symbols = symbols
        self._terminal = terminal
        self._clock = clock
        self._server = server
        self._spool = spool
        self._progress = progress
        self._guard = FutureGuard(terminal, clock, server)
        self._reopen_due = 0.0
        self._ticks_max = LATEST  # of one read; fewer while a whole read does not fit in the spool

    def read(self) -> None:
        """Read once; a symbol that fails does not hold up the others."""
        lines: list[bytes] = []
        cursors: dict[Symbol, Cursor] = {}
        for symbol in self._symbols:
            _start_due_recheck(symbol)
            try:
                self._reopen_terminal()
                if symbol.cursor is not None and self._is_readable(symbol):
                    self._guard.check(symbol)
                    cursors[symbol] = self._read_symbol(symbol, symbol.cursor, lines)
            except TerminalUnavailable as error:
                self._progress.count_failure(error)
        self._store(lines, cursors)

    def _reopen_terminal(self) -> None:
        now = time.monotonic()
        if not self._terminal.is_open and now >= self._reopen_due:
            self._reopen_due = now + REOPEN_EVERY_S
            self._terminal.open()

    def _is_readable(self, symbol: Symbol) -> bool:
        has_room = symbol.is_at_end or self._spool.size_bytes < BACKLOG_BYTES
        return has_room and self._terminal.is_open

    def _store(self, lines: list[bytes], cursors: dict[Symbol, Cursor]) -> None:
        try:
            self._spool.append(lines)
        except OSError as error:
            self._spool.close_batch()  # the disk may hold a part of the last record
            self._ticks_max = len(lines) // 2 or 1  # a smaller read may fit
            if len(lines) == 1:
                warning = f"the spool is full ({error}): newer ticks stay in the terminal"
                warn_rarely(warning, key="spool")
            return
        self._ticks_max = min(2 * self._ticks_max, LATEST)
        for symbol, cursor in cursors.items():
            symbol.cursor = cursor

    def _read_symbol(self, symbol: Symbol, cursor: Cursor, lines: list[bytes]) -> Cursor:
        start = self._clock.repeated_hour(self._clock.to_wall(cursor.time_msc // 1000)).start
        stop = self._clock.repeated_hour(start + WINDOW_S).stop
        every_tick = self._terminal.api.COPY_TICKS_ALL
        rows = self._terminal.call("copy_ticks_range", symbol.name, start, stop, every_tick)
        count_before = len(lines)
        reached, is_whole_window = self._append_ticks(symbol, cursor, rows, lines)
        if not is_whole_window:
            return reached
        if len(lines) > count_before:
            _plan_recheck(symbol, cursor, reached)
            return reached
        return self._skip_empty_window(symbol, reached, stop)

    def _append_ticks(
        self, symbol: Symbol, cursor: Cursor, rows: Any, lines: list[bytes]
    ) -> tuple[Cursor, bool]:
        walls_msc, *columns = (rows[field].tolist() if len(rows) else [] for field in TICK_FIELDS)
        times_msc = self._clock.to_utc(walls_msc, 1000, -MINUTE_S * 1000)
        latest_msc = (self._server.now + AHEAD_MAX_S) * 1000
        first_msc, to_skip = cursor
        for time_msc, wall_msc, *values in zip(times_msc, walls_msc, *columns, strict=True):
            if time_msc is None:
                _warn_of_skipped_hour(symbol, wall_msc)
            elif time_msc == first_msc and to_skip:
                to_skip -= 1
            elif time_msc > latest_msc or len(lines) >= self._ticks_max:
                symbol.is_at_end = time_msc > latest_msc  # this tick waits until its time has come
                return cursor, False
            elif time_msc >= first_msc:
                lines.append(_format_tick(symbol.target, time_msc, values))
                cursor = cursor.after(time_msc)
        return cursor, True

    def _skip_empty_window(self, symbol: Symbol, cursor: Cursor, stop: int) -> Cursor:
        every_tick = self._terminal.api.COPY_TICKS_ALL
        rows = self._terminal.call("copy_ticks_from", symbol.name, stop, 1, every_tick)
        walls_msc = rows["time_msc"].tolist() if len(rows) else []
        for time_msc in self._clock.to_utc(walls_msc, 1000, 0):
            if time_msc and time_msc > cursor.time_msc:
                return Cursor(time_msc)
        symbol.is_at_end = True
        return cursor


def _start_due_recheck(symbol: Symbol) -> None:
    if symbol.cursor and symbol.recheck and time.monotonic() > symbol.recheck.due:
        symbol.cursor = Cursor(symbol.recheck.from_msc)
        symbol.recheck = None


def _plan_recheck(symbol: Symbol, before: Cursor, reached: Cursor) -> None:
    was_silent = reached.time_msc - before.time_msc > SILENCE_S * 1000
    if symbol.is_at_end and was_silent and not symbol.recheck:
        from_msc = max(before.time_msc, reached.time_msc - DAY_S * 1000)
        symbol.recheck = Recheck(time.monotonic() + RECHECK_AFTER_S, from_msc)


def _warn_of_skipped_hour(symbol: Symbol, wall_msc: int) -> None:
    hour = format_time(wall_msc // 1000)[:13]
    warn_rarely(
        f"{symbol.name}: the clock skips the hour {hour}h, so the pump omits its ticks: "
        "is --clock right?"
    )


def _format_tick(target: str, time_msc: int, values: list[Any]) -> bytes:
    bid, ask, last, volume, volume_real, flags = values
    prices = f"{bid!r},{ask!r},{last!r}"
    return f"{target},{time_msc},{prices},{volume_real or volume!r},{flags}\n".encode()
