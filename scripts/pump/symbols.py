"""What the pump knows of each symbol, and the part of it that survives a restart."""

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

SAVE_EVERY_S = 5


class Cursor(NamedTuple):
    """A position in the ticks of a symbol: the next read starts at `time_msc`.

    `known` counts the ticks of this millisecond that were read already; the read skips them.
    """

    time_msc: int
    known: int = 0

    def after(self, time_msc: int) -> "Cursor":
        """Return the position after one more tick."""
        if time_msc < self.time_msc:
            return self
        known = self.known if time_msc == self.time_msc else 0
        return Cursor(time_msc, known + 1)


class Recheck(NamedTuple):
    """A planned second read of ticks; `due` is a time of time.monotonic()."""

    due: float
    from_msc: int


@dataclass(eq=False)
class Symbol:
    """A symbol that is pumped.

    `state` is its entry in the state file: `acked` and `stored`, the newest tick in ms that GFIL
    confirmed and that it stored; `history`, `begun` or `done`; `sent`, the newest candle sent of
    each timeframe; `facts`, as sent.
    """

    name: str  # in the terminal
    target: str  # in GFIL
    state: dict[str, Any]
    cursor: Cursor | None  # None until GFIL has said what it has
    recheck: Recheck | None = None
    is_resumed: bool = False  # the cursor fits what GFIL has stored
    is_at_end: bool = False  # the terminal has no newer tick
    newest_wall: int = 0  # newest price, on the broker's clock
    lead: str = ""  # how far the newest price lies in the future; "" if it does not


class StateFile:
    """The file `state.json`: what the pump knows of each symbol, by its name in GFIL."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._save_due = 0.0
        self.symbols: dict[str, dict[str, Any]] = {}
        with suppress(OSError, ValueError):  # without the file GFIL says what it has
            self.symbols = dict(json.loads((folder / "state.json").read_text("utf-8")))

    def of(self, target: str) -> dict[str, Any]:
        """Return the state of a symbol, an empty one for a symbol without any."""
        return self.symbols.setdefault(target, {})

    def save(self) -> None:
        """Replace the file; a full disk leaves the file as it is."""
        self._save_due = time.monotonic() + SAVE_EVERY_S
        new = self._folder / "state.new"
        with suppress(OSError):
            with new.open("w", encoding="utf-8") as file:
                json.dump(self.symbols, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._folder / "state.json")

    def save_if_due(self) -> None:
        """Save unless the last save was less than SAVE_EVERY_S ago."""
        if time.monotonic() > self._save_due:
            self.save()


@dataclass
class Progress:
    """Counts of this run."""

    ticks_sent: int = 0
    terminal_failures: int = 0  # since ticks were last sent
