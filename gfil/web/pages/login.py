"""`/login` and `/logout`: exchange a key for a cookie, and delete the cookie."""

from flask import Response, current_app, redirect, render_template, request

from gfil.errors import Forbidden, TooManyRequests, Unauthorized
from gfil.store.api_keys import ApiKey
from gfil.web.pages.page import page_blueprint
from gfil.web.request import auth, body
from gfil.web.request.parameters import text
from gfil.web.request.responses import PAGE_HEADERS
from gfil.web.request.route import route

bp = page_blueprint("login")


def _local_path(path: str) -> str:
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_local else "/"


NEXT = text("next", "Path to return to.", parse=_local_path, default="/", argument="path")


@route(bp, "GET", "/login", scope="open", parameters=[NEXT])
def show_login(path: str) -> Response:
    """Login form, or the current key and a button to log out."""
    return _login_page(auth.read_cookie(), None, path)


@route(bp, "POST", "/login", scope="open")
def log_in() -> Response:
    """Set the cookie of a valid key, then redirect to the page before."""
    if request.headers.get("Origin") is not None and not auth.is_same_origin():
        raise Forbidden("the form must come from a page of this server")
    form = body.read_form()
    path = _local_path(form.get("next", ""))
    try:
        key = auth.check_secret(form.get("key", "").strip())
    except (Unauthorized, TooManyRequests) as error:
        page = _login_page(None, error.detail, path)
        page.status_code = error.status
        return page
    response = redirect(path, 303)
    response.set_cookie(
        auth.COOKIE,
        auth.sign_cookie(key),
        max_age=auth.COOKIE_MAX_AGE_S,
        httponly=True,
        samesite="Lax",
        secure=request.is_secure,
    )
    return response  # type: ignore[return-value]


@route(bp, "POST", "/logout", scope="open")
def log_out() -> Response:
    """Delete the cookie, then redirect to the login form."""
    response = redirect("/login", 303)
    response.delete_cookie(auth.COOKIE, httponly=True, samesite="Lax", secure=request.is_secure)
    return response  # type: ignore[return-value]


def _login_page(key: ApiKey | None, refusal: str | None, path: str) -> Response:
    html = render_template("login.html", key=key, refusal=refusal, next=path)
    response = current_app.response_class(html, headers=PAGE_HEADERS, content_type="text/html")
    response.headers["Cache-Control"] = "no-store"
    return response
