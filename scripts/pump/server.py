"""HTTP client of GFIL: requests over one kept-alive connection."""

import argparse
import gzip
import http.client
import json
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from scripts.pump.errors import RequestRefused, ServerUnavailable
from scripts.pump.log import LOG, warn_rarely
from scripts.pump.times import DAY_S

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
