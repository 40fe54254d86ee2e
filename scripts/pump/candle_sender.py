"""Candles to GFIL: backfill of the history, new M1, and M1 for the gaps of each symbol."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from scripts.pump.broker_clock import BrokerClock
from scripts.pump.future_guard import FutureGuard
from scripts.pump.log import LOG
from scripts.pump.server import Server
from scripts.pump.symbols import Symbol
from scripts.pump.terminal import Terminal
from scripts.pump.times import DAY_S, HOUR_S, LATEST, MINUTE_S, format_time

TIMEFRAME_S = {"M1": MINUTE_S, "H1": HOUR_S, "D1": DAY_S}  # sent of a history, finest first
CANDLE_FIELDS = ("open", "high", "low", "close", "tick_volume")
CANDLE_HEADER = b"time,open,high,low,close,volume\n"
PAGE_CANDLES = 10_000
OVERLAP_S = 5 * MINUTE_S  # new M1 are sent again from this long before the newest M1 sent
CUT_SHARE = 0.99  # of "Max bars in chart": from this share on, the setting may have cut the history


@dataclass(frozen=True)
class CandleRange:
    """Candles to send: those of [start, stop) from `since` on; `is_fill` replaces none in GFIL."""

    tf: str
    start: int
    stop: int = LATEST
    since: int = 0
    is_fill: bool = False


@dataclass(frozen=True)
class Found:
    """Number of candles that the terminal has in a range, and the time of the first (or LATEST)."""

    count: int
    first: int


class CandleSender:
    """Sends closed candles of the terminal."""

    def __init__(
        self,
        terminal: Terminal,
        clock: BrokerClock,
        server: Server,
        pump_ticks: Callable[[], None],
    ) -> None:
        self._terminal = terminal
        self._clock = clock
        self._server = server
        self._guard = FutureGuard(terminal, clock, server)
        self._pump_ticks = pump_ticks  # between two pages, so that a long history delays no tick

    def send_history(self, symbol: Symbol) -> None:
        """Backfill: send all M1 of the terminal, H1 before the first M1, D1 before the first H1."""
        if symbol.state["history"] == "done":
            return
        stop = LATEST
        sent = dict(symbol.state["sent"])
        for tf in TIMEFRAME_S:
            wanted = CandleRange(tf, 0, stop, since=sent.get(tf, 0))
            found = self._send_range(symbol, wanted)
            stop = min(stop, found.first)
            since = f", since {format_time(found.first)}" if found.first < LATEST else ""
            LOG.info("history of %s: %s %s%s", symbol.name, found.count, tf, since)
            if tf == "M1" and self._is_cut(found):
                LOG.warning(
                    "'Max bars in chart' (%s) cuts the history of %s: raise it in Tools > Options "
                    "> Charts, then start the pump once with --history",
                    self._terminal.max_bars(),
                    symbol.name,
                )
        symbol.state["history"] = "done"

    def send_new(self, symbol: Symbol) -> None:
        """Send the M1 that have closed since the last time."""
        if symbol.state["history"] != "done":
            return
        start = symbol.state["sent"].get("M1", 0) - OVERLAP_S
        if self._is_cut(self._send_range(symbol, CandleRange("M1", start))):
            symbol.state["history"] = "begun"  # M1 do not reach back far enough: backfill H1 and D1

    def fill_gaps(self, symbol: Symbol) -> None:
        """Send the M1 that GFIL reports as missing."""
        query = urlencode({"symbol": symbol.target})
        for gap in self._server.get(f"/api/v1/gaps?{query}").get("gaps", ()):
            start, stop, minutes = gap["from"], gap["to"], gap["minutes"]
            LOG.info("%s has a gap of %s M1 from %s", symbol.name, minutes, format_time(start))
            self._send_range(symbol, CandleRange("M1", start, stop, is_fill=True))

    def _is_cut(self, found: Found) -> bool:
        return found.count >= CUT_SHARE * self._terminal.max_bars()

    def _send_range(self, symbol: Symbol, wanted: CandleRange) -> Found:
        rows = self._read_rows(symbol, wanted)
        walls = rows["time"].tolist() if len(rows) else []
        self._guard.check(symbol, max(walls, default=0))
        times = self._clock.to_utc(walls, 1, 1)
        path = self._path(symbol, wanted)
        newest = min(wanted.stop - 1, int(self._server.now) - TIMEFRAME_S[wanted.tf])
        oldest = max(wanted.start, wanted.since)
        for page in range(0, len(times), PAGE_CANDLES):
            stop = page + PAGE_CANDLES
            candles = _closed_candles(times[page:stop], rows[page:stop], oldest, newest)
            self._send_page(symbol, wanted, path, list(candles))
        real_times = (time_s for time_s in times if time_s)  # a skipped wall time has none
        return Found(len(times), next(real_times, LATEST))

    def _read_rows(self, symbol: Symbol, wanted: CandleRange) -> Any:
        tomorrow = int(self._server.now) + DAY_S
        start = self._clock.repeated_hour(self._clock.to_wall(min(wanted.start, tomorrow))).start
        stop = self._clock.repeated_hour(self._clock.to_wall(min(wanted.stop, tomorrow))).stop
        timeframe = getattr(self._terminal.api, f"TIMEFRAME_{wanted.tf}")
        return self._terminal.call("copy_rates_range", symbol.name, timeframe, max(start, 0), stop)

    def _path(self, symbol: Symbol, wanted: CandleRange) -> str:
        query = {"symbol": symbol.target, "tf": wanted.tf, "force_tf": "1"}
        if wanted.is_fill:
            query["mode"] = "fill"
        if wanted.tf != "M1":  # a minute is the same on every clock, a day is the broker's
            query["clock"] = self._clock.name
        return f"/api/v1/candles?{urlencode(query)}"

    def _send_page(
        self, symbol: Symbol, wanted: CandleRange, path: str, candles: list[tuple[int, list[Any]]]
    ) -> None:
        if not candles:
            return
        lines = [_format_candle(wanted.tf, time_s, values) for time_s, values in candles]
        self._server.post_rows(path, CANDLE_HEADER, lines, os.urandom(12).hex())
        if not wanted.is_fill:
            newest = candles[-1][0]
            sent = symbol.state["sent"]
            sent[wanted.tf] = max(newest, sent.get(wanted.tf, 0))
        self._pump_ticks()


def _closed_candles(
    times: list[int | None], rows: Any, oldest: int, newest: int
) -> Iterator[tuple[int, list[Any]]]:
    columns = (rows[field].tolist() for field in CANDLE_FIELDS)
    for time_s, *values in zip(times, *columns, strict=True):
        if time_s is not None and oldest <= time_s <= newest:
            yield time_s, values


def _format_candle(tf: str, time_s: int, values: list[Any]) -> bytes:
    stamp = f"{time_s}" if tf == "M1" else f"{format_time(time_s)}Z"
    return f"{stamp},{','.join(map(repr, values))}\n".encode()
