"""Stand-in for the package MetaTrader5: it answers as the terminal does, from files of a test.

FAKE_MT5 names the folder. `broker.json` holds the broker's clock and the symbols; with `quotes` a
price arrives every second. `S.json` holds the ticks and candles of symbol S with times in UTC, in
the order of their arrival. `released` holds the share of the ticks that have arrived, 0 to 1. While
the file `down` exists the terminal does not answer.
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
    """Rows that can be read like a structured array of numpy: by number, or a column by name."""

    def __init__(self, rows: Any, names: tuple[str, ...]) -> None:
        super().__init__(rows)
        self.names = names

    def __getitem__(self, key: Any) -> Any:
        """Return a row, some rows, or a column."""
        if isinstance(key, slice):
            return Records(super().__getitem__(key), self.names)
        if not isinstance(key, str):
            return super().__getitem__(key)
        place = self.names.index(key)
        return array("q" if key in INTEGERS else "d", (row[place] for row in self))


@lru_cache
def broker() -> dict[str, Any]:
    """Return the settings of the broker."""
    settings: dict[str, Any] = json.loads((FOLDER / "broker.json").read_text())
    return settings


def wall(instant: int) -> int:
    """Return the broker's wall time at a time in UTC."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=instant)
    ahead = moment.astimezone(ZoneInfo(broker()["zone"])).utcoffset() or timedelta()
    return instant + int(ahead.total_seconds()) + broker()["shift_s"]


class Series:
    """Rows in the order of arrival; their wall times go back where the clock repeats an hour."""

    def __init__(self, instants: list[int], walls: list[int], rows: list[Any]) -> None:
        self.instants, self.walls, self.rows = instants, walls, rows
        steps = [n for n in range(1, len(walls)) if walls[n] < walls[n - 1]]
        self.runs = list(zip([0, *steps], [*steps, len(walls)], strict=True))

    def cut(self, low: int, high: int, stop: int) -> list[Any]:
        """Return the rows between two wall times, both included, among the first `stop` rows."""
        found = []
        for start, end in self.runs:
            end = min(end, stop)
            first = bisect_left(self.walls, low, start, max(start, end))
            found += self.rows[first : bisect_right(self.walls, high, first, max(first, end))]
        return found


@lru_cache
def ticks_of(symbol: str) -> Series:
    """Return all ticks of a symbol."""
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
    """Return all candles of a symbol."""
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
    if symbol not in broker()["symbols"]:
        _fail(-4, "Terminal: Not found")
        return False
    return True


def _arrived(symbol: str) -> int:
    file = FOLDER / "released"
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
    """Return code and text of the last error."""
    error: tuple[int, str] = _state["error"]
    return error


def terminal_info() -> Any:
    """Return the facts of the terminal."""
    if not _is_answering():
        return None
    maxbars = broker()["maxbars"]
    return SimpleNamespace(name="Stand-in", build=1, connected=True, maxbars=maxbars)


def account_info() -> Any:
    """Return the facts of the account."""
    return SimpleNamespace(server="Stand-in-Live") if _is_answering() else None


def symbol_info(symbol: str) -> Any:
    """Return the facts of a symbol."""
    if not _is_known(symbol):
        return None
    ticks = ticks_of(symbol).rows[: _arrived(symbol)]
    last = ticks[-1][0] if ticks else 0
    if broker().get("quotes"):
        last = wall(int(time.time()))
    return SimpleNamespace(name=symbol, time=last, **broker()["symbols"][symbol])


def symbols_get() -> Any:
    """Return the facts of every symbol."""
    return tuple(map(symbol_info, broker()["symbols"])) if _is_answering() else None


def symbol_select(symbol: str, _shown: bool) -> Any:
    """Show a symbol in the Market Watch."""
    return True if _is_known(symbol) else None


def copy_ticks_range(symbol: str, start: int, stop: int, _flags: int) -> Any:
    """Return the ticks between two seconds, both included."""
    if not _is_known(symbol):
        return None
    if symbol == broker().get("stuck"):
        _fail(-10005, "IPC timeout")
        return None
    found = ticks_of(symbol).cut(start * 1000, stop * 1000, _arrived(symbol))
    return Records(found, TICK_FIELDS)


def copy_ticks_from(symbol: str, start: int, count: int, _flags: int) -> Any:
    """Return the first ticks from a second on."""
    if not _is_known(symbol):
        return None
    found = ticks_of(symbol).cut(start * 1000, 1 << 60, _arrived(symbol))
    return Records(found[:count], TICK_FIELDS)


def _chart(symbol: str, tf: int) -> tuple[Series, int, int] | None:
    if not _is_known(symbol):
        return None
    series, arrived = bars_of(symbol, NAMES[tf]), _arrived(symbol)
    ticks = ticks_of(symbol).instants
    now = ticks[arrived - 1] // 1000 if arrived else (ticks[0] // 1000 - 1 if ticks else 1 << 60)
    stop = bisect_right(series.instants, now if arrived < len(ticks) else 1 << 60)
    return series, max(0, stop - broker()["maxbars"]), stop


def copy_rates_from_pos(symbol: str, tf: int, place: int, count: int) -> Any:
    """Return `count` candles, the newest of them `place` before the newest of all."""
    chart = _chart(symbol, tf)
    if chart is None:
        return None
    series, first, stop = chart
    if count > broker()["maxbars"]:
        _fail(-2, "Terminal: Invalid params")
        return None
    if place >= stop - first:
        _fail(-1, "Terminal: Call failed")
        return None
    end = stop - place
    return Records(series.rows[max(first, end - count) : end], BAR_FIELDS)


def copy_rates_range(symbol: str, tf: int, start: int, stop: int) -> Any:
    """Return the candles between two times, both included."""
    chart = _chart(symbol, tf)
    if chart is None:
        return None
    series, first, end = chart
    inside = set(series.rows[first:end])
    return Records([row for row in series.cut(start, stop, end) if row in inside], BAR_FIELDS)
