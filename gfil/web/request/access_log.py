"""What is logged of requests: those that failed, were refused, or took long; each has an id."""

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

REQUEST_ID = re.compile(r"(?!gfil_)[A-Za-z0-9._-]{1,64}")  # a key is no id, whoever mistook it
SLOW_S = 1.0
TOLD_ALWAYS = (401, 403, 429)
LENGTH_MAX = 300
LINES_A_MINUTE_MAX = 300  # of what any client can bring about; the metrics count the rest too


def init_app(app: Flask) -> None:
    """Watch every request from its first hook to its last."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    known = _of(g)
    sent = _of(request).environ.get("HTTP_X_REQUEST_ID")
    known.request_id = sent if sent and REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)
    known.began = time.perf_counter()


def _end(response: Response) -> Response:
    known = _of(g)
    if "began" not in known:
        return response
    took_s = time.perf_counter() - known.began
    response.headers["X-Request-ID"] = known.request_id
    response.headers["Server-Timing"] = f"app;dur={1e3 * took_s:.2f}"
    metrics.count_request(_of(request), response.status_code, took_s, known.get("ingest_kind"))
    if response.status_code >= 400 or took_s > SLOW_S or "refused" in known:
        _tell(response, took_s)
    return response


def _of(proxy: Any) -> Any:
    # What stands behind it: each look through it costs a microsecond, and this is every request.
    return proxy._get_current_object()


def _tell(response: Response, took_s: float) -> None:
    status = response.status_code
    if status >= 500:
        level = logging.ERROR
    elif status in TOLD_ALWAYS or took_s > SLOW_S or g.get("refused") or _is_write():
        level = logging.WARNING
    else:
        return
    if status < 500 and not _allowance.take(time.monotonic()):
        return
    key = g.get("key")
    facts: dict[str, Any] = {
        "request_id": g.request_id,
        "method": request.method[:LENGTH_MAX],
        "path": request.path[:LENGTH_MAX],  # without the query, where a key may stand by mistake
        "status": status,
        "ms": round(1e3 * took_s, 1),
        "key": key.id if key else None,
        "address": request.remote_addr,
        "refused": g.get("refused"),
        "detail": g.get("detail"),
    }
    logs.say(level, "request", g.get("unforeseen"), **facts)


class _Allowance:
    # So many lines a minute, so that whoever tries keys or sends nonsense does not fill the log.
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute = self._taken = 0

    def take(self, now: float) -> bool:
        minute = int(now) // 60
        with self._lock:
            left_out = self._taken - LINES_A_MINUTE_MAX
            is_new = minute != self._minute
            if is_new:
                self._minute, self._taken = minute, 0
            self._taken += 1
            is_allowed = self._taken <= LINES_A_MINUTE_MAX
        if is_new and left_out > 0:
            logs.say(logging.WARNING, "requests_left_out", number=left_out)
        return is_allowed


_allowance = _Allowance()


def _is_write() -> bool:
    declared = find_route(request.endpoint)
    return declared is not None and declared.scope in ("write", "admin")
