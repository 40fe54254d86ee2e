"""Errors as `application/problem+json` answers."""

from typing import Any

import apsw
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from gfil.errors import Busy, GfilError, TooManyRequests, Unauthorized
from gfil.store.engine import sqlite_errors
from gfil.web.request.responses import json_response

PROBLEM = "application/problem+json"


def init_app(app: Flask) -> None:
    """Answer every error as a problem document."""
    app.register_error_handler(GfilError, _answer_error)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.register_error_handler(Exception, _answer_unforeseen)


def has_key_header() -> bool:
    """Return whether the request has a key header, valid or not."""
    return "Authorization" in request.headers or "X-API-Key" in request.headers


def error_headers(error: GfilError) -> dict[str, str]:
    """Return the headers that the status of an error requires."""
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": 'Bearer realm="GFIL"'}
    if isinstance(error, (Busy, TooManyRequests)):
        return {"Retry-After": str(error.retry_after_s)}
    return {}


def _problem(status: int, kind: str, title: str, detail: str, extra: Any = None) -> Response:
    g.detail = detail  # for the log
    body = {"type": kind, "title": title, "status": status, "detail": detail, **(extra or {})}
    if status >= 500 and "request_id" in g:
        body["request_id"] = g.request_id
    return json_response(body, status, PROBLEM)


def _answer_error(error: GfilError) -> Response:
    response = _problem(error.status, error.type, error.title, error.detail, error.extra)
    response.headers.update(error_headers(error))
    return response


def _answer_http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:  # a redirect
        return error.get_response()  # type: ignore[return-value]
    kind = error.name.lower().replace(" ", "_")
    response = _problem(status, kind, error.name, error.description or error.name)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _answer_unforeseen(error: Exception) -> Response:
    g.has_failed = True
    if isinstance(error, apsw.Error) and isinstance(
        known := sqlite_errors.translate(error), GfilError
    ):
        return _answer_error(known)
    g.unforeseen = error
    return _problem(
        500,
        "internal_error",
        "Internal error",
        "an internal error occurred; the log has the traceback",
    )
