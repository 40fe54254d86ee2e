"""Pumps ticks and candles from a MetaTrader 5 terminal into GFIL, and leaves no hole in them.

One file for the Windows machine of the terminal: Python 3.11, pip install MetaTrader5 tzdata.
What it reads is safe on this disk before it is sent, and stays there until GFIL has answered that
it is safe on its own. Whatever stands still in between, it goes on from where it was:

  set GFIL_KEY=...           (from: scripts/gfil key create --name pump --scope write)
  python mt5_pump.py --url https://charts.example.com --check
  python mt5_pump.py --url https://charts.example.com --clock nyclose --map XAUUSD.r=XAUUSD
"""

import argparse
import gzip
import http.client
import importlib
import json
import logging.handlers
import os
import random
import re
import sys
import tempfile
import time
import zlib
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from zoneinfo import ZoneInfo, available_timezones

MINUTE, QUARTER, HOUR, DAY = 60, 900, 3600, 86_400
SECONDS = {"M1": MINUTE, "H1": HOUR, "D1": DAY}  # what is sent of a symbol's history, finest first
WINDOW_S, BACKLOG_BYTES = 6 * HOUR, 32_000_000  # of ticks long past: read at once, not yet sent
BATCH_TICKS, PAGE_BARS, PACK_BYTES = 5000, 10_000, 16_384  # one request; what is larger is packed
OVERLAP_S, RECHECK_S = 5 * MINUTE, 7 * DAY  # so far back M1 are sent again; if it knew of none
LOOK_AGAIN_S, SILENCE_S = 60.0, 120.0  # a terminal that was away fills up its history when back
AHEAD_MAX_S = 240  # GFIL refuses what is 5 minutes ahead
TIMEOUT_S, WAIT_MAX_S, KEY_AGAIN_S, TERMINAL_AGAIN_S = 30.0, 30.0, 60.0, 5.0
ONCE_TRIES, WATCH_S, LATEST = 3, 5.0, 1 << 62
TICK_FIELDS = ("time_msc", "bid", "ask", "last", "volume", "volume_real", "flags")
TICK_HEAD = b"symbol,time_msc,bid,ask,last,volume,flags\n"
BAR_HEAD = b"time,open,high,low,close,volume\n"
HOME = Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "gfil-pump"
CLOSED = "No tick came just now, so none of them is told yet: ask while the market is open."
CUT = "'Max bars in chart' (%s) cut it: raise it in Tools > Options > Charts, then use --history"
KNOWN_CLOCKS = ("UTC", "nyclose", "Europe/Athens", "EET", "Europe/London", "Europe/Moscow")
VARYING = re.compile(r"\d+ days?|[\d-]{10}")  # from one page of an old history to the next
CLOCK = re.compile(r"(.*?)(?:([+-])(\d{1,2}):?([0-5]\d)?)?", re.ASCII)
LOG = logging.getLogger("pump")
SAID: dict[str, float] = {}


class TerminalLost(Exception): ...  # it does not answer, or with what lies in the future


class Refused(Exception): ...  # GFIL does not take the request as it is; of its rows perhaps some


class Unavailable(Exception): ...  # why GFIL does not answer, its Retry-After, and: for the key?


def say(text: str, every_s: float = MINUTE, key: str = "") -> None:
    if SAID.get(key or text, 0.0) <= time.monotonic():
        LOG.warning(text)
        SAID[key or text] = time.monotonic() + every_s


def show(instant: float) -> str:
    return f"{datetime(1970, 1, 1) + timedelta(seconds=int(instant))}"


