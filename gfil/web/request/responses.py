"""JSON answers, compression and security headers."""

import gzip
from typing import Any

import orjson
from flask import Flask, Response, current_app, request

COMPRESS_BYTES_MIN = 1400  # a smaller body fits one packet anyway
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


def init_app(app: Flask) -> None:
    """Compress large answers for clients that accept gzip."""
    app.after_request(_compress)


def json_response(body: Any, status: int = 200, content_type: str = "application/json") -> Response:
    """Return a JSON answer; named tuples become arrays, dataclasses objects."""
    data = orjson.dumps(body, default=tuple)
    return current_app.response_class(data, status, content_type=content_type)


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
