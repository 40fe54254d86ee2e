"""State of each symbol while the pump runs."""

from dataclasses import dataclass
from typing import Any, NamedTuple


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
    cursor: Cursor | None  # None until GFIL has reported its newest tick
    recheck: Recheck | None = None
    is_resumed: bool = False  # the cursor fits what GFIL has stored
    is_at_end: bool = False  # the terminal has no newer tick
    newest_wall: int = 0  # newest price, on the broker's clock
    lead: str = ""  # how far the newest price lies in the future; "" if it does not
