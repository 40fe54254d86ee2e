"""Pages: blueprint with error pages, the response of a page, JSON inlined in HTML."""

from typing import Any
from urllib.parse import urlencode

import orjson
from flask import Blueprint, Response, g, redirect, render_template, request

from gfil.errors import GfilError, Unauthorized
from gfil.web.request.problems import error_headers, has_key_header
from gfil.web.request.responses import PAGE_HEADERS

# Inside a <script> element these characters could end it or break its text.
INLINE_ESCAPES = (
    ("<", "\\u003c"),
    (">", "\\u003e"),
    ("&", "\\u0026"),
    ("\u2028", "\\u2028"),
    ("\u2029", "\\u2029"),
)


def page_blueprint(name: str) -> Blueprint:
    """Return a blueprint for pages, which answers errors as pages."""
    bp = Blueprint(name, __name__)
    bp.register_error_handler(GfilError, refuse)
    return bp


def refuse(error: GfilError) -> Response:
    """Return the page of an error; without a key, redirect to the login form."""
    if isinstance(error, Unauthorized) and not has_key_header():
        path = request.full_path.rstrip("?")
        return redirect(f"/login?{urlencode({'next': path})}", 303)  # type: ignore[return-value]
    g.detail = error.detail  # for the log
    response = render_page("error.html", title=error.title, detail=error.detail)
    response.status_code = error.status
    response.headers.update(error_headers(error))
    return response


def render_page(template: str, **names: Any) -> Response:
    """Return the page of a template."""
    return send_page(render_template(template, **names))


def send_page(text: str | bytes) -> Response:
    """Return a page; browsers revalidate it at every visit."""
    response = Response(text, headers=PAGE_HEADERS, mimetype="text/html")
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def inline_json(data: Any) -> str:
    """Return data as JSON that can stand in a <script> element."""
    text = orjson.dumps(data).decode()
    for character, escaped in INLINE_ESCAPES:
        text = text.replace(character, escaped)
    return text
