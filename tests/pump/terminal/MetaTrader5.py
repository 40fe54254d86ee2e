"""Stands in for the module of MetaTrader 5: answers as its terminal, from the files of a world.

FAKE_MT5 names the folder: `world.json` says the broker's clock and the symbols, `S.json` holds the
ticks and candles of each by UTC, in the order in which they came. `reached` is how much of a
symbol's ticks have come by now, 0 to 1; `quotes` says that a price comes every second. While there
is a file `down` the terminal does not answer.
"""

import json
import os
import time
from array import array
from bisect import bisect_left, bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

COPY_TICKS_ALL = -1
TIMEFRAME_M1, TIMEFRAME_H1, TIMEFRAME_D1 = 1, 16385, 16408
NAMES = {TIMEFRAME_M1: "M1", TIMEFRAME_H1: "H1", TIMEFRAME_D1: "D1"}
TICK_FIELDS = ("time", "bid", "ask", "last", "volume", "time_msc", "flags", "volume_real")
BAR_FIELDS = ("time", "open", "high", "low", "close", "tick_volume", "spread", "real_volume")
INTEGERS = {"time", "time_msc", "volume", "flags", "tick_volume", "spread", "real_volume"}
FOLDER = Path(os.environ["FAKE_MT5"])
_state: dict[str, Any] = {"open": False, "error": (1, "Success")}


class Records(list):  # type: ignore[type-arg]
    """Rows as numpy's structured arrays have them: a column by its name, with `tolist`."""

    def __init__(self, rows: Any, names: tuple[str, ...]) -> None:
        super().__init__(rows)
        self.names = names

    def __getitem__(self, key: Any) -> Any:
        """Return a row by its number or a column by its name."""
        if isinstance(key, slice):
            return Records(super().__getitem__(key), self.names)
        if not isinstance(key, str):
            return super().__getitem__(key)
        place = self.names.index(key)
        return array("q" if key in INTEGERS else "d", (row[place] for row in self))


@lru_cache
def world() -> dict[str, Any]:
    """What does not change."""
    told: dict[str, Any] = json.loads((FOLDER / "world.json").read_text())
    return told


def wall(instant: int) -> int:
    """What the broker's clock shows, by the rule of its zone."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=instant)
    ahead = moment.astimezone(ZoneInfo(world()["zone"])).utcoffset() or timedelta()
    return instant + int(ahead.total_seconds()) + world()["shift_s"]


class Series:
    """Rows in the order they came, by the broker's clock, which may step back."""

    def __init__(self, instants: list[int], walls: list[int], rows: list[Any]) -> None:
        self.instants, self.walls, self.rows = instants, walls, rows
        steps = [n for n in range(1, len(walls)) if walls[n] < walls[n - 1]]
        self.runs = list(zip([0, *steps], [*steps, len(walls)], strict=True))

    def cut(self, low: int, high: int, stop: int) -> list[Any]:
        """Those from one wall time to another, both included, of the first `stop`."""
        found = []
        for start, end in self.runs:
            end = min(end, stop)
            first = bisect_left(self.walls, low, start, max(start, end))
            found += self.rows[first : bisect_right(self.walls, high, first, max(first, end))]
        return found


