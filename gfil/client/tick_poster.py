"""Ticks to a server through its public door, as a pump posts them: each batch until it is taken."""

import http.client
import ipaddress
import math
import random
import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.message import Message
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from gfil.errors import BadParameter, Forbidden, GfilError, TooLarge, Unauthorized

PATH = "/api/v1/ticks"
ANSWER_MAX_S = 30
ANSWER_BYTES_MAX = 8 * 1024 * 1024
PATIENCE_S = 120.0  # with a server that has answered before, and is away or too busy now
REST_FIRST_S, REST_MAX_S = 0.25, 10.0
RETRY_AFTER_MAX_S = 60.0
SHOWN_MAX = 200  # characters of what a server says


class Tick(NamedTuple):
    """One tick to be posted, and the row of its source that it was. `time_msc` is UNIX ms."""

    row: int
    symbol: str
    time_msc: int
    bid: float
    ask: float
    last: float = 0
    volume: float = 0
    flags: int = 0


FIELDS = Tick._fields[1:]


class Server(NamedTuple):
    """Where ticks are posted to; `base` is the path in front of its routes, mostly none."""

    scheme: str
    host: str
    port: int | None
    base: str

    @property
    def url(self) -> str:
        """Its address, for a person."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port is not None else ""
        return f"{self.scheme}://{host}{port}{self.base}"


class _Answer(NamedTuple):
    status: int
    headers: Message
    body: Any


def parse_url(text: str, *, insecure: bool = False) -> Server:
    """Return the server of a URL such as `http://127.0.0.1:8000`.

    Raises:
        BadParameter: it is no such URL; or a key would go to another machine in the clear, and
            `insecure` does not allow that.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    is_plain = host and text.isascii() and text.strip().isprintable() and " " not in text.strip()
    if not is_plain or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise BadParameter(f"--url {text[:64]!r} is no address such as http://127.0.0.1:8000")
    if parts.username is not None:
        raise BadParameter("--url takes no user or password: the key comes from --key-file")
    if parts.scheme == "http" and not insecure and not _is_loopback(host):
        raise BadParameter(f"the key would go to {host} in the clear: use https, or --insecure")
    return Server(parts.scheme, host, port, parts.path.removesuffix(PATH).rstrip("/"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Poster:
    """Posts ticks to one server, over one connection that is kept.

    What is not taken for now is sent again, ever more slowly and under the same Idempotency-Key,
    for `patience_s` from when it was first sent; a server that was never reached yet is given
    `first_patience_s`. `tell` hears when that begins and ends, `rest` waits.
    """

    def __init__(
        self,
        server: Server,
        key: str,
        *,
        patience_s: float = PATIENCE_S,
        first_patience_s: float = 0.0,
        tell: Callable[[str], object] = lambda _: None,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self._server = server
        self._key = key
        self._patience_s = patience_s
        self._first_patience_s = first_patience_s
        self._tell = tell
        self._rest = rest
        self._has_answered = False
        self._in_trouble = False
        kind = http.client.HTTPSConnection if server.scheme == "https" else None
        make = kind or http.client.HTTPConnection
        self._connection = make(server.host, server.port, timeout=ANSWER_MAX_S)

    def post(self, ticks: Sequence[Tick]) -> Iterator[tuple[Sequence[Tick], dict[str, Any]]]:
        """Post ticks in one request; where the server takes less, in several: yield each answer.

        Ticks of one millisecond that follow one another stay in one request.

        Raises:
            Unauthorized, Forbidden: the key is not valid, or may not write.
            TooLarge: a single millisecond is more than the server takes.
            GfilError: the server refuses the request, or was away for too long.
        """
        rows = [dict(zip(FIELDS, tick[1:], strict=True)) for tick in ticks]
        try:
            yield ticks, self._send(orjson.dumps({"ticks": rows}))
        except TooLarge:
            middle = _find_middle(ticks)
            if not middle:
                raise
            yield from self.post(ticks[:middle])
            yield from self.post(ticks[middle:])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, body: bytes) -> dict[str, Any]:
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "Idempotency-Key": uuid.uuid4().hex,
        }
        began, rest_s = time.monotonic(), REST_FIRST_S
        while True:
            trouble, least_s = self._try(body, headers)
            if isinstance(trouble, dict):
                self._end_trouble()
                return trouble
            wait_s = max(rest_s * random.uniform(0.5, 1), least_s)
            self._check_patience(trouble, time.monotonic() - began + wait_s)
            self._rest(wait_s)
            rest_s = min(2 * rest_s, REST_MAX_S)

    # Returns what the server answered; or why to try again, and after how long at the earliest.
    def _try(self, body: bytes, headers: Mapping[str, str]) -> tuple[dict[str, Any] | str, float]:
        try:
            answer = self._ask(body, headers)
        except ssl.SSLCertVerificationError as error:
            raise GfilError(f"{self._server.url}: {error.verify_message}") from None
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return f"cannot reach {self._server.url}: {_say(error)}", 0.0
        self._has_answered = True
        if 200 <= answer.status < 300:
            return self._check(answer.body), 0.0
        why = _reason(answer)
        if answer.status >= 500 or answer.status in (408, 429):
            told = answer.headers.get("Retry-After", "")
            least_s = float(told) if told.isascii() and told.isdigit() else 0.0
            return f"{self._server.url}: {why}", min(least_s, RETRY_AFTER_MAX_S)
        kinds = {401: Unauthorized, 403: Forbidden, 413: TooLarge}
        raise kinds.get(answer.status, GfilError)(f"{self._server.url} refuses: {why}")

    def _ask(self, body: bytes, headers: Mapping[str, str]) -> _Answer:
        is_kept = self._connection.sock is not None
        try:
            return self._exchange(body, headers)
        except (ConnectionError, http.client.BadStatusLine):
            self._connection.close()
            if not is_kept:
                raise
        return self._exchange(body, headers)  # one that was kept may be closed: that is no trouble

    def _exchange(self, body: bytes, headers: Mapping[str, str]) -> _Answer:
        self._connection.request("POST", self._server.base + PATH, body, dict(headers))
        with self._connection.getresponse() as response:
            said = response.read(ANSWER_BYTES_MAX)
            try:
                parsed = orjson.loads(said)
            except orjson.JSONDecodeError:
                parsed = None
            return _Answer(response.status, response.headers, parsed)

    def _check(self, answer: Any) -> dict[str, Any]:
        if not isinstance(answer, dict) or not {"rows", "inserted", "change"} <= answer.keys():
            raise GfilError(f"{self._server.url} is no GFIL: it takes ticks and counts none")
        return answer

    def _check_patience(self, trouble: str, waited_s: float) -> None:
        limit_s = self._patience_s if self._has_answered else self._first_patience_s
        if waited_s > limit_s:
            tried = f"; tried for {math.ceil(limit_s)} s" if limit_s else ""
            raise GfilError(f"{trouble}{tried}")
        if not self._in_trouble:
            self._tell(f"{trouble}; trying again")
        self._in_trouble = True

    def _end_trouble(self) -> None:
        if self._in_trouble:
            self._tell(f"{self._server.url} takes ticks again")
        self._in_trouble = False


def _find_middle(ticks: Sequence[Tick]) -> int:
    # Where the half nearest to the middle begins that splits no millisecond; 0 where none does.
    places = (at for at in range(1, len(ticks)) if ticks[at].time_msc != ticks[at - 1].time_msc)
    return min(places, key=lambda at: abs(2 * at - len(ticks)), default=0)


def _say(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(reason.split())[:SHOWN_MAX]


def _reason(answer: _Answer) -> str:
    if 300 <= answer.status < 400:
        to = answer.headers.get("Location", "elsewhere")[:SHOWN_MAX]
        return f"{answer.status}, ask {to}"
    told = answer.body.get("detail") if isinstance(answer.body, dict) else None
    phrase = http.client.responses.get(answer.status, "")
    return f"{answer.status}, {str(told or phrase)[:SHOWN_MAX]}"
