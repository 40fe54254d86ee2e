"""The MetaTrader 5 terminal: its connection, its functions, and the symbols to pump."""

import importlib
import re
from collections.abc import Sequence
from typing import Any

from scripts.pump.errors import TerminalUnavailable
from scripts.pump.log import LOG

SYMBOL_NAME = re.compile(r"(?=.*[A-Za-z0-9])[\w.#+-]{1,32}", re.ASCII)  # in GFIL


class Terminal:
    """A connection to the terminal through the package MetaTrader5; times are broker wall times."""

    def __init__(self, path: str | None) -> None:
        self.api: Any = importlib.import_module("MetaTrader5")
        self.is_open = False
        self._arguments = [path] if path else []

    def open(self) -> None:
        """Connect again; the package starts the terminal if it does not run."""
        self.api.shutdown()
        self.is_open = bool(self.api.initialize(*self._arguments))
        if not self.is_open:
            raise TerminalUnavailable(f"the terminal does not start: {self.api.last_error()}")

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function of the package; raise TerminalUnavailable if it fails."""
        answer = getattr(self.api, function)(*arguments)
        if answer is None:
            error = self.api.last_error()
            self.is_open = self.api.terminal_info() is not None
            raise TerminalUnavailable(f"{function}{arguments} fails: {error}")
        return answer

    def max_bars(self) -> int:
        """Return the setting "Max bars in chart"."""
        return int(self.call("terminal_info").maxbars)

    def choose_symbols(self, wanted: Sequence[str], maps: Sequence[str]) -> dict[str, str]:
        """Return the GFIL name of each symbol to pump: the wanted ones, else the Market Watch."""
        shown = [info.name for info in self.call("symbols_get") if info.visible]
        targets = dict(pair.partition("=")[::2] for pair in maps)
        chosen: dict[str, str] = {}
        for name in wanted or shown:
            target = targets.get(name, name)
            if not self.api.symbol_select(name, True):
                raise SystemExit(f"the terminal has no symbol {name}; it shows {' '.join(shown)}")
            if SYMBOL_NAME.fullmatch(target):
                chosen[name] = target
                continue
            hint = f"GFIL cannot name a symbol {target!r}: use --map '{name}=NAME'"
            if wanted or name in targets:
                raise SystemExit(hint)
            LOG.warning("%s is not pumped: %s", name, hint)
        is_ambiguous = len(set(chosen.values())) < len(chosen)
        if is_ambiguous or set(targets) - set(chosen) or not chosen:
            raise SystemExit(f"--symbols and --map must name each symbol once: {chosen}")
        return chosen
