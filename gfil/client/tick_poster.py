"""HTTP client that posts ticks and retries each batch until the server accepts it."""

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
RETRY_S = 120.0  # for a server that has answered before and is unreachable or busy now
WAIT_FIRST_S, WAIT_MAX_S = 0.25, 10.0
RETRY_AFTER_MAX_S = 60.0
SHOWN_MAX = 200  # characters of an error text of the server


class Tick(NamedTuple):
    """Tick to post, with its row number in the source. `time_msc` is UNIX ms."""

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
    """Address of a server; `base` is the path prefix of its routes, usually empty."""

    scheme: str
    host: str
    port: int | None
    base: str

    @property
    def url(self) -> str:
        """The address as a URL."""
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
        BadParameter: the text is not such a URL; or the key would be sent unencrypted to another
            machine and `insecure` is false.
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    is_plain = host and text.isascii() and text.strip().isprintable() and " " not in text.strip()
    if not is_plain or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise BadParameter(f"--url {text[:64]!r} is not a URL such as http://127.0.0.1:8000")
    if parts.username is not None:
        raise BadParameter(
            "--url must not contain a user or password: give the key with --key-file"
        )
    if parts.scheme == "http" and not insecure and not _is_loopback(host):
        raise BadParameter(f"the key would be sent to {host} unencrypted: use https, or --insecure")
    return Server(parts.scheme, host, port, parts.path.removesuffix(PATH).rstrip("/"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Poster:
    """Posts ticks to one server over a kept-alive connection.

    A request that fails for now is retried with a growing delay and the same Idempotency-Key, for
    `retry_s` since it was first sent. Until the server has answered once, the limit is
    `first_retry_s`. `report` receives a line when retrying begins and ends; `sleep` waits.
    """

    def __init__(
        self,
        server: Server,
        key: str,
        *,
        retry_s: float = RETRY_S,
        first_retry_s: float = 0.0,
        report: Callable[[str], object] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._server = server
        self._key = key
        self._retry_s = retry_s
        self._first_retry_s = first_retry_s
        self._report = report
        self._sleep = sleep
        self._has_answered = False
        self._is_retrying = False
        is_tls = server.scheme == "https"
        connect = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
        self._connection = connect(server.host, server.port, timeout=ANSWER_MAX_S)

    def post(self, ticks: Sequence[Tick]) -> Iterator[tuple[Sequence[Tick], dict[str, Any]]]:
        """Post ticks and yield each answer; split the request if the server answers 413.

        Consecutive ticks of one millisecond stay in one request.

        Raises:
            Unauthorized, Forbidden: the key is not valid or lacks the scope `write`.
            TooLarge: the ticks of a single millisecond exceed the limit of the server.
            GfilError: the server refuses the request, or the retries ran out.
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
        started, delay_s = time.monotonic(), WAIT_FIRST_S
        while True:
            answer, retry_after_s = self._try(body, headers)
            if isinstance(answer, dict):
                self._end_retrying()
                return answer
            wait_s = max(delay_s * random.uniform(0.5, 1), retry_after_s)
            self._check_retry_limit(answer, time.monotonic() - started + wait_s)
            self._sleep(wait_s)
            delay_s = min(2 * delay_s, WAIT_MAX_S)

    # Returns the answer of the server; or the error as text and the least delay before a retry.
    def _try(self, body: bytes, headers: Mapping[str, str]) -> tuple[dict[str, Any] | str, float]:
        try:
            answer = self._ask(body, headers)
        except ssl.SSLCertVerificationError as error:
            raise GfilError(f"{self._server.url}: {error.verify_message}") from None
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return f"cannot reach {self._server.url}: {_describe(error)}", 0.0
        self._has_answered = True
        if 200 <= answer.status < 300:
            return self._check(answer.body), 0.0
        reason = _describe_refusal(answer)
        if answer.status >= 500 or answer.status in (408, 429):
            header = answer.headers.get("Retry-After", "")
            retry_after_s = float(header) if header.isascii() and header.isdigit() else 0.0
            return f"{self._server.url}: {reason}", min(retry_after_s, RETRY_AFTER_MAX_S)
        kinds = {401: Unauthorized, 403: Forbidden, 413: TooLarge}
        raise kinds.get(answer.status, GfilError)(f"{self._server.url} refuses: {reason}")

    def _ask(self, body: bytes, headers: Mapping[str, str]) -> _Answer:
        is_kept = self._connection.sock is not None
        try:
            return self._exchange(body, headers)
        except (ConnectionError, http.client.BadStatusLine):
            self._connection.close()
            if not is_kept:
                raise
        # The server may close a kept-alive connection at any time: a new one is no retry.
        return self._exchange(body, headers)

    def _exchange(self, body: bytes, headers: Mapping[str, str]) -> _Answer:
        self._connection.request("POST", self._server.base + PATH, body, dict(headers))
        with self._connection.getresponse() as response:
            text = response.read(ANSWER_BYTES_MAX)
            try:
                parsed = orjson.loads(text)
            except orjson.JSONDecodeError:
                parsed = None
            return _Answer(response.status, response.headers, parsed)

    def _check(self, answer: Any) -> dict[str, Any]:
        if not isinstance(answer, dict) or not {"rows", "inserted", "change"} <= answer.keys():
            raise GfilError(f"{self._server.url} is not a GFIL server: its answer has no counts")
        return answer

    def _check_retry_limit(self, error: str, waited_s: float) -> None:
        limit_s = self._retry_s if self._has_answered else self._first_retry_s
        if waited_s > limit_s:
            tried = f"; gave up after {math.ceil(limit_s)} s" if limit_s else ""
            raise GfilError(f"{error}{tried}")
        if not self._is_retrying:
            self._report(f"{error}; retrying")
        self._is_retrying = True

    def _end_retrying(self) -> None:
        if self._is_retrying:
            self._report(f"{self._server.url} accepts ticks again")
        self._is_retrying = False


def _find_middle(ticks: Sequence[Tick]) -> int:
    # The split nearest to the middle that keeps each millisecond together; 0 without such a split.
    splits = (at for at in range(1, len(ticks)) if ticks[at].time_msc != ticks[at - 1].time_msc)
    return min(splits, key=lambda at: abs(2 * at - len(ticks)), default=0)


def _describe(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(reason.split())[:SHOWN_MAX]


def _describe_refusal(answer: _Answer) -> str:
    if 300 <= answer.status < 400:
        target = answer.headers.get("Location", "an unnamed address")[:SHOWN_MAX]
        return f"{answer.status}, redirects to {target}"
    detail = answer.body.get("detail") if isinstance(answer.body, dict) else None
    phrase = http.client.responses.get(answer.status, "")
    return f"{answer.status}, {str(detail or phrase)[:SHOWN_MAX]}"
