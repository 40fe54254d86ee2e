"""Access log: one line for each failed, refused or slow request; request ids."""

import logging
import re
import secrets
import threading
import time
from typing import Any

from flask import Flask, Response, g, request

from gfil import logs
from gfil.web.request import metrics
from gfil.web.request.route import find_route

REQUEST_ID = re.compile(r"(?!gfil_)[A-Za-z0-9._-]{1,64}")  # never log a key sent as an id
SLOW_S = 1.0
LOGGED_ALWAYS = (401, 403, 429)
LENGTH_MAX = 300
LINES_PER_MINUTE_MAX = 300  # for errors that clients cause; the metrics count all of them


def init_app(app: Flask) -> None:
    """Time every request from the first hook to the last."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    context = _unwrap(g)
    sent = _unwrap(request).environ.get("HTTP_X_REQUEST_ID")
    context.request_id = sent if sent and REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)
    context.began = time.perf_counter()


def _end(response: Response) -> Response:
    context = _unwrap(g)
    if "began" not in context:
        return response
    took_s = time.perf_counter() - context.began
    response.headers["X-Request-ID"] = context.request_id
    response.headers["Server-Timing"] = f"app;dur={1e3 * took_s:.2f}"
    kind = context.get("ingest_kind")
    metrics.count_request(_unwrap(request), response.status_code, took_s, kind)
    if response.status_code >= 400 or took_s > SLOW_S or "refused" in context:
        _log(response, took_s)
    return response


def _unwrap(proxy: Any) -> Any:
    # Each access through the proxy costs a microsecond, on every request.
    return proxy._get_current_object()


def _log(response: Response, took_s: float) -> None:
    status = response.status_code
    if status >= 500:
        level = logging.ERROR
    elif status in LOGGED_ALWAYS or took_s > SLOW_S or g.get("refused") or _is_write():
        level = logging.WARNING
    else:
        return
    if status < 500 and not _allowance.take(time.monotonic()):
        return
    key = g.get("key")
    facts: dict[str, Any] = {
        "request_id": g.request_id,
        "method": request.method[:LENGTH_MAX],
        "path": request.path[:LENGTH_MAX],  # without the query, which may hold a key by mistake
        "status": status,
        "ms": round(1e3 * took_s, 1),
        "key": key.id if key else None,
        "address": request.remote_addr,
        "refused": g.get("refused"),
        "detail": g.get("detail"),
    }
    logs.log_event(level, "request", g.get("unforeseen"), **facts)


class _Allowance:
    # A limit of lines per minute: a client that guesses keys must not fill the log.
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute = self._taken = 0

    def take(self, now: float) -> bool:
        minute = int(now) // 60
        with self._lock:
            left_out = self._taken - LINES_PER_MINUTE_MAX
            is_new = minute != self._minute
            if is_new:
                self._minute, self._taken = minute, 0
            self._taken += 1
            is_allowed = self._taken <= LINES_PER_MINUTE_MAX
        if is_new and left_out > 0:
            logs.log_event(logging.WARNING, "requests_left_out", number=left_out)
        return is_allowed


_allowance = _Allowance()


def _is_write() -> bool:
    declared = find_route(request.endpoint)
    return declared is not None and declared.scope in ("write", "admin")
