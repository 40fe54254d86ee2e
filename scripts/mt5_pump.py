"""Send ticks and candles from a MetaTrader 5 terminal to GFIL.

One file for the Windows machine of the terminal. It needs Python 3.11 or newer and
`pip install MetaTrader5 tzdata`; `python mt5_pump.py --help` shows how to use it.

GENERATED from scripts/pump/ by `python scripts/build_pump.py`: edit the modules there.
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
import signal
import sys
import tempfile
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit
from zoneinfo import ZoneInfo, available_timezones

# --------------------------------------------------------------------------------------------------
# scripts/pump/errors.py
# Errors that the pump handles: each is retried or logged, none ends it.


class TerminalUnavailable(Exception):
    """The terminal does not answer, or its newest price lies in the future by `--clock`."""


class RequestRefused(Exception):
    """GFIL refuses the request as it is; it may accept some of the rows."""


class ServerUnavailable(Exception):
    """GFIL does not answer, or asks for a retry; `retry_after_s` is 0 if it names no time."""

    def __init__(self, reason: str, retry_after_s: int = 0, is_key_rejected: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.is_key_rejected = is_key_rejected


# --------------------------------------------------------------------------------------------------
# scripts/pump/options.py
# The command line of the pump.

USAGE = """Send ticks and candles from a MetaTrader 5 terminal to GFIL, without a gap.

The pump writes each tick to a spool on this disk before it sends the tick, and keeps the tick there
until GFIL confirms that it is stored. After a crash or an outage the pump resumes automatically.

  pip install MetaTrader5 tzdata
  set GFIL_KEY=...           (from: scripts/gfil key create --name pump --scope write)
  python mt5_pump.py --url https://charts.example.com --check
  python mt5_pump.py --url https://charts.example.com --clock nyclose --map XAUUSD.r=XAUUSD

Ctrl-C, SIGINT and SIGTERM stop the pump cleanly, also one that was started in the background."""
FOLDER = Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "gfil-pump"


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=USAGE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_source_options(parser)
    _add_mode_options(parser)
    _add_limit_options(parser)
    return parser


def parse_options() -> argparse.Namespace:
    """Parse the command line; end the program on wrong usage."""
    options = make_parser().parse_args()
    if not options.clock and not options.check:
        raise SystemExit(
            "--clock is needed: the terminal does not report the broker's clock; "
            "--check shows which clocks fit"
        )
    return options


def _add_source_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--url", required=True, help="address of GFIL, such as https://charts.example.com")
    add("--clock", help="the broker's clock (required; --check shows which clocks fit)")
    add("--symbols", nargs="+", metavar="S", help="symbols to pump (default: the Market Watch)")
    add(
        "--map",
        action="append",
        default=[],
        metavar="S=NAME",
        help="name in GFIL of a symbol of the terminal; may be repeated",
    )
    add("--key-file", type=Path, metavar="FILE", help="file with the key (default: GFIL_KEY)")
    add("--terminal", metavar="EXE", help="path of terminal64.exe, if there are several")
    add(
        "--insecure",
        action="store_true",
        help="allow http to another machine: the key is sent unencrypted",
    )


def _add_mode_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--check", action="store_true", help="show terminal, times and fitting clocks, then exit")
    add("--once", action="store_true", help="send everything up to now, then exit")
    add("--dry-run", action="store_true", help="show what --once would send, and write nothing")
    add("--fill-gaps", action="store_true", help="once a day send the M1 that GFIL lacks")
    add("--history", action="store_true", help="send the whole history once more")


def _add_limit_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--dir",
        type=Path,
        default=FOLDER,
        help="folder of spool, state and log (default: %(default)s)",
    )
    add(
        "--spool-mb",
        type=float,
        default=512,
        metavar="MB",
        help="largest spool (default: %(default)s)",
    )
    add(
        "--tick-days",
        type=float,
        default=7,
        metavar="N",
        help="age of the oldest ticks to send (default: %(default)s)",
    )
    add(
        "--every",
        type=int,
        default=250,
        metavar="MS",
        help="milliseconds between two reads of ticks (default: %(default)s)",
    )
    add(
        "--candles-every",
        type=float,
        default=60,
        metavar="S",
        help="seconds between two reads of candles (default: %(default)s)",
    )


# --------------------------------------------------------------------------------------------------
# scripts/pump/state_file.py
# The state file: the progress of each symbol, read again at the next start.

SAVE_EVERY_S = 5


class StateFile:
    """The file `state.json`: the progress of each symbol, by its name in GFIL."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._save_due = 0.0
        self.symbols: dict[str, dict[str, Any]] = {}
        with suppress(OSError, ValueError):  # without the file, GFIL's rows decide
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


# --------------------------------------------------------------------------------------------------
# scripts/pump/symbols.py
# State of each symbol while the pump runs.


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


# --------------------------------------------------------------------------------------------------
# scripts/pump/times.py
# Lengths of time, and how the pump writes a time.

MINUTE_S = 60
QUARTER_S = 900
HOUR_S = 3600
DAY_S = 86_400
LATEST = 1 << 62  # later than every time, in seconds and in milliseconds


