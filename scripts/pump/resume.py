"""Resume: where a started pump continues, by the rows in GFIL, the state file and the spool."""

from typing import Any

from scripts.pump.symbols import Cursor, Symbol
from scripts.pump.times import DAY_S

M1_RESEND_S = 7 * DAY_S  # M1 sent again of a symbol that GFIL has and the state file lacks


def resume_ticks(
    symbol: Symbol, stored: dict[str, Any] | None, spooled_msc: int, oldest_msc: int
) -> None:
    """Set where reading ticks starts; `stored` is the symbol in GFIL, None if GFIL lacks it."""
    state = symbol.state
    last_msc = (stored["last_tick_msc"] or 0) if stored else 0
    if last_msc < state.get("stored", 0):  # GFIL lost ticks, for example by a restore
        state["acked"] = last_msc
        state["stored"] = last_msc
        symbol.cursor = Cursor(max(last_msc, oldest_msc))
        symbol.is_at_end = False
    elif not symbol.is_resumed:
        symbol.cursor = Cursor(max(last_msc, oldest_msc, state.get("acked", 0), spooled_msc))
        symbol.newest_wall = 0  # so far the guard compared with this machine's time
    symbol.is_resumed = True


def resume_history(symbol: Symbol, stored: dict[str, Any] | None, is_forced: bool) -> None:
    """Set where sending candles starts: at the first one for a new symbol or with `--history`."""
    state = symbol.state
    if not stored or is_forced:
        state["history"] = "begun"
        state["sent"] = {}
    elif state.setdefault("history", "done") == "done":
        last_m1 = stored["last_time"] or 0
        sent = state.setdefault("sent", {"M1": last_m1 - M1_RESEND_S})
        sent["M1"] = min(last_m1, sent.get("M1", 0))