class Clock:
    """A broker's clock: UTC, a zone, an offset, or a zone and an offset."""

    def __init__(self, text: str) -> None:
        self.name = "America/New_York+07:00" if text.lower() == "nyclose" else text.strip()
        zones = {zone.lower(): zone for zone in available_timezones()} | {"utc": "", "gmt": ""}
        base, sign, hours, minutes = self.name, "", "", ""
        if base.lower() not in zones and (match := CLOCK.fullmatch(base)):  # Etc/GMT+3 is a zone
            base, sign, hours, minutes = match.groups("")
        self._shift = int(f"{sign}{hours or 0}") * HOUR + int(f"{sign}{minutes or 0}") * MINUTE
        zone = zones.get(base.lower(), None if base or not sign else "")
        if zone is None or abs(self._shift) > 14 * HOUR:
            hint = "pip install tzdata" if len(zones) < 3 else "see --help, and --check which fit"
            raise SystemExit(f"unknown clock {text!r}, not UTC, Zone/Name, +HH:MM or both: {hint}")
        self._zone = ZoneInfo(zone) if zone else UTC

    @lru_cache(maxsize=4096)  # noqa: B019 (it lives as long as the program)
    def offset(self, instant: int) -> int:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=instant)
        ahead = moment.astimezone(self._zone).utcoffset() or timedelta()
        return self._shift + int(ahead.total_seconds())

    @lru_cache(maxsize=4096)  # noqa: B019
    def offsets(self, quarter: int) -> list[int]:
        """Return what a quarter of an hour on the wall may be ahead: at a change none, or two."""
        wall = quarter * QUARTER
        near = {self.offset(wall - 2 * DAY), self.offset(wall + 2 * DAY)}
        return sorted((some for some in near if self.offset(wall - some) == some), reverse=True)

    def wall(self, instant: int) -> int:
        return instant + self.offset(instant)

    def twice(self, wall: int) -> range:
        """Return the hour shown twice that a wall time lies in, an empty one at it if in none."""
        first = last = wall // QUARTER
        while len(self.offsets(last)) > 1:
            last += 1
        while first < last and len(self.offsets(first - 1)) > 1:
            first -= 1
        return range(first * QUARTER, last * QUARTER) if first < last else range(wall, wall)

    def turn(self, walls: Iterable[int], unit: int, slack: int) -> list[int | None]:
        """Return the instants of wall times, in `unit`s of a second; None for one that never was.
        In an hour shown twice it is the second time, if the first is not `slack` after the last."""
        turned: list[int | None] = []
        before = -LATEST
        for wall in walls:
            found = [wall - offset * unit for offset in self.offsets(wall // (QUARTER * unit))]
            later = (instant for instant in found if instant >= before + slack)
            instant = next(later, found[-1] if found else None)
            turned.append(instant)
            before = before if instant is None else max(before, instant)
        return turned


class Spool:
    """Ticks on this disk until GFIL has them: files, each one request, of records `length crc32`
    and lines, synced. What a power cut leaves of the last is read from the terminal again."""

    def __init__(self, folder: Path, bytes_max: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._bytes_max, self._last = folder, bytes_max, 0
        self._open: Any = None
        self._files = deque(sorted(folder.glob("*.ticks")))
        self.size = self.ticks = 0  # of all that waits
        self.torn, self.newest = "", dict[str, int]()  # of each symbol, if nothing is damaged
        for path in self._files:
            lines, is_whole = self._read(path)
            self.size, self.ticks = self.size + path.stat().st_size, self.ticks + len(lines)
            self.newest = self.newest | newest(lines) if is_whole and not self.torn else {}
            if not is_whole:
                self.torn = path.name
                LOG.warning("%s has a torn end: it is read from the terminal again", path.name)

    def append(self, lines: Sequence[bytes]) -> None:
        if lines and self.size + sum(map(len, lines)) > self._bytes_max:
            raise OSError(f"--spool-mb {self._bytes_max / 1e6:g}")
        for at in range(0, len(lines), BATCH_TICKS):
            payload = b"".join(some := lines[at : at + BATCH_TICKS])
            if self._last + len(some) > BATCH_TICKS:
                self.seal()
            self._write(b"%08x %08x\n" % (len(payload), zlib.crc32(payload)) + payload)
            self._last, self.ticks = self._last + len(some), self.ticks + len(some)

    def _write(self, record: bytes) -> None:
        if not self._open:
            before = int(self._files[-1].name.split("-")[0]) if self._files else 0
            serial = max(before + 1, time.time_ns() // 1_000_000)
            path = self._folder / f"{serial:013d}-{os.urandom(6).hex()}.ticks"
            self._open = path.open("xb", buffering=0)
        written = self._open.write(record)
        if self._open.tell() == written > 0:
            self._files.append(Path(self._open.name))
        self.size += written
        if written < len(record):
            raise OSError("the disk is full")
        os.fsync(self._open.fileno())

    def seal(self) -> None:
        if self._open and self._open.tell():  # an empty one is of use yet
            self._open.close()
            self._open, self._last = None, 0

    def first(self) -> tuple[str, list[bytes]] | None:
        """Return the oldest request, which stays as it is from now on, with a name of its own."""
        if len(self._files) == 1:
            self.seal()
        return (self._files[0].stem, self._read(self._files[0])[0]) if self._files else None

    def drop(self, ticks: int) -> None:
        path = self._files.popleft()
        self.size, self.ticks = self.size - path.stat().st_size, self.ticks - ticks
        with suppress(OSError):  # a virus scanner may hold it: it is sent again at the next start
            path.unlink()

    @staticmethod
    def _read(path: Path) -> tuple[list[bytes], bool]:
        data, at, lines = path.read_bytes(), 0, list[bytes]()
        while at < len(data):
            payload, length, crc = b"", 0, 0
            with suppress(ValueError):
                length, crc = (int(word, 16) for word in data[at : at + 18].split())
                payload = data[at + 18 : at + 18 + length]
            if not payload or len(payload) != length or zlib.crc32(payload) != crc:
                return lines, False
            lines += payload.splitlines(keepends=True)
            at += 18 + length
        return lines, True


def newest(lines: Iterable[bytes]) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in lines:
        symbol, time_msc, _ = line.decode().split(",", 2)
        found[symbol] = max(int(time_msc), found.get(symbol, 0))
    return found


class Server:
    """GFIL, over one kept connection."""

    def __init__(self, options: argparse.Namespace) -> None:
        parts = urlsplit(options.url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.query:
            raise SystemExit(f"--url {options.url}: no URL such as https://charts.example.com")
        is_here = host in ("localhost", "::1") or re.fullmatch(r"127(\.\d+){3}", host)
        if parts.scheme == "http" and not is_here and not options.insecure:
            raise SystemExit(f"--url {options.url} sends the key in clear: https, or --insecure")
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        self._line = kinds[parts.scheme](host, parts.port, timeout=TIMEOUT_S)
        self._prefix, self._key_file, self._key = parts.path.rstrip("/"), options.key_file, ""
        self._is_dry, self._ahead_s = options.dry_run, 0.0
        if not self.read_key():
            raise SystemExit(f"no key in {options.key_file or 'GFIL_KEY, and no --key-file'}")

    @property
    def now(self) -> float:
        return time.time() + self._ahead_s

    def read_key(self) -> bool:
        before, path = self._key, self._key_file
        with suppress(OSError, ValueError):  # it may be just being written
            key = (path.read_text("utf-8-sig") if path else os.environ.get("GFIL_KEY", "")).strip()
            self._key = key if re.fullmatch("[!-~]{1,200}", key) else before
        return self._key != before

    def deliver(self, what: str, head: bytes = b"", rows: Any = (), key: str = "") -> Any:
        """Send a request, in parts if need be, until each row is taken or refused; the answer."""
        if self._is_dry and rows:
            shown = [row.decode().strip() for row in dict.fromkeys([rows[0], rows[-1]])]
            print(f"would {what}: {len(rows)} rows, {' ... '.join(shown)}")
            return {}
        try:
            answer = self._send(what, head, head + b"".join(rows), key)
        except Refused as error:
            if len(rows) < 2:
                LOG.error("refused, not sent again: %s %s (%s)", what, b"".join(rows), error)
                return {}
            half = len(rows) // 2
            first = self.deliver(what, head, rows[:half], f"{key}a")
            rest = self.deliver(what, head, rows[half:], f"{key}b")
            return first | rest | {"last": first.get("last", {}) | rest.get("last", {})}
        for refused in answer.get("errors", ()):
            LOG.error("refused, not sent again: %(text)s (%(reason)s)", refused)
        if answer.get("rejected", 0) > len(answer.get("errors", ())):
            LOG.error("refused in all: %s, %s", answer["rejected"], answer["reasons"])
        for warning in answer.get("warnings", ()):
            say(f"GFIL warns: {warning}", DAY, what + VARYING.sub("", warning))
        return answer

    def _send(self, what: str, head: bytes, body: bytes, key: str) -> dict[str, Any]:
        method, path = what.split(" ", 1)
        headers = {"Authorization": f"Bearer {self._key}", "User-Agent": "gfil-pump"}
        headers["Content-Type"] = "text/csv" if head else "application/json"
        headers |= {"Idempotency-Key": key} if key else {}
        if len(body) > PACK_BYTES:
            body, headers["Content-Encoding"] = gzip.compress(body, 1), "gzip"
        for is_kept in (self._line.sock is not None, False):
            try:
                self._line.request(method, self._prefix + path, body or None, headers)
                response = self._line.getresponse()
                content = response.read()
                break
            except (OSError, http.client.HTTPException) as error:
                self._line.close()
                if not is_kept:  # one that was kept may have been closed meanwhile
                    raise Unavailable(f"{error or type(error).__name__}", 0, False) from None
        with suppress(TypeError, ValueError):
            said = parsedate_to_datetime(response.headers["Date"]).timestamp() + 0.5
            self._ahead_s = said - time.time() if abs(said - time.time()) > 1.5 else 0.0
        told: dict[str, Any] = {}
        with suppress(TypeError, ValueError):
            told = dict(json.loads(content))
        if response.status < 300 and told:
            return told
        reason, status = f"{response.status} {told.get('detail', response.reason)}", response.status
        if status in (401, 403):
            raise Unavailable(f"{reason}; the key is read again", KEY_AGAIN_S, True)
        is_of_rows = told.get("type") != "bad_parameter" and status in (400, 422)
        if status == 413 or (told and (is_of_rows or (not head and 400 <= status < 408))):
            raise Refused(reason)
        wait = response.headers.get("Retry-After", "")
        raise Unavailable(reason, int(wait) if wait.isdigit() else 0, False)


class Terminal:
    """The MetaTrader 5 terminal; its times are what the broker's clock shows."""

    def __init__(self, path: str | None) -> None:
        self.mt5: Any = importlib.import_module("MetaTrader5")
        self._path, self.is_open = [path] if path else [], False

    def open(self) -> None:
        self.mt5.shutdown()
        self.is_open = bool(self.mt5.initialize(*self._path))
        if not self.is_open:
            raise TerminalLost(f"it does not start: {self.mt5.last_error()}")

    def ask(self, what: str, *arguments: Any) -> Any:
        answer = getattr(self.mt5, what)(*arguments)
        if answer is None:
            error = self.mt5.last_error()
            self.is_open = self.mt5.terminal_info() is not None
            raise TerminalLost(f"{what}{arguments} fails: {error}")
        return answer

    def choose(self, wanted: Sequence[str], maps: Sequence[str]) -> dict[str, str]:
        shown = [info.name for info in self.ask("symbols_get") if info.visible]
        targets = dict(pair.partition("=")[::2] for pair in maps)
        names = {name: targets.get(name, name) for name in wanted or shown}
        for name, target in list(names.items()):
            if not self.mt5.symbol_select(name, True):
                raise SystemExit(f"the terminal has no symbol {name}; it shows {' '.join(shown)}")
            if not re.fullmatch(r"(?=.*[A-Za-z0-9])[\w.#+-]{1,32}", target, re.ASCII):
                hint = f"no symbol of GFIL can be called {target!r}: --map '{name}=NAME'"
                if wanted or name in targets:
                    raise SystemExit(hint)
                LOG.warning("%s is left out: %s", name, hint)
                del names[name]
        if len(set(names.values())) < len(names) or set(targets) - set(names) or not names:
            raise SystemExit(f"--symbols and --map must name each symbol once: {names}")
        return names


@dataclass(eq=False)
class Symbol:
    name: str  # in the terminal
    target: str  # in GFIL
    kept: dict[str, Any]  # over a restart
    cursor: tuple[int, int] | None  # what is read next: ms, and so many ticks of it are known
    look_again: tuple[float, int] | None = None  # when, and from where on
    is_sure = is_at_end = False  # the cursor fits GFIL; no newer tick was in the terminal
    newest, ahead = 0, ""  # on the broker's clock; how far in the future that is, by --clock


class Pump:
    """Reads the terminal into the spool, and sends what is in it and the candles to GFIL."""

    def __init__(self, options: argparse.Namespace, terminal: Terminal, server: Server) -> None:
        self.options, self.terminal, self.server = options, terminal, server
        self.clock = Clock(options.clock)
        self.kept: dict[str, Any] = {}
        with suppress(OSError, ValueError):  # else GFIL is asked
            self.kept = dict(json.loads((options.dir / "state.json").read_text("utf-8")))
        self.spool = Spool(options.dir / "spool", options.spool_mb * 1e6)
        self.symbols = list[Symbol]()
        for name, target in terminal.choose(options.symbols, options.map).items():
            kept = self.kept.setdefault(target, {})
            at = max(self.spool.newest.get(target, 0), kept.get("acked", 0))
            self.symbols.append(Symbol(name, target, kept, (at, 0) if at else None))
        self.due = defaultdict[str, float](float)  # when something is to be done next
        self.is_synced, self.is_locked, self.lost, self.failures, self.sent = False, False, 0, 0, 0
        self.trouble, self.is_done = "", False  # what GFIL said; all was sent
        self.read_max = LATEST  # ticks at once: fewer where a whole read does not fit in the spool

    def save(self) -> None:
        self.due["save"] = time.monotonic() + 5
        new = self.options.dir / "state.new"
        with suppress(OSError):
            with new.open("w", encoding="utf-8") as file:
                json.dump(self.kept, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.options.dir / "state.json")

    def step(self) -> None:
        now, sent = time.monotonic(), self.sent
        self._read()
        if now < self.due["send"] and not (self.is_locked and self.server.read_key()):
            return
        try:
            self._send(now + self.options.every / 1000)
            self.trouble, self.failures, self.is_locked, self.due["send"] = "", 0, False, 0
            self.lost *= sent == self.sent  # it is no end while others go on
        except Unavailable as error:
            self.trouble, asked_s, self.is_locked = error.args
            self.failures, self.is_synced = self.failures + 1, False
            wait_s = min(0.25 * 2**self.failures, WAIT_MAX_S) * random.uniform(0.5, 1.0)
            self.due["send"] = now + max(wait_s, asked_s * random.uniform(1.0, 1.2))
            say(f"GFIL: {error.args[0]}; {self.spool.ticks} ticks wait in the spool", key="gfil")
            for symbol in self.symbols:  # how far GFIL has come may not be known yet
                symbol.cursor = symbol.cursor or (int(self.server.now - MINUTE) * 1000, 0)

    def _check_clock(self, symbol: Symbol, bar: int = 0) -> None:
        # Judged once for each newest tick: when a market is closed, one that is ahead grows old.
        tick = self.terminal.ask("symbol_info", symbol.name).time
        if symbol.newest != (wall := max(tick or symbol.newest, bar)):
            ahead_s = (self.clock.turn([wall], 1, 0)[0] or 0) - int(self.server.now)
            symbol.newest = wall
            symbol.ahead = f"{timedelta(seconds=ahead_s)}" if ahead_s > AHEAD_MAX_S else ""
        if symbol.ahead:
            raise TerminalLost(f"{symbol.name} is {symbol.ahead} ahead, --clock? It is not sent")

    def _read(self) -> None:
        now, lines, cursors = time.monotonic(), list[bytes](), dict[Symbol, tuple[int, int]]()
        for symbol in self.symbols:
            if symbol.cursor and symbol.look_again and now > symbol.look_again[0]:
                symbol.cursor, symbol.look_again = (symbol.look_again[1], 0), None
            try:
                if not self.terminal.is_open and now >= self.due["terminal"]:
                    self.due["terminal"] = now + TERMINAL_AGAIN_S
                    self.terminal.open()
                is_next = symbol.is_at_end or self.spool.size < BACKLOG_BYTES
                if symbol.cursor and is_next and self.terminal.is_open:
                    self._check_clock(symbol)
                    cursors[symbol] = self._ticks(symbol, *symbol.cursor, lines)
            except TerminalLost as error:  # one symbol does not hold up the others
                self.lost += 1
                say(f"terminal: {error}; trying again", key="terminal")
        try:
            self.spool.append(lines)
            self.read_max = min(2 * self.read_max, LATEST)
            for symbol, cursor in cursors.items():
                symbol.cursor = cursor
        except OSError as error:
            self.spool.seal()  # what the disk may have taken is a torn end
            self.read_max = len(lines) // 2 or 1  # less may fit
            if len(lines) == 1:
                say(f"the spool is full ({error}): newer ticks wait in the terminal", key="full")

    def _ticks(self, symbol: Symbol, at: int, known: int, lines: list[bytes]) -> tuple[int, int]:
        start = self.clock.twice(self.clock.wall(at // 1000)).start
        stop = self.clock.twice(start + WINDOW_S).stop
        every = self.terminal.mt5.COPY_TICKS_ALL
        rows = self.terminal.ask("copy_ticks_range", symbol.name, start, stop, every)
        walls, *columns = (rows[name].tolist() if len(rows) else [] for name in TICK_FIELDS)
        times = self.clock.turn(walls, 1000, -MINUTE * 1000)
        latest, count = (self.server.now + AHEAD_MAX_S) * 1000, len(lines)
        cursor, skip = (at, known), known
        for time_msc, wall, *values in zip(times, walls, *columns, strict=True):
            if time_msc is None:
                say(f"{symbol.name}: {show(wall // 1000)[:13]}h never was, --clock? It is left out")
            elif time_msc == at and skip:
                skip -= 1
            elif time_msc > latest or len(lines) >= self.read_max:
                symbol.is_at_end = time_msc > latest  # it waits until its time has come
                return cursor
            elif time_msc >= at:
                bid, ask, last, volume, real, flags = values
                shown = f"{bid!r},{ask!r},{last!r},{real or volume!r},{flags}"
                lines.append(f"{symbol.target},{time_msc},{shown}\n".encode())
                if time_msc >= cursor[0]:
                    cursor = (time_msc, cursor[1] * (time_msc == cursor[0]) + 1)
        if len(lines) > count:
            if symbol.is_at_end and cursor[0] - at > SILENCE_S * 1000 and not symbol.look_again:
                symbol.look_again = time.monotonic() + LOOK_AGAIN_S, max(at, cursor[0] - DAY * 1000)
            return cursor
        rows = self.terminal.ask("copy_ticks_from", symbol.name, stop, 1, every)
        following = self.clock.turn(rows["time_msc"].tolist() if len(rows) else [], 1000, 0)
        if following and following[0] and at < following[0]:
            return following[0], 0  # nothing in this window: on to the next that has any
        symbol.is_at_end = True
        return cursor

    def _send(self, until: float) -> None:
        if not self.is_synced:
            self._sync()  # before ticks make GFIL know a symbol, or hide that it lost some
        self._send_ticks(until)
        if self.spool.ticks:
            return
        now = time.monotonic()
        for kind, task, every_s in (
            ("history", self._send_history, MINUTE),
            ("bars", self._send_new_bars, self.options.candles_every),
            ("facts", self._send_facts, DAY),
            ("gaps", self._fill_gaps, DAY if self.options.fill_gaps else 0),
        ):
            if every_s and now >= self.due[kind]:
                lost = self.lost
                for symbol in self.symbols:
                    try:
                        task(symbol)
                    except TerminalLost as error:  # one symbol does not hold up the others
                        self.lost += 1
                        say(f"terminal: {error}; trying again", key="terminal")
                self.due[kind] = now + (every_s if lost == self.lost else 1)
        ended = all(s.is_at_end and s.kept["history"] == "done" for s in self.symbols)
        self.is_done = ended and self.is_synced and not self.spool.ticks

    def _send_ticks(self, until: float) -> None:
        while batch := self.spool.first():
            name, lines = batch
            what = "POST /api/v1/ticks"
            answer = self.server.deliver(what, TICK_HEAD, lines, name) if lines else {}
            for target, time_msc in newest(lines).items():
                kept, last = self.kept.setdefault(target, {}), answer.get("last", {})
                kept["acked"] = max(time_msc, kept.get("acked", 0))
                kept["stored"] = max(last.get(target, 0), kept.get("stored", 0))
            self.spool.drop(len(lines))
            self.sent += len(lines)
            if time.monotonic() > until:
                break
        if time.monotonic() > self.due["save"]:
            self.save()

    def _sync(self) -> None:
        answer = self.server.deliver("GET /api/v1/symbols")
        known = {info["symbol"].lower(): info for info in answer.get("symbols", ())}
        oldest = int(self.server.now - self.options.tick_days * DAY) * 1000
        for symbol in self.symbols:
            kept, info = symbol.kept, known.get(symbol.target.lower())
            if info and info["symbol"] != symbol.target:
                raise SystemExit(f"GFIL knows {symbol.target} as {info['symbol']}: use --map")
            last, m1 = (info["last_tick_msc"] or 0, info["last_time"]) if info else (0, None)
            if last < kept.get("stored", 0):  # it has gone back, to a backup perhaps
                kept["acked"] = kept["stored"] = last
                symbol.cursor, symbol.is_at_end = (max(last, oldest), 0), False
            elif not symbol.is_sure:
                spooled = self.spool.newest.get(symbol.target, 0)  # at the start, after acked ones
                symbol.cursor = (max(last, oldest, kept.get("acked", 0), spooled), 0)
                symbol.newest = 0  # judged by this PC's time before, now by GFIL's
            symbol.is_sure = True
            if not info or self.options.history:
                kept |= {"history": "begun", "sent": {}}
            elif kept.setdefault("history", "done") == "done":
                sent = kept.setdefault("sent", {"M1": (m1 or 0) - RECHECK_S})
                sent["M1"] = min(m1 or 0, sent.get("M1", 0))
        self.options.history, self.is_synced = False, True
        self.due["history"] = 0
        self.save()

    def _send_bars(self, symbol: Symbol, tf: str, start: int, stop: int = LATEST, **of: Any) -> Any:
        # The closed ones of the range, `since` or to `fill`; returns how many, and the first.
        day_ahead = int(self.server.now) + DAY
        low, high = (self.clock.twice(self.clock.wall(min(at, day_ahead))) for at in (start, stop))
        kind = getattr(self.terminal.mt5, f"TIMEFRAME_{tf}")
        span = max(low.start, 0), high.stop
        rows = self.terminal.ask("copy_rates_range", symbol.name, kind, *span)
        walls = rows["time"].tolist() if len(rows) else []
        self._check_clock(symbol, max(walls, default=0))
        times = self.clock.turn(walls, 1, 1)
        query = {"symbol": symbol.target, "tf": tf, "force_tf": "1"}
        query |= {"mode": "fill"} if "fill" in of else {}
        if tf != "M1":  # a minute is the same on every clock, a day is the broker's
            query["clock"] = self.clock.name
        last = min(stop - 1, int(self.server.now) - SECONDS[tf])
        for at in range(0, len(times), PAGE_BARS):
            page, lines, sent = rows[at : at + PAGE_BARS], list[bytes](), 0
            names = ("open", "high", "low", "close", "tick_volume")
            columns = (page[name].tolist() for name in names)
            for begin, *row in zip(times[at : at + PAGE_BARS], *columns, strict=True):
                if begin is not None and max(start, of.get("since", 0)) <= begin <= last:
                    stamp, sent = begin if tf == "M1" else f"{show(begin)}Z", begin
                    lines.append(f"{stamp},{','.join(map(repr, row))}\n".encode())
            if lines:
                what, key = f"POST /api/v1/candles?{urlencode(query)}", os.urandom(12).hex()
                self.server.deliver(what, BAR_HEAD, lines, key)
                if "fill" not in of:
                    symbol.kept["sent"][tf] = max(sent, symbol.kept["sent"].get(tf, 0))
                self._read()  # ticks go on beside a long history
                self._send_ticks(time.monotonic() + self.options.every / 1000)
        return len(times), next(filter(None, times), LATEST)

    def _send_new_bars(self, symbol: Symbol) -> None:
        if symbol.kept["history"] == "done":
            count, _ = self._send_bars(symbol, "M1", symbol.kept["sent"].get("M1", 0) - OVERLAP_S)
            if self._is_cut(count):  # so long an outage that it needs hours and days, too
                symbol.kept["history"] = "begun"

    def _is_cut(self, count: int) -> bool:
        return bool(count >= 0.99 * self.terminal.ask("terminal_info").maxbars)

    def _send_history(self, symbol: Symbol) -> None:
        stop, sent = LATEST, dict(symbol.kept["sent"])
        for tf in SECONDS if symbol.kept["history"] != "done" else ():
            count, first = self._send_bars(symbol, tf, 0, stop, since=sent.get(tf, 0))
            stop = min(stop, first)
            since = f", since {show(first)}" if first < LATEST else ""
            LOG.info("history of %s: %s %s%s", symbol.name, count, tf, since)
            if tf == "M1" and self._is_cut(count):
                LOG.warning(CUT, self.terminal.ask("terminal_info").maxbars)
        symbol.kept["history"] = "done"

    def _send_facts(self, symbol: Symbol) -> None:
        info = self.terminal.ask("symbol_info", symbol.name)
        facts = {"base": info.currency_base, "quote": info.currency_profit}
        facts |= {"digits": min(info.digits, 8)}
        facts["description"] = "".join(filter(str.isprintable, info.description))[:200]
        if facts != symbol.kept.get("facts") and (symbol.kept["sent"] or symbol.kept.get("acked")):
            body = json.dumps({name: fact for name, fact in facts.items() if fact != ""}).encode()
            self.server.deliver(f"PATCH /api/v1/symbols/{quote(symbol.target)}", rows=[body])
            symbol.kept["facts"] = facts

    def _fill_gaps(self, symbol: Symbol) -> None:
        answer = self.server.deliver(f"GET /api/v1/gaps?{urlencode({'symbol': symbol.target})}")
        for gap in answer.get("gaps", ()):
            LOG.info("%s lacks M1 at %s: %s", symbol.name, show(gap["from"]), gap["minutes"])
            self._send_bars(symbol, "M1", gap["from"], gap["to"], fill=True)

    def show_status(self) -> None:
        trouble = f"GFIL {self.trouble or 'ok'}" if self.terminal.is_open else "terminal away"
        state = f"{self.sent} ticks sent, {self.spool.ticks} in the spool, {trouble}"
        line = f"{show(time.time())}Z  {state}"
        print(f"{line[:110]:<110}", end="\r", file=sys.stderr, flush=True)


def check(options: argparse.Namespace, terminal: Terminal, server: Server) -> None:
    try:
        state = "answers" if server.deliver("GET /api/v1/symbols") else "refuses"
    except Unavailable as error:
        state = f"fails: {error.args[0]}"
    info, broker = terminal.ask("terminal_info"), terminal.ask("account_info").server
    print(f"terminal  {info.name} build {info.build}, {info.maxbars} max bars in chart")
    names = terminal.choose(options.symbols, options.map)
    for name, target in names.items():
        symbol = terminal.ask("symbol_info", name)
        print(f"symbol    {name} as {target}: {symbol.description}, {symbol.digits} digits")
    first, last, until = 0, 0, time.monotonic() + WATCH_S
    while last == first and time.monotonic() < until:
        last = max(terminal.ask("symbol_info", name).time for name in names)
        first = first or last
        time.sleep(0.25)
    is_now = last > first  # and not from before the market closed
    print(f"GFIL      {show(server.now)} UTC by its clock; it {state}")
    print(f"this PC   {show(time.time())} UTC")
    print(f"broker    {show(last)} on its clock at the newest tick; {broker}")
    ahead = min(round(abs(last - server.now) / QUARTER) * 15, 14 * 60)
    fixed = f"{'-+'[last >= server.now]}{ahead // 60:02}:{ahead % 60:02}"
    for name in dict.fromkeys([options.clock or "nyclose", *KNOWN_CLOCKS, *[fixed] * is_now]):
        age = int(server.now - (Clock(name).turn([last], 1, 0)[0] or 0))
        is_wrong = age < -AHEAD_MAX_S or (is_now and age > AHEAD_MAX_S)
        fits = "no" if is_wrong else "fits" if is_now else "perhaps"
        so = f"{timedelta(seconds=abs(age))} {'old' if age >= 0 else 'ahead'}"
        print(f"clock     {name:<24}{fits:<9}the newest tick would be {so}")
    print("Most brokers run on nyclose: its day ends as New York's." if is_now else CLOSED)


def parse() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    add = parser.add_argument
    add("--url", required=True, help="where GFIL is, such as https://charts.example.com")
    add("--clock", help="the broker's clock; needed, and --check shows which fit")
    add("--symbols", nargs="+", metavar="S", help="those to pump; else all in the Market Watch")
    add("--map", action="append", default=[], metavar="S=NAME", help="what GFIL calls a symbol")
    add("--key-file", type=Path, metavar="FILE", help="holds the key; else it is in GFIL_KEY")
    add("--check", action="store_true", help="show terminal, times and clocks that fit, and end")
    add("--once", action="store_true", help="send everything up to now and end")
    add("--dry-run", action="store_true", help="show what --once would send, and write nothing")
    add("--fill-gaps", action="store_true", help="once a day send the M1 that GFIL misses")
    add("--history", action="store_true", help="send the whole history once more")
    add("--dir", type=Path, default=HOME, help="for spool, state and log (%(default)s)")
    add("--spool-mb", type=float, default=512, metavar="MB", help="most to spool (%(default)s)")
    add("--tick-days", type=float, default=7, metavar="N", help="oldest ticks (%(default)s)")
    add("--every", type=int, default=250, metavar="MS", help="between reads (%(default)s)")
    add("--candles-every", type=float, default=60, metavar="S", help="the same (%(default)s)")
    add("--terminal", metavar="EXE", help="terminal64.exe, where there are several")
    add("--insecure", action="store_true", help="let the key travel in clear over http")
    return parser.parse_args()


def run(options: argparse.Namespace) -> None:
    server, terminal = Server(options), Terminal(options.terminal)
    while not terminal.is_open:
        try:
            terminal.open()
        except TerminalLost as error:
            if options.once:
                raise
            say(f"terminal: {error}; trying again", key="terminal")
            time.sleep(TERMINAL_AGAIN_S)
    if options.check:
        check(options, terminal, server)
        return
    pump = Pump(options, terminal, server)
    names = " ".join(symbol.target for symbol in pump.symbols)
    LOG.info("pumping %s to %s, clock of the broker %s", names, options.url, pump.clock.name)
    with suppress(KeyboardInterrupt):
        while not (options.once and pump.is_done):
            began = time.monotonic()
            pump.step()
            if options.once and (pump.is_locked or max(pump.failures, pump.lost) >= ONCE_TRIES):
                raise SystemExit(f"not everything was sent: {pump.trouble or 'see above'}")
            if sys.stderr.isatty():
                pump.show_status()
            time.sleep(max(0.0, began + options.every / 1000 - time.monotonic()))
    pump.save()
    how = "would be sent" if options.dry_run else "sent"
    LOG.info("ended: %s ticks %s, %s wait in the spool", pump.sent, how, pump.spool.ticks)


def main() -> None:
    options = parse()
    if not options.clock and not options.check:
        raise SystemExit("--clock is needed, for no terminal tells it; --check shows which fit")
    logging.Formatter.converter = time.gmtime
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as trial:
        home, form = options.dir, "%(asctime)sZ %(message)s"
        if options.dry_run or options.check:
            options.dir, options.once = Path(trial), True
            with suppress(FileNotFoundError):
                (options.dir / "state.json").write_bytes((home / "state.json").read_bytes())
        try:
            options.dir.mkdir(parents=True, exist_ok=True)
            lock = (options.dir / "lock").open("a+b")  # ends with the process, however it ends
            if os.name == "nt":
                importlib.import_module("msvcrt").locking(lock.fileno(), 2, 1)  # LK_NBLCK
            else:
                importlib.import_module("fcntl").flock(lock, 6)  # LOCK_EX | LOCK_NB
            path = options.dir / "pump.log"
            log = logging.handlers.RotatingFileHandler(path, "a", 5_000_000, 3, "utf-8")
            logging.basicConfig(format=form, level="INFO", handlers=[log, logging.StreamHandler()])
            run(options)
            lock.close()
        except (ImportError, KeyboardInterrupt, TerminalLost) as error:
            raise SystemExit(f"mt5_pump: {error}") from None
        except OSError as error:
            raise SystemExit(f"{options.dir}: {error} (is another pump at work there?)") from None


if __name__ == "__main__":
    main()
