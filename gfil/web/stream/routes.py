"""Live candles over HTTP: server-sent events at `/api/v1/stream`."""

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
from gfil.errors import BadParameter, Busy
from gfil.store import api_keys, symbols
from gfil.store.engine.pool import Pool
from gfil.web.request.connections import read_db, release_read_db
from gfil.web.request.parameters import text_parameter
from gfil.web.request.scope import scope
from gfil.web.stream.client_queue import ClientQueue, Position, Sub
from gfil.web.stream.hub import LOOK_S, Hub

bp = Blueprint("stream", __name__)

SUBS_MAX = 32
WAIT_S = 1.0  # between looks whether the client is still there
CHECK_S = 15.0  # and whether its key is still good
LIFE_S = (3300, 3900)  # the longest, at random: not all come again at once
SEND_BYTES_MAX = 64 * 1024  # that wait for a client; Linux would hold 4 MB for each
UNTAKEN_MS = 30_000  # that a client may take nothing; by default it is a quarter of an hour
POSITION = re.compile(r"([0-9A-Za-z]{1,64})-([0-9]{1,16})")


def init_app(app: Flask) -> None:
    """Give the application what its streams follow."""
    settings = app.config["SETTINGS"]
    app.extensions["live"] = live = Hub(settings.db, settings.streams_max)
    app.extensions["jobs"].add("live", LOOK_S, live.look)


@bp.get("/api/v1/stream")
@scope("read")
def read() -> Response:
    """Send the state of every candle that changes, as long as the client likes."""
    subs, since = _parse_subs(request.args.getlist("sub")), _parse_since()
    if not current_app.extensions["jobs"].is_running:
        raise Busy("nothing is followed in this process")
    release_read_db()
    response = current_app.response_class(mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would wait for more
    if request.method != "HEAD":
        live: Hub = current_app.extensions["live"]
        viewer = live.join(subs, since)
        response.response = _Stream(viewer)
        response.call_on_close(partial(live.leave, viewer))
    return response


def _parse_subs(texts: Sequence[str]) -> list[Sub]:
    if not 1 <= len(texts) <= SUBS_MAX:
        raise BadParameter(f"1 to {SUBS_MAX} sub=SYMBOL,TF[,CLOCK] are needed, not {len(texts)}")
    return list(dict.fromkeys(_parse_sub(text) for text in texts))


def _parse_sub(text: str) -> Sub:
    name, *rest = text.split(",")
    if not name or len(rest) not in (1, 2):
        raise BadParameter(f"a sub is SYMBOL,TF or SYMBOL,TF,CLOCK, not {text[:100]!r}")
    timeframe = timeframes.parse(rest[0])
    clock = clocks.parse(rest[1] if len(rest) > 1 else "UTC")
    return Sub(symbols.read(read_db(), name).name, timeframe, clock)


def _parse_since() -> Position | None:
    last_id = request.headers.get("Last-Event-ID", "")
    text = last_id or text_parameter("since", "")
    if not text:
        return None
    match = POSITION.fullmatch(text)
    if match:
        return Position(match[1], int(match[2]))
    if last_id:  # a browser sends what it was sent, by whomever: it shall read anew
        return Position("", 0)
    raise BadParameter("since must be EPOCH-CHANGE, as in the id of an event")


class _Stream:
    # The body. It ends when the server does, when the client or the right of its key is gone, and
    # after its longest life.
    def __init__(self, viewer: ClientQueue) -> None:
        self._viewer = viewer
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
            if events := self._viewer.take(WAIT_S):
                return events
        raise StopIteration

    def _may_go_on(self) -> bool:
        now = time.monotonic()
        if self._stopping.is_set() or now > self._ends or self._is_left():
            return False
        if now < self._check_due:
            return True
        self._check_due = now + CHECK_S
        return self._may_read()

    def _is_left(self) -> bool:
        if self._client is None:
            return False
        try:
            return self._client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


def _limit(client: socket.socket) -> None:
    # Who has vanished without a word, or reads no more, shall not hold a stream for long (tcp(7)).
    with contextlib.suppress(OSError):  # it has gone already, which is seen soon enough
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES_MAX)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # of Linux
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNTAKEN_MS)


def _watch_key() -> Callable[[], bool]:
    # Returns a function to call when the request is long over.
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