@lru_cache
def ticks_of(symbol: str) -> Series:
    """All ticks of a symbol."""
    ticks = json.loads((FOLDER / f"{symbol}.json").read_text())["ticks"]
    instants = [tick[0] for tick in ticks]
    walls = [wall(at // 1000) * 1000 + at % 1000 for at in instants]
    rows = [
        (at // 1000, bid, ask, last, int(volume), at, flags, volume)
        for at, (_, bid, ask, last, volume, flags) in zip(walls, ticks, strict=True)
    ]
    return Series(instants, walls, rows)


@lru_cache
def bars_of(symbol: str, tf: str) -> Series:
    """All candles of a symbol."""
    bars = json.loads((FOLDER / f"{symbol}.json").read_text())[tf]
    walls = [wall(bar[0]) for bar in bars]
    rows = [(at, *bar[1:], 3, 0) for at, bar in zip(walls, bars, strict=True)]
    return Series([bar[0] for bar in bars], walls, rows)


def _fail(code: int, text: str) -> None:
    _state["error"] = (code, text)


def _is_answering() -> bool:
    if (FOLDER / "down").exists() or not _state["open"]:
        _fail(-10004, "No IPC connection")
        return False
    return True


def _is_known(symbol: str) -> bool:
    if not _is_answering():
        return False
    if symbol not in world()["symbols"]:
        _fail(-4, "Terminal: Not found")
        return False
    return True


def _reached(symbol: str) -> int:
    # So many ticks have come.
    file = FOLDER / "reached"
    share = float(file.read_text() or 0) if file.exists() else 1.0
    return int(share * len(ticks_of(symbol).rows))


def initialize(path: str = "") -> bool:
    """Connect."""
    _state["open"] = True
    _state["open"] = _is_answering()
    return bool(_state["open"])


def shutdown() -> None:
    """Disconnect."""
    _state["open"] = False


def last_error() -> tuple[int, str]:
    """The last error."""
    error: tuple[int, str] = _state["error"]
    return error


def terminal_info() -> Any:
    """What the terminal is."""
    if not _is_answering():
        return None
    maxbars = world()["maxbars"]
    return SimpleNamespace(name="Stand-in", build=1, connected=True, maxbars=maxbars)


def account_info() -> Any:
    """Whose account it is."""
    return SimpleNamespace(server="Stand-in-Live") if _is_answering() else None


def symbol_info(symbol: str) -> Any:
    """The facts of a symbol."""
    if not _is_known(symbol):
        return None
    ticks = ticks_of(symbol).rows[: _reached(symbol)]
    last = ticks[-1][0] if ticks else 0
    if world().get("quotes"):
        last = wall(int(time.time()))
    return SimpleNamespace(name=symbol, time=last, **world()["symbols"][symbol])


def symbols_get() -> Any:
    """Every symbol."""
    return tuple(map(symbol_info, world()["symbols"])) if _is_answering() else None


def symbol_select(symbol: str, _shown: bool) -> Any:
    """Show a symbol."""
    return True if _is_known(symbol) else None


def copy_ticks_range(symbol: str, start: int, stop: int, _flags: int) -> Any:
    """Ticks of a range of seconds, both included."""
    if not _is_known(symbol):
        return None
    if symbol == world().get("stuck"):
        _fail(-10005, "IPC timeout")
        return None
    found = ticks_of(symbol).cut(start * 1000, stop * 1000, _reached(symbol))
    return Records(found, TICK_FIELDS)


def copy_ticks_from(symbol: str, start: int, count: int, _flags: int) -> Any:
    """The first ticks from a second on."""
    if not _is_known(symbol):
        return None
    found = ticks_of(symbol).cut(start * 1000, 1 << 60, _reached(symbol))
    return Records(found[:count], TICK_FIELDS)


def _bars(symbol: str, tf: int) -> tuple[Series, int, int] | None:
    # Those in the chart, from one number to another.
    if not _is_known(symbol):
        return None
    series, came = bars_of(symbol, NAMES[tf]), _reached(symbol)
    ticks = ticks_of(symbol).instants
    now = ticks[came - 1] // 1000 if came else (ticks[0] // 1000 - 1 if ticks else 1 << 60)
    stop = bisect_right(series.instants, now if came < len(ticks) else 1 << 60)
    return series, max(0, stop - world()["maxbars"]), stop


def copy_rates_from_pos(symbol: str, tf: int, place: int, count: int) -> Any:
    """So many candles that end so many before the newest."""
    chart = _bars(symbol, tf)
    if chart is None:
        return None
    series, first, stop = chart
    if count > world()["maxbars"]:
        _fail(-2, "Terminal: Invalid params")
        return None
    if place >= stop - first:
        _fail(-1, "Terminal: Call failed")
        return None
    end = stop - place
    return Records(series.rows[max(first, end - count) : end], BAR_FIELDS)


def copy_rates_range(symbol: str, tf: int, start: int, stop: int) -> Any:
    """Candles of a range, both ends included."""
    chart = _bars(symbol, tf)
    if chart is None:
        return None
    series, first, end = chart
    inside = set(series.rows[first:end])
    return Records([row for row in series.cut(start, stop, end) if row in inside], BAR_FIELDS)
