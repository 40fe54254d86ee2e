"""What every route shares: the request's snapshot, its parameters, the shape of answers."""

import gzip
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import apsw
import orjson
from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from gfil import clocks
from gfil.errors import BadParameter, Busy, GfilError, TooManyRequests, Unauthorized
from gfil.store.engine import connection
from gfil.store.engine.pool import Pool, Writer

PROBLEM = "application/problem+json"
COMPRESS_BYTES_MIN = 1400  # below that it is one packet anyway
COMPRESS_LEVEL = 1
COMPRESSED_TYPES = ("application/json", "text/csv", "text/html")

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

View = TypeVar("View", bound=Callable[..., Any])


def scope(name: str) -> Callable[[View], View]:
    """Declare who may use a route: `open`, or keys of at least `read`, `write`, `admin`.

    `key` is a key of any scope, also where everybody may read.
    """

    def declare(view: View) -> View:
        view.scope = name  # type: ignore[attr-defined]
        return view

    return declare


def init_app(app: Flask, pool: Pool, writer: Writer) -> None:
    """Give the application its connections, error shape and compression."""
    app.extensions["pool"] = pool
    app.extensions["writer"] = writer
    app.teardown_request(_release)
    app.register_error_handler(GfilError, _tell_error)
    app.register_error_handler(HTTPException, _tell_http_error)
    app.register_error_handler(Exception, _tell_unforeseen)
    app.after_request(_compress)


def has_key_header() -> bool:
    """Say whether a program sent a key, right or wrong."""
    return "Authorization" in request.headers or "X-API-Key" in request.headers


def read_db() -> apsw.Connection:
    """Return this request's read-only connection; all its reads see one state of the database."""
    if "db" not in g:
        g.db = current_app.extensions["pool"].take()
    connection: apsw.Connection = g.db
    return connection


def release_read_db() -> None:
    """Give this request's read-only connection back early: the next `reading` is of a new state."""
    _release(None)


@contextmanager
def write_transaction() -> Iterator[apsw.Connection]:
    """Run the block as one write: all of it is committed, or nothing.

    Raises:
        As `Writer.transaction`.
    """
    with current_app.extensions["writer"].transaction() as db:
        yield db


def _release(error: BaseException | None) -> None:
    if "db" in g:
        is_sound = error is None and "has_failed" not in g
        current_app.extensions["pool"].give(g.pop("db"), is_sound=is_sound)


def json_response(body: Any, status: int = 200, content_type: str = "application/json") -> Response:
    """Return a JSON answer; named tuples become arrays, dataclasses objects."""
    data = orjson.dumps(body, default=tuple)
    return current_app.response_class(data, status, content_type=content_type)


def text_parameter(name: str, default: str | None = None) -> str:
    """Return a query parameter that must be given where there is no default.

    Raises:
        BadParameter: it is missing, or given twice.
    """
    values = request.args.getlist(name)
    if len(values) > 1:
        raise BadParameter(f"{name} is given {len(values)} times")
    if not values or (not values[0] and default is None):
        if default is None:
            raise BadParameter(f"{name} is missing")
        return default
    return values[0]


def instant_parameter(name: str) -> int | None:
    """Return a query parameter that names an instant, or None where it is not given."""
    text = text_parameter(name, "")
    return clocks.parse_instant(text) if text else None


def number_parameter(name: str, default: int, least: int, most: int) -> int:
    """Return a whole-number query parameter.

    Raises:
        BadParameter: it is no number of the range; nothing is clamped.
    """
    text = text_parameter(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 18 or not least <= int(text) <= most:
        raise BadParameter(f"{name} must be a whole number from {least} to {most}")
    return int(text)


def check_parameters(*known: str) -> None:
    """Refuse query parameters that a route which writes does not know: a typo must not store.

    Raises:
        BadParameter: there is one.
    """
    for name in request.args:
        if name not in known:
            raise BadParameter(f"unknown parameter {name[:32]!r}: this route has {' '.join(known)}")


def choice_parameter(name: str, choices: Sequence[str]) -> str:
    """Return a query parameter that is one of a few words; the first where it is not given.

    Raises:
        BadParameter: it is another word.
    """
    text = text_parameter(name, "") or choices[0]
    if text not in choices:
        known = " ".join(filter(None, choices))
        raise BadParameter(f"{name} must be one of {known}, not {text[:32]!r}")
    return text


def flag_parameter(name: str) -> bool:
    """Return whether a query parameter is 1 or true.

    Raises:
        BadParameter: it is neither that nor 0 or false.
    """
    return choice_parameter(name, ("0", "1", "false", "true")) in ("1", "true")


def error_headers(error: GfilError) -> dict[str, str]:
    """Return the headers that belong to an error's status."""
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


def _tell_error(error: GfilError) -> Response:
    response = _problem(error.status, error.type, error.title, error.detail, error.extra)
    response.headers.update(error_headers(error))
    return response


def _tell_http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:  # a redirect
        return error.get_response()  # type: ignore[return-value]
    kind = error.name.lower().replace(" ", "_")
    response = _problem(status, kind, error.name, error.description or error.name)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _tell_unforeseen(error: Exception) -> Response:
    g.has_failed = True
    if isinstance(error, apsw.Error) and isinstance(
        known := connection.translate(error), GfilError
    ):
        return _tell_error(known)
    g.unforeseen = error
    return _problem(
        500, "internal_error", "Internal error", "something went wrong; it is in the log"
    )


def _compress(response: Response) -> Response:
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if response.mimetype not in COMPRESSED_TYPES or response.is_streamed:
        return response
    response.vary.add("Accept-Encoding")
    wanted = request.accept_encodings["gzip"] and "Content-Encoding" not in response.headers
    if wanted and (response.content_length or 0) >= COMPRESS_BYTES_MIN:
        response.set_data(gzip.compress(response.get_data(), COMPRESS_LEVEL, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response
