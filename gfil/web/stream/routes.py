"""`GET /api/v1/stream`: live candles as server-sent events."""

import contextlib
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from flask import Blueprint, Flask, Response, current_app, g, request

from gfil import clocks, timeframes
from gfil.errors import BadParameter, Busy, SymbolUnknown
from gfil.store import api_keys, symbols
from gfil.store.engine.pool import Pool
from gfil.web.request.connections import read_db, release_read_db
from gfil.web.request.parameters import Parameter, text
from gfil.web.request.route import Content, route
from gfil.web.request.schema import TEXT, array
from gfil.web.stream.client_queue import ClientQueue, Position, Sub
from gfil.web.stream.hub import POLL_S, Hub

bp = Blueprint("stream", __name__)

SUBS_MAX = 32
WAIT_S = 1.0  # between checks whether the client is still connected
CHECK_S = 15.0  # between checks whether the key is still valid
LIFE_S = (3300, 3900)  # random length of a stream: clients reconnect spread over time
SEND_BYTES_MAX = 64 * 1024  # send buffer of a client; Linux would grow it to 4 MB
UNACKED_MS = 30_000  # a client that acknowledges nothing for so long is dropped; default 15 min
POSITION = re.compile(r"([0-9A-Za-z]{1,64})-([0-9]{1,16})")


def init_app(app: Flask) -> None:
    """Attach the hub to the application, and add the job that polls for commits."""
    settings = app.config["SETTINGS"]
    app.extensions["hub"] = hub = Hub(settings.db, settings.streams_max)
    app.extensions["jobs"].add("hub", POLL_S, hub.poll)


def _parse_sub(text: str) -> Sub:
    name, *rest = text.split(",")
    if not name or len(rest) not in (1, 2):
        raise BadParameter(f"a sub is SYMBOL,TF or SYMBOL,TF,CLOCK, not {text[:100]!r}")
    return Sub(name, timeframes.parse(rest[0]), clocks.parse(rest[1] if len(rest) > 1 else "UTC"))


def _parse_subs(texts: Sequence[str]) -> list[Sub]:
    if len(texts) > SUBS_MAX:
        raise BadParameter(f"1 to {SUBS_MAX} sub=SYMBOL,TF[,CLOCK] are needed, not {len(texts)}")
    return [_parse_sub(each) for each in texts]


def _parse_position(text: str) -> Position:
    match = POSITION.fullmatch(text)
    if not match:
        raise BadParameter("since must be EPOCH-CHANGE, as in the id of an event")
    return Position(match[1], int(match[2]))


SUB = Parameter(
    "sub",
    "Subscription: SYMBOL,TF or SYMBOL,TF,CLOCK (default clock: UTC). May be repeated.",
    array(TEXT, minItems=1, maxItems=SUBS_MAX),
    _parse_subs,
    required=True,
    example=["XAUUSD,M1", "EURUSD,H4,nyclose"],
    argument="subs",
    is_list=True,
)
SINCE = Parameter(
    "since",
    "Id of the last received event, or EPOCH-CHANGE of an answer: later changes are sent first.",
    {"type": "string", "pattern": f"^{POSITION.pattern}$"},
    _parse_position,
)
LAST_EVENT_ID = text(
    "Last-Event-ID",
    "Like `since`, with precedence over it; browsers send this header when they reconnect.",
    place="header",
)
EVENT_EXAMPLE = (
    "event: candle\n"
    'data: {"symbol":"XAUUSD","tf":"M1","clock":"UTC",'
    '"candle":[1747733100,3229.5,3229.9,3229.4,3229.8,41.0]}\n'
    "id: 4f0c1d2e-1208\n\n"
)


@route(
    bp,
    "GET",
    "/api/v1/stream",
    scope="read",
    parameters=[SUB, SINCE, LAST_EVENT_ID],
    answers=[Content(TEXT, "text/event-stream", EVENT_EXAMPLE)],
    errors=[SymbolUnknown],
)
def stream_candles(subs: Sequence[Sub], since: Position | None) -> Response:
    """Live stream of every candle of the subscriptions that changes.

    `event: candle` holds the state of a candle. `event: reset` asks the client to reload its
    candles. `event: heartbeat` comes every 15 s. A stream resumes from the `id` of its last event
    without a hole.
    """
    subs, since = _find_symbols(subs), _last_event() or since
    if not current_app.extensions["jobs"].is_running:
        raise Busy("this process runs no live streams")
    release_read_db()
    response = current_app.response_class(mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would wait for more
    if request.method != "HEAD":
        hub: Hub = current_app.extensions["hub"]
        queue = hub.join(subs, since)
        response.response = _Stream(queue)
        response.call_on_close(partial(hub.leave, queue))
    return response


def _find_symbols(subs: Sequence[Sub]) -> list[Sub]:
    db = read_db()
    found = (sub._replace(symbol=symbols.read(db, sub.symbol).name) for sub in subs)
    return list(dict.fromkeys(found))


def _last_event() -> Position | None:
    given = request.headers.get("Last-Event-ID")
    if not given:
        return None
    match = POSITION.fullmatch(given)
    # A browser repeats any id it received, also of another server: an unknown id means a reset.
    return Position(match[1], int(match[2])) if match else Position("", 0)


class _Stream:
    # The body. It ends when the server stops, the client disconnects, the key becomes invalid, or
    # the stream reaches its longest life.
    def __init__(self, queue: ClientQueue) -> None:
        self._queue = queue
        self._stopping: threading.Event = current_app.extensions["jobs"].stopping
        self._client: socket.socket | None = request.environ.get("gunicorn.socket")
        if self._client is not None:
            _limit(self._client)
        self._may_read = _watch_key()
        self._ends = time.monotonic() + random.uniform(*LIFE_S)
        self._check_due = time.monotonic() + CHECK_S

    def __iter__(self) -> "_Stream":
        return self

    def __next__(self) -> bytes:
        while self._may_go_on():
            if chunk := self._queue.next_chunk(WAIT_S):
                return chunk
        raise StopIteration

    def _may_go_on(self) -> bool:
        now = time.monotonic()
        if self._stopping.is_set() or now > self._ends or self._is_disconnected():
            return False
        if now < self._check_due:
            return True
        self._check_due = now + CHECK_S
        return self._may_read()

    def _is_disconnected(self) -> bool:
        if self._client is None:
            return False
        try:
            return self._client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


def _limit(client: socket.socket) -> None:
    # A client that vanishes without closing, or stops reading, loses its stream soon (tcp(7)).
    with contextlib.suppress(OSError):  # already disconnected; the next check finds out
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES_MAX)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux only
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKED_MS)


def _watch_key() -> Callable[[], bool]:
    # Returns a function that works after the request has ended.
    if g.key is None:
        return lambda: True
    pool: Pool = current_app.extensions["pool"]
    key_id: str = g.key.id

    def may_read() -> bool:
        db = pool.acquire()
        try:
            key = api_keys.find(db, key_id)
        finally:
            pool.release(db)
        return key is not None and key.is_valid(time.time())

    return may_read
