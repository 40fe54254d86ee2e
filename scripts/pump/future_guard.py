"""The guard against a wrong `--clock`: a symbol with a price in the future is not sent."""

from datetime import timedelta

from scripts.pump.broker_clock import BrokerClock
from scripts.pump.errors import TerminalUnavailable
from scripts.pump.server import Server
from scripts.pump.symbols import Symbol
from scripts.pump.terminal import Terminal

AHEAD_MAX_S = 240  # GFIL refuses rows that are 5 minutes ahead


class FutureGuard:
    """Compares the newest price of a symbol with the time of the server."""

    def __init__(self, terminal: Terminal, clock: BrokerClock, server: Server) -> None:
        self._terminal = terminal
        self._clock = clock
        self._server = server

    def check(self, symbol: Symbol, newest_candle_wall: int = 0) -> None:
        """Raise TerminalUnavailable if the newest price of the symbol lies in the future.

        Each newest price is compared once: on a closed market the same price would look right
        some hours later.
        """
        tick_wall = self._terminal.call("symbol_info", symbol.name).time
        wall = max(tick_wall or symbol.newest_wall, newest_candle_wall)
        if wall != symbol.newest_wall:
            symbol.newest_wall = wall
            symbol.lead = self._format_lead(wall)
        if symbol.lead:
            raise TerminalUnavailable(
                f"the newest price of {symbol.name} is {symbol.lead} ahead, so the pump sends "
                "nothing of it: is --clock right?"
            )

    def _format_lead(self, wall: int) -> str:
        time_s = self._clock.to_utc([wall], 1, 0)[0] or 0
        ahead_s = time_s - int(self._server.now)
        return f"{timedelta(seconds=ahead_s)}" if ahead_s > AHEAD_MAX_S else ""