def format_time(time_s: float) -> str:
    """Write a time in UNIX seconds as `YYYY-MM-DD HH:MM:SS`."""
    return f"{datetime(1970, 1, 1) + timedelta(seconds=int(time_s))}"


# --------------------------------------------------------------------------------------------------
# scripts/pump/broker_clock.py
# The clock of a broker: wall times of the terminal to UTC and back.

NYCLOSE = "America/New_York+07:00"
SHIFT_MAX_S = 14 * HOUR_S
ZONE_AND_SHIFT = re.compile(r"(.*?)(?:([+-])(\d{1,2}):?([0-5]\d)?)?", re.ASCII)


class BrokerClock:
    """UTC, a zone, an offset, or a zone plus an offset. Wall times are seconds on this clock."""

    def __init__(self, text: str) -> None:
        self.name = NYCLOSE if text.lower() == "nyclose" else text.strip()
        zones = {zone.lower(): zone for zone in available_timezones()} | {"utc": "", "gmt": ""}
        parsed = _parse_clock(self.name, zones)
        if parsed is None:
            has_zones = len(zones) > 2
            hint = "--check shows which clocks fit" if has_zones else "pip install tzdata"
            forms = "UTC, Zone/Name, +HH:MM or Zone/Name+HH:MM"
            raise SystemExit(f"unknown clock {text!r}: use {forms} ({hint})")
        zone, self._shift_s = parsed
        self._zone = ZoneInfo(zone) if zone else UTC

    @lru_cache(maxsize=4096)  # noqa: B019 (a clock lives as long as the program)
    def offset_s(self, time_s: int) -> int:
        """Return how far the clock is ahead of UTC at a time in UTC."""
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_s)
        ahead = moment.astimezone(self._zone).utcoffset() or timedelta()
        return self._shift_s + int(ahead.total_seconds())

    @lru_cache(maxsize=4096)  # noqa: B019
    def possible_offsets_s(self, quarter: int) -> list[int]:
        """Return the offsets of a quarter of an hour on the wall, largest first.

        A quarter that the clock skips has none, a quarter that it repeats has two.
        """
        wall = quarter * QUARTER_S
        candidates = {self.offset_s(wall - 2 * DAY_S), self.offset_s(wall + 2 * DAY_S)}
        fitting = (offset for offset in candidates if self.offset_s(wall - offset) == offset)
        return sorted(fitting, reverse=True)

    def to_wall(self, time_s: int) -> int:
        """Return the wall time at a time in UTC."""
        return time_s + self.offset_s(time_s)

    def repeated_hour(self, wall: int) -> range:
        """Return the wall times of the repeated hour around `wall`, or an empty range at `wall`."""
        first = last = wall // QUARTER_S
        while len(self.possible_offsets_s(last)) > 1:
            last += 1
        while first < last and len(self.possible_offsets_s(first - 1)) > 1:
            first -= 1
        if first == last:
            return range(wall, wall)
        return range(first * QUARTER_S, last * QUARTER_S)

    def to_utc(self, walls: Iterable[int], units_per_s: int, slack: int) -> list[int | None]:
        """Return the UTC times of wall times, in the same unit; None for a skipped wall time.

        A wall time that the clock shows twice has the first time that is at least `slack` after
        the newest time before it, else the second.
        """
        times: list[int | None] = []
        newest = -LATEST
        for wall in walls:
            offsets = self.possible_offsets_s(wall // (QUARTER_S * units_per_s))
            found = [wall - offset * units_per_s for offset in offsets]
            in_order = (each for each in found if each >= newest + slack)
            chosen = next(in_order, found[-1] if found else None)
            times.append(chosen)
            if chosen is not None:
                newest = max(newest, chosen)
        return times


def _parse_clock(name: str, zones: dict[str, str]) -> tuple[str, int] | None:
    if name.lower() in zones:  # also Etc/GMT+3, which looks like a zone plus an offset
        return zones[name.lower()], 0
    match = ZONE_AND_SHIFT.fullmatch(name)
    if match is None:
        return None
    base, sign, hours, minutes = match.groups("")
    zone = zones.get(base.lower()) if base else ""
    if zone is None or not sign:
        return None
    shift_s = int(hours) * HOUR_S + int(minutes or 0) * MINUTE_S
    if shift_s > SHIFT_MAX_S:
        return None
    return zone, shift_s if sign == "+" else -shift_s


# --------------------------------------------------------------------------------------------------
# scripts/pump/log.py
# The log of the pump: a rotating file and the console.

LOG_FILE_BYTES = 5_000_000
LOG_FILES_KEPT = 3
LOG = logging.getLogger("pump")
_QUIET_UNTIL: dict[str, float] = {}


def start_log(folder: Path) -> None:
    """Log to `pump.log` in the folder and to the console, if any, with times in UTC."""
    logging.Formatter.converter = time.gmtime
    path = folder / "pump.log"
    file = logging.handlers.RotatingFileHandler(path, "a", LOG_FILE_BYTES, LOG_FILES_KEPT, "utf-8")
    handlers: list[logging.Handler] = [file]
    if sys.stderr is not None:  # pythonw.exe has no console
        handlers.append(logging.StreamHandler())
    logging.basicConfig(format="%(asctime)sZ %(message)s", level="INFO", handlers=handlers)


def warn_rarely(text: str, every_s: float = MINUTE_S, key: str = "") -> None:
    """Log a warning, at most once in `every_s` for the same key (default: the text)."""
    now = time.monotonic()
    if _QUIET_UNTIL.get(key or text, 0.0) <= now:
        LOG.warning(text)
        _QUIET_UNTIL[key or text] = now + every_s


# --------------------------------------------------------------------------------------------------
# scripts/pump/resume.py
# Resume: where a started pump continues, by the rows in GFIL, the state file and the spool.

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


# --------------------------------------------------------------------------------------------------
# scripts/pump/progress.py
# Counts of this run: ticks sent, and failures of the terminal.


@dataclass
class Progress:
    """Shared by the parts that read and send."""

    ticks_sent: int = 0
    terminal_failures: int = 0  # since ticks were last sent

    def count_failure(self, error: TerminalUnavailable) -> None:
        """Count and log a failure of the terminal; the caller tries again later."""
        self.terminal_failures += 1
        warn_rarely(f"terminal: {error}; the pump tries again", key="terminal")


# --------------------------------------------------------------------------------------------------
# scripts/pump/server.py
# HTTP client of GFIL: requests over one kept-alive connection.

TIMEOUT_S = 30.0
KEY_RETRY_S = 60
GZIP_MIN_BYTES = 16_384
CLOCK_TOLERANCE_S = 1.5  # the Date header has whole seconds
CHANGING_WORDS = re.compile(r"\d+ days?|[\d-]{10}")  # differ between the pages of one history


class Server:
    """The HTTP client of GFIL."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._connection, self._path_prefix = _open_connection(options.url, options.insecure)
        self._key_file = options.key_file
        self._key = ""
        self._is_dry_run = options.dry_run
        self._clock_lead_s = 0.0  # of the server's clock over this machine's
        if not self.reload_key():
            raise SystemExit(f"no key in {options.key_file or 'GFIL_KEY, and no --key-file'}")

    @property
    def now(self) -> float:
        """The time by the clock of the server."""
        return time.time() + self._clock_lead_s

    def reload_key(self) -> bool:
        """Read the key again; return whether it has changed."""
        previous = self._key
        with suppress(OSError, ValueError):  # another program may be writing the file
            if self._key_file:
                key = self._key_file.read_text("utf-8-sig").strip()
            else:
                key = os.environ.get("GFIL_KEY", "").strip()
            if re.fullmatch("[!-~]{1,200}", key):
                self._key = key
        return self._key != previous

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON of a path, or {} if GFIL refuses the request."""
        return self._deliver("GET", path)

    def patch(self, path: str, facts: dict[str, Any]) -> None:
        """Send facts about a symbol."""
        self._deliver("PATCH", path, rows=[json.dumps(facts).encode()])

    def post_rows(
        self, path: str, header: bytes, rows: Sequence[bytes], idempotency_key: str
    ) -> dict[str, Any]:
        """Send CSV rows until GFIL has stored or refused each of them; return its answer.

        A request that GFIL refuses is sent again in halves, down to the rows at fault.
        """
        return self._deliver("POST", path, header, rows, idempotency_key)

    def _deliver(
        self,
        method: str,
        path: str,
        header: bytes = b"",
        rows: Sequence[bytes] = (),
        idempotency_key: str = "",
    ) -> dict[str, Any]:
        if self._is_dry_run and rows:
            _print_dry_run(method, path, rows)
            return {}
        try:
            body = header + b"".join(rows)
            answer = self._request(method, path, body, bool(header), idempotency_key)
        except RequestRefused as error:
            if len(rows) < 2:
                row = b"".join(rows).decode(errors="replace").strip()
                LOG.error("refused, not sent again: %s %s %s (%s)", method, path, row, error)
                return {}
            half = len(rows) // 2
            first = self._deliver(method, path, header, rows[:half], f"{idempotency_key}a")
            second = self._deliver(method, path, header, rows[half:], f"{idempotency_key}b")
            newest_msc = first.get("last", {}) | second.get("last", {})
            return first | second | {"last": newest_msc}
        _log_answer(method, path, answer)
        return answer

    def _request(
        self, method: str, path: str, body: bytes, is_csv: bool, idempotency_key: str
    ) -> dict[str, Any]:
        headers = {
            "Authorization": f"Bearer {self._key}",
            "User-Agent": "gfil-pump",
            "Content-Type": "text/csv" if is_csv else "application/json",
        }
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        if len(body) > GZIP_MIN_BYTES:
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        response, content = self._exchange(method, path, body, headers)
        self._note_server_time(response)
        answer = _parse_object(content)
        if response.status < 300 and answer:
            return answer
        raise _refusal(response, answer, is_csv)

    def _exchange(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        was_open = self._connection.sock is not None
        attempts = 2 if was_open else 1  # the server may have closed an idle connection
        while True:
            attempts -= 1
            try:
                self._connection.request(method, self._path_prefix + path, body or None, headers)
                response = self._connection.getresponse()
                return response, response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if not attempts:
                    raise ServerUnavailable(f"{error or type(error).__name__}") from None

    def _note_server_time(self, response: http.client.HTTPResponse) -> None:
        with suppress(TypeError, ValueError):
            server_time = parsedate_to_datetime(response.headers["Date"]).timestamp() + 0.5
            lead_s = server_time - time.time()
            self._clock_lead_s = lead_s if abs(lead_s) > CLOCK_TOLERANCE_S else 0.0


def _open_connection(url: str, is_plain_allowed: bool) -> tuple[http.client.HTTPConnection, str]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.query:
        raise SystemExit(f"--url {url} is not a URL such as https://charts.example.com")
    is_this_machine = host in ("localhost", "::1") or re.fullmatch(r"127(\.\d+){3}", host)
    if parts.scheme == "http" and not is_this_machine and not is_plain_allowed:
        raise SystemExit(f"--url {url} would send the key in clear: use https, or add --insecure")
    secure = parts.scheme == "https"
    connection_type = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    return connection_type(host, parts.port, timeout=TIMEOUT_S), parts.path.rstrip("/")


def _print_dry_run(method: str, path: str, rows: Sequence[bytes]) -> None:
    ends = dict.fromkeys([rows[0], rows[-1]])  # one if they are equal
    shown = " ... ".join(row.decode().strip() for row in ends)
    print(f"would {method} {path}: {len(rows)} rows, {shown}")


def _log_answer(method: str, path: str, answer: dict[str, Any]) -> None:
    refused = answer.get("errors", ())
    for row in refused:
        LOG.error("refused, not sent again: %(text)s (%(reason)s)", row)
    if answer.get("rejected", 0) > len(refused):
        LOG.error("refused in all: %s rows, %s", answer["rejected"], answer["reasons"])
    for warning in answer.get("warnings", ()):
        key = f"{method} {path}{CHANGING_WORDS.sub('', warning)}"
        warn_rarely(f"GFIL warns: {warning}", DAY_S, key)


def _parse_object(content: bytes) -> dict[str, Any]:
    with suppress(TypeError, ValueError):
        return dict(json.loads(content))
    return {}


def _refusal(
    response: http.client.HTTPResponse, answer: dict[str, Any], is_csv: bool
) -> RequestRefused | ServerUnavailable:
    status = response.status
    reason = f"{status} {answer.get('detail', response.reason)}"
    if status in (401, 403):
        return ServerUnavailable(
            f"{reason}; the pump reads the key again", KEY_RETRY_S, is_key_rejected=True
        )
    is_of_rows = status in (400, 422) and answer.get("type") != "bad_parameter"
    is_of_request = not is_csv and 400 <= status < 408
    if status == 413 or (answer and (is_of_rows or is_of_request)):
        return RequestRefused(reason)
    retry_after = response.headers.get("Retry-After", "")
    return ServerUnavailable(reason, int(retry_after) if retry_after.isdigit() else 0)


# --------------------------------------------------------------------------------------------------
# scripts/pump/spool.py
# The spool: ticks on the disk of this machine until GFIL has stored them.
#
# Each file `SERIAL-RANDOM.ticks` is one batch, sent as one request; the name without the suffix is
# its idempotency key. A file is a sequence of records: a header `LENGTH CRC32\n` in hexadecimal,
# then LENGTH bytes of CSV lines. Each record is synced to the disk.

BATCH_TICKS = 5000
HEADER_BYTES = 18


class Batch(NamedTuple):
    """The ticks of one request."""

    idempotency_key: str
    lines: list[bytes]


class Spool:
    """Batches of ticks in a folder, oldest first.

    A power cut may tear the last record of a file. The pump then reads from the terminal all that
    GFIL has not confirmed, so `newest_msc` is empty after a damaged file.
    """

    def __init__(self, folder: Path, bytes_max: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._bytes_max = bytes_max
        self._file: Any = None  # the batch that grows
        self._file_ticks = 0
        self._paths = deque(sorted(folder.glob("*.ticks")))
        self.size_bytes = 0
        self.tick_count = 0
        self.newest_msc: dict[str, int] = {}  # of each symbol
        self._count_batches()

    def _count_batches(self) -> None:
        is_damaged = False
        for path in self._paths:
            lines, is_whole = _read_batch(path)
            self.size_bytes += path.stat().st_size
            self.tick_count += len(lines)
            self.newest_msc |= newest_times_msc(lines)
            if not is_whole:
                is_damaged = True
                LOG.warning(
                    "%s has a damaged end: the pump reads its ticks from the terminal again",
                    path.name,
                )
        if is_damaged:
            self.newest_msc = {}

    def append(self, lines: Sequence[bytes]) -> None:
        """Write ticks and sync them; raise OSError if the spool or the disk is full."""
        if lines and self.size_bytes + sum(map(len, lines)) > self._bytes_max:
            raise OSError(f"--spool-mb {self._bytes_max / 1e6:g}")
        for start in range(0, len(lines), BATCH_TICKS):
            part = lines[start : start + BATCH_TICKS]
            if self._file_ticks + len(part) > BATCH_TICKS:
                self.close_batch()
            self._write_record(b"".join(part))
            self._file_ticks += len(part)
            self.tick_count += len(part)

    def _write_record(self, payload: bytes) -> None:
        if self._file is None:
            self._file = self._create_file()
        record = b"%08x %08x\n" % (len(payload), zlib.crc32(payload)) + payload
        written = self._file.write(record)
        if written > 0 and self._file.tell() == written:  # the first record of the file
            self._paths.append(Path(self._file.name))
        self.size_bytes += written
        if written < len(record):
            raise OSError("the disk is full")
        os.fsync(self._file.fileno())

    def _create_file(self) -> Any:
        newest_serial = int(self._paths[-1].name.split("-")[0]) if self._paths else 0
        serial = max(newest_serial + 1, time.time_ns() // 1_000_000)
        path = self._folder / f"{serial:013d}-{os.urandom(6).hex()}.ticks"
        return path.open("xb", buffering=0)

    def close_batch(self) -> None:
        """Close the batch that grows, so that the next ticks begin another; keep an empty file."""
        if self._file is not None and self._file.tell():
            self._file.close()
            self._file = None
            self._file_ticks = 0

    def first(self) -> Batch | None:
        """Return the oldest batch, which does not grow from then on."""
        if not self._paths:
            return None
        if len(self._paths) == 1:
            self.close_batch()
        path = self._paths[0]
        lines, _ = _read_batch(path)
        return Batch(path.stem, lines)

    def drop_first(self, tick_count: int) -> None:
        """Delete the oldest batch, which has `tick_count` ticks."""
        path = self._paths.popleft()
        self.size_bytes -= path.stat().st_size
        self.tick_count -= tick_count
        with suppress(OSError):  # a virus scanner may lock it: the next start sends the batch again
            path.unlink()


def newest_times_msc(lines: Iterable[bytes]) -> dict[str, int]:
    """Return the newest time of each symbol in lines of a spool."""
    newest: dict[str, int] = {}
    for line in lines:
        symbol, time_msc, _ = line.decode().split(",", 2)
        newest[symbol] = max(int(time_msc), newest.get(symbol, 0))
    return newest


def _read_batch(path: Path) -> tuple[list[bytes], bool]:
    data = path.read_bytes()
    lines: list[bytes] = []
    start = 0
    while start < len(data):
        payload = _read_record(data, start)
        if payload is None:
            return lines, False
        lines += payload.splitlines(keepends=True)
        start += HEADER_BYTES + len(payload)
    return lines, True


def _read_record(data: bytes, start: int) -> bytes | None:
    payload_start = start + HEADER_BYTES
    try:
        length, checksum = (int(word, 16) for word in data[start:payload_start].split())
    except ValueError:
        return None
    payload = data[payload_start : payload_start + length]
    is_whole = length > 0 and len(payload) == length and zlib.crc32(payload) == checksum
    return payload if is_whole else None


# --------------------------------------------------------------------------------------------------
# scripts/pump/terminal.py
# The MetaTrader 5 terminal: its connection, its functions, and the symbols to pump.

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


# --------------------------------------------------------------------------------------------------
# scripts/pump/future_guard.py
# The guard against a wrong `--clock`: a symbol with a price in the future is not sent.

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


# --------------------------------------------------------------------------------------------------
# scripts/pump/symbol_facts.py
# Facts about a symbol that the broker knows: currencies, digits, description.

DIGITS_MAX = 8
DESCRIPTION_MAX = 200


def send_facts(symbol: Symbol, terminal: Terminal, server: Server) -> None:
    """Send the facts if they have changed and GFIL knows the symbol."""
    facts = _read_facts(symbol.name, terminal)
    is_known = symbol.state["sent"] or symbol.state.get("acked")
    if is_known and facts != symbol.state.get("facts"):
        given = {name: fact for name, fact in facts.items() if fact != ""}
        server.patch(f"/api/v1/symbols/{quote(symbol.target)}", given)
        symbol.state["facts"] = facts


def _read_facts(name: str, terminal: Terminal) -> dict[str, Any]:
    info = terminal.call("symbol_info", name)
    description = "".join(filter(str.isprintable, info.description))
    return {
        "base": info.currency_base,
        "quote": info.currency_profit,
        "digits": min(info.digits, DIGITS_MAX),
        "description": description[:DESCRIPTION_MAX],
    }


# --------------------------------------------------------------------------------------------------
# scripts/pump/tick_sender.py
# Sending ticks: the batches of the spool to GFIL.

TICK_HEADER = b"symbol,time_msc,bid,ask,last,volume,flags\n"


class TickSender:
    """Sends the batches of the spool, oldest first."""

    def __init__(
        self, server: Server, spool: Spool, state_file: StateFile, progress: Progress
    ) -> None:
        self._server = server
        self._spool = spool
        self._state_file = state_file
        self._progress = progress

    def send(self, deadline: float) -> None:
        """Send batches until the spool is empty or time.monotonic() reaches the deadline."""
        while batch := self._spool.first():
            if batch.lines:
                self._send_batch(batch.idempotency_key, batch.lines)
            self._spool.drop_first(len(batch.lines))
            self._progress.ticks_sent += len(batch.lines)
            if time.monotonic() > deadline:
                break
        self._state_file.save_if_due()

    def _send_batch(self, idempotency_key: str, lines: list[bytes]) -> None:
        answer = self._server.post_rows("/api/v1/ticks", TICK_HEADER, lines, idempotency_key)
        stored_msc = answer.get("last", {})
        for target, time_msc in newest_times_msc(lines).items():
            state = self._state_file.of(target)
            state["acked"] = max(time_msc, state.get("acked", 0))
            state["stored"] = max(stored_msc.get(target, 0), state.get("stored", 0))


# --------------------------------------------------------------------------------------------------
# scripts/pump/candle_sender.py
# Candles to GFIL: backfill of the history, new M1, and M1 for the gaps of each symbol.

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


# --------------------------------------------------------------------------------------------------
# scripts/pump/check.py
# The report of `--check`: terminal, symbols, the time on three machines, and clocks that fit.

KNOWN_CLOCKS = ("UTC", "nyclose", "Europe/Athens", "EET", "Europe/London", "Europe/Moscow")
WATCH_S = 5.0
WATCH_EVERY_S = 0.25
OFFSET_MAX_MINUTES = 14 * 60


def check(options: argparse.Namespace, terminal: Terminal, server: Server) -> None:
    """Print the report; send nothing."""
    server_state = _ask_server(server)
    info = terminal.call("terminal_info")
    broker = terminal.call("account_info").server
    print(f"terminal  {info.name} build {info.build}, {info.maxbars} max bars in chart")
    names = terminal.choose_symbols(options.symbols, options.map)
    for name, target in names.items():
        symbol = terminal.call("symbol_info", name)
        print(f"symbol    {name} as {target}: {symbol.description}, {symbol.digits} digits")
    newest_wall, is_live = _watch_prices(terminal, list(names))
    print(f"GFIL      {format_time(server.now)} UTC by its clock; it {server_state}")
    print(f"this PC   {format_time(time.time())} UTC")
    print(f"broker    {format_time(newest_wall)} on its clock at the newest tick; {broker}")
    candidates = [options.clock or "nyclose", *KNOWN_CLOCKS]
    if is_live:
        candidates.append(_nearest_offset(newest_wall, server.now))
    for candidate in dict.fromkeys(candidates):
        _print_clock(candidate, newest_wall, is_live, server.now)
    if is_live:
        print("Most brokers use nyclose: their day ends when New York's trading day ends.")
    else:
        print("No tick came during the check: run --check again while the market is open.")


def _ask_server(server: Server) -> str:
    try:
        answer = server.get("/api/v1/symbols")
    except ServerUnavailable as error:
        return f"fails: {error.reason}"
    return "answers" if answer else "refuses"


def _watch_prices(terminal: Terminal, names: list[str]) -> tuple[int, bool]:
    first = newest = 0
    deadline = time.monotonic() + WATCH_S
    while newest == first and time.monotonic() < deadline:
        newest = _newest_price(terminal, names)
        first = first or newest  # 0 while the terminal has no price
        time.sleep(WATCH_EVERY_S)
    return newest, newest > first


def _newest_price(terminal: Terminal, names: list[str]) -> int:
    return max(int(terminal.call("symbol_info", name).time) for name in names)


def _nearest_offset(newest_wall: int, now: float) -> str:
    quarters = round(abs(newest_wall - now) / QUARTER_S)
    hours, minutes = divmod(min(quarters * 15, OFFSET_MAX_MINUTES), 60)
    sign = "+" if newest_wall >= now else "-"
    return f"{sign}{hours:02}:{minutes:02}"


def _print_clock(candidate: str, newest_wall: int, is_live: bool, now: float) -> None:
    newest = BrokerClock(candidate).to_utc([newest_wall], 1, 0)[0] or 0
    age_s = int(now - newest)
    if age_s < -AHEAD_MAX_S or (is_live and age_s > AHEAD_MAX_S):
        answer = "no"
    elif is_live:
        answer = "fits"
    else:
        answer = "perhaps"
    distance = f"{timedelta(seconds=abs(age_s))} {'old' if age_s >= 0 else 'ahead'}"
    print(f"clock     {candidate:<24}{answer:<9}the newest tick would be {distance}")


# --------------------------------------------------------------------------------------------------
# scripts/pump/tick_reader.py
# Reading ticks: from the terminal into the spool.

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


# --------------------------------------------------------------------------------------------------
# scripts/pump/pump.py
# The pump: each step reads new ticks, sends the spool, then runs the tasks that are due.

RETRY_FIRST_S = 0.5
RETRY_MAX_S = 30.0
TASK_RETRY_S = 1.0
ONCE_ATTEMPTS = 3
STATUS_WIDTH = 110


def retry_wait_s(failures: int) -> float:
    """Return the wait after a number of failures in a row; it doubles up to RETRY_MAX_S."""
    doublings = min(failures - 1, 16)  # after a day of failures the power overflows a float
    return min(RETRY_FIRST_S * 2.0**doublings, RETRY_MAX_S)


@dataclass
class Task:
    """Work on every symbol that is due again `every_s` after it is done; 0 switches it off."""

    run: Callable[[Symbol], None]
    every_s: float
    due: float = 0.0


class Pump:
    """Moves ticks and candles of a terminal to GFIL."""

    def __init__(self, options: argparse.Namespace, terminal: Terminal, server: Server) -> None:
        self.clock = BrokerClock(options.clock)
        self.spool = Spool(options.dir / "spool", options.spool_mb * 1e6)
        self.progress = Progress()
        self.trouble = ""  # why GFIL cannot take more now
        self.is_done = False  # all that the terminal has is sent
        self._options = options
        self._terminal = terminal
        self._server = server
        self._state_file = StateFile(options.dir)
        names = terminal.choose_symbols(options.symbols, options.map)
        self.symbols = [self._load_symbol(name, target) for name, target in names.items()]
        self._reader = TickReader(
            self.symbols, terminal, self.clock, server, self.spool, self.progress
        )
        self._tick_sender = TickSender(server, self.spool, self._state_file, self.progress)
        candles = CandleSender(terminal, self.clock, server, self._pump_ticks)
        self._history = Task(candles.send_history, MINUTE_S)
        self._tasks = [
            self._history,
            Task(candles.send_new, options.candles_every),
            Task(self._send_facts, DAY_S),
            Task(candles.fill_gaps, DAY_S if options.fill_gaps else 0),
        ]
        self._is_history_forced = options.history
        self._is_resumed = False
        self._is_key_rejected = False
        self._server_failures = 0  # since a step succeeded
        self._retry_due = 0.0

    def _load_symbol(self, name: str, target: str) -> Symbol:
        state = self._state_file.of(target)
        newest_msc = max(self.spool.newest_msc.get(target, 0), state.get("acked", 0))
        return Symbol(name, target, state, Cursor(newest_msc) if newest_msc else None)

    @property
    def is_stuck(self) -> bool:
        """Whether `--once` gives up: the key is rejected, or GFIL or the terminal keeps failing."""
        failures = max(self._server_failures, self.progress.terminal_failures)
        return self._is_key_rejected or failures >= ONCE_ATTEMPTS

    def save(self) -> None:
        """Save the state file."""
        self._state_file.save()

    def step(self) -> None:
        """Read new ticks, and send the spool unless a retry is not due yet."""
        now = time.monotonic()
        sent_before = self.progress.ticks_sent
        self._reader.read()
        if now < self._retry_due and not (self._is_key_rejected and self._server.reload_key()):
            return
        try:
            self._send(now + self._options.every / 1000)
        except ServerUnavailable as error:
            self._plan_retry(error, now)
            return
        self.trouble = ""
        self._server_failures = 0
        self._is_key_rejected = False
        self._retry_due = 0.0
        if self.progress.ticks_sent > sent_before:
            self.progress.terminal_failures = 0  # one symbol fails while others go on

    def _plan_retry(self, error: ServerUnavailable, now: float) -> None:
        self.trouble = error.reason
        self._is_key_rejected = error.is_key_rejected
        self._is_resumed = False
        self._server_failures += 1
        asked_s = error.retry_after_s * random.uniform(1.0, 1.2)
        backoff_s = retry_wait_s(self._server_failures) * random.uniform(0.5, 1.0)
        self._retry_due = now + max(asked_s, backoff_s)
        waiting = f"{self.spool.tick_count} ticks wait in the spool"
        warn_rarely(f"GFIL: {error.reason}; {waiting}", key="gfil")
        for symbol in self.symbols:
            if symbol.cursor is None:  # GFIL has not reported its newest tick yet
                symbol.cursor = Cursor(int(self._server.now - MINUTE_S) * 1000)

    def _send(self, deadline: float) -> None:
        if not self._is_resumed:
            self._resume()  # before new ticks create the symbol in GFIL, or hide lost ones
        self._tick_sender.send(deadline)
        if self.spool.tick_count:
            return
        for task in self._tasks:
            if task.every_s and time.monotonic() >= task.due:
                self._run_task(task)
        is_all_sent = all(
            symbol.is_at_end and symbol.state["history"] == "done" for symbol in self.symbols
        )
        self.is_done = is_all_sent and self._is_resumed and not self.spool.tick_count

    def _run_task(self, task: Task) -> None:
        now = time.monotonic()
        failures_before = self.progress.terminal_failures
        for symbol in self.symbols:
            try:
                task.run(symbol)
            except TerminalUnavailable as error:  # one symbol does not hold up the others
                self.progress.count_failure(error)
        has_failed = self.progress.terminal_failures > failures_before
        task.due = now + (TASK_RETRY_S if has_failed else task.every_s)

    def _resume(self) -> None:
        answer = self._server.get("/api/v1/symbols")
        stored = {info["symbol"].lower(): info for info in answer.get("symbols", ())}
        oldest_msc = int(self._server.now - self._options.tick_days * DAY_S) * 1000
        for symbol in self.symbols:
            info = stored.get(symbol.target.lower())
            if info and info["symbol"] != symbol.target:
                raise SystemExit(f"GFIL calls {symbol.target} {info['symbol']}: use --map")
            spooled_msc = self.spool.newest_msc.get(symbol.target, 0)
            resume_ticks(symbol, info, spooled_msc, oldest_msc)
            resume_history(symbol, info, self._is_history_forced)
        self._is_history_forced = False
        self._is_resumed = True
        self._history.due = 0.0
        self.save()

    def _send_facts(self, symbol: Symbol) -> None:
        send_facts(symbol, self._terminal, self._server)

    def _pump_ticks(self) -> None:
        self._reader.read()
        self._tick_sender.send(time.monotonic() + self._options.every / 1000)

    def show_status(self) -> None:
        """Write one line over the last line of the console."""
        server_state = f"GFIL {self.trouble or 'ok'}"
        state = server_state if self._terminal.is_open else "no terminal"
        counts = f"{self.progress.ticks_sent} ticks sent, {self.spool.tick_count} in the spool"
        line = f"{format_time(time.time())}Z  {counts}, {state}"[:STATUS_WIDTH]
        print(line.ljust(STATUS_WIDTH), end="\r", file=sys.stderr, flush=True)


# --------------------------------------------------------------------------------------------------
# scripts/pump/main.py
# The program: options, signals, the lock of the folder, and the loop.


def main() -> None:
    """Run the pump until it is done or a signal stops it."""
    handle_stop_signals()
    options = parse_options()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as trial_folder:
        if options.dry_run or options.check:
            _use_trial_folder(options, Path(trial_folder))
        try:
            options.dir.mkdir(parents=True, exist_ok=True)
            with (options.dir / "lock").open("a+b") as lock_file:
                _lock(lock_file, options.dir)
                start_log(options.dir)
                run(options)
        except KeyboardInterrupt:
            raise SystemExit("mt5_pump: stopped by a signal") from None
        except (ImportError, TerminalUnavailable) as error:
            raise SystemExit(f"mt5_pump: {error}") from None
        except OSError as error:
            raise SystemExit(f"mt5_pump: {options.dir}: {error}") from None


def handle_stop_signals() -> None:
    """Let SIGINT, SIGTERM and SIGBREAK (Windows) raise KeyboardInterrupt.

    A shell starts background jobs of a script with SIGINT ignored, and Python keeps that. The pump
    sets its own handlers so that `kill -INT` always stops it cleanly. SIGHUP stays as inherited:
    a pump under `nohup` outlives its terminal.
    """
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)


def run(options: argparse.Namespace) -> None:
    """Connect to GFIL and the terminal, then check or pump."""
    server = Server(options)
    terminal = Terminal(options.terminal)
    _wait_for_terminal(terminal, options.once, Progress())
    if options.check:
        check(options, terminal, server)
        return
    pump = Pump(options, terminal, server)
    names = " ".join(symbol.target for symbol in pump.symbols)
    LOG.info("pumping %s to %s, clock of the broker %s", names, options.url, pump.clock.name)
    with suppress(KeyboardInterrupt):
        _pump_until_done(pump, options)
    pump.save()
    done = "would be sent" if options.dry_run else "sent"
    count, waiting = pump.progress.ticks_sent, pump.spool.tick_count
    LOG.info("ended: %s ticks %s, %s wait in the spool", count, done, waiting)


def _pump_until_done(pump: Pump, options: argparse.Namespace) -> None:
    while not (options.once and pump.is_done):
        started = time.monotonic()
        pump.step()
        if options.once and pump.is_stuck:
            raise SystemExit(f"not everything was sent: {pump.trouble or 'see the log above'}")
        if sys.stderr is not None and sys.stderr.isatty():
            pump.show_status()
        time.sleep(max(0.0, started + options.every / 1000 - time.monotonic()))


def _wait_for_terminal(terminal: Terminal, is_once: bool, progress: Progress) -> None:
    while not terminal.is_open:
        try:
            terminal.open()
        except TerminalUnavailable as error:
            if is_once:
                raise
            progress.count_failure(error)
            time.sleep(REOPEN_EVERY_S)


def _use_trial_folder(options: argparse.Namespace, folder: Path) -> None:
    with suppress(FileNotFoundError):
        (folder / "state.json").write_bytes((options.dir / "state.json").read_bytes())
    options.dir = folder
    options.once = True


def _lock(file: IO[bytes], folder: Path) -> None:
    # The system releases the lock when the process ends, however it ends.
    try:
        if os.name == "nt":
            msvcrt = importlib.import_module("msvcrt")
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl = importlib.import_module("fcntl")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise SystemExit(f"{folder}: {error} (another pump runs in this folder)") from None


if __name__ == "__main__":
    main()
