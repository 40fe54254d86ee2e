"""Who may do what: the scope of a route against the key or cookie a request brings."""

import ipaddress
import os
import secrets
import time
from collections import OrderedDict
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from flask import Blueprint, Response, current_app, g, redirect, render_template, request
from itsdangerous import BadSignature, URLSafeTimedSerializer

from gfil.errors import (
    Busy,
    DatabaseError,
    DiskFull,
    Forbidden,
    TooManyRequests,
    Unauthorized,
)
from gfil.store import api_keys
from gfil.store.api_keys import ApiKey
from gfil.web.request import body
from gfil.web.request.connections import read_db
from gfil.web.request.responses import PAGE_HEADERS
from gfil.web.request.scope import scope

bp = Blueprint("auth", __name__)

FORWARDING_HEADERS = ("forwarded", "x-real-ip", "via")
COOKIE = "gfil_key"
COOKIE_MAX_AGE_S = 90 * 86400
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
BAD_KEYS_MAX = 10  # from one address within the window; beyond, it has to wait
BAD_KEYS_WINDOW_S = 60
ADDRESSES_MAX = 10_000
MARK_WAIT_MS = 100


def check() -> None:
    """Refuse a request that its route's scope does not allow; runs before every route.

    The key found is `g.key`; a good one is never throttled.

    Raises:
        Unauthorized: a key is asked for, or the one given is not valid.
        TooManyRequests: this address has tried too many that are not.
        Forbidden: the key's scope is too narrow; or reading is open to this machine only, and the
            request comes from elsewhere; or a page of another origin sent the cookie.
    """
    if request.endpoint is None:
        return  # no such route: a plain 404
    needed = getattr(current_app.view_functions[request.endpoint], "scope", None)
    if needed == "open":
        return
    g.key = _key_of_request()
    if g.key is not None:
        if needed is None or not (needed == "key" or g.key.allows(needed)):
            raise Forbidden(f"this key's scope is {g.key.scope}; {needed} is needed")
        return
    settings = current_app.config["SETTINGS"]
    if needed != "read" or settings.read == "key" or (not settings.read and not settings.loopback):
        raise Unauthorized("a key is needed")
    if settings.read is None and not _is_direct():
        raise Forbidden(
            "reading is open to this machine only: set GFIL_READ=public or GFIL_READ=key "
            "to serve others, as through a proxy"
        )


def _key_of_request() -> ApiKey | None:
    header = request.headers.get("Authorization")
    if header is not None:
        kind, _, secret = header.partition(" ")
        return _check_secret(secret.strip() if kind.lower() == "bearer" else "")
    secret = request.headers.get("X-API-Key", "")
    if secret or "X-API-Key" in request.headers:
        return _check_secret(secret.strip())
    return _key_of_cookie()


def _check_secret(secret: str) -> ApiKey:
    now = time.time()
    key = api_keys.check(read_db(), secret, now=now)
    if key is None:
        _count_bad_key(request.remote_addr or "", time.monotonic())
        raise Unauthorized("this key is not valid")
    if key.last_used != api_keys.used_on(now):
        _mark_used(key, now)
    return key


def _mark_used(key: ApiKey, now: float) -> None:
    # Whatever is in the way, reading goes on: the next request of today tries again.
    with (
        suppress(Busy, DiskFull, DatabaseError),
        current_app.extensions["writer"].transaction(MARK_WAIT_MS) as db,
    ):
        api_keys.mark_used(db, key, now=now)


# Address → when its window began, and how many bad keys came in it. Of this process alone: several
# workers let through a few more, which changes nothing against 256 random bits.
_bad_keys: OrderedDict[str, tuple[float, int]] = OrderedDict()


def _count_bad_key(address: str, now: float) -> None:
    began, count = _bad_keys.pop(address, (now, 0))
    if now - began >= BAD_KEYS_WINDOW_S:
        began, count = now, 0
    _bad_keys[address] = (began, count + 1)
    if len(_bad_keys) > ADDRESSES_MAX:
        _bad_keys.popitem(last=False)
    if count >= BAD_KEYS_MAX:
        wait_s = int(began + BAD_KEYS_WINDOW_S - now) + 1
        raise TooManyRequests("too many keys that are not valid from this address", wait_s)


def _key_of_cookie() -> ApiKey | None:
    value = request.cookies.get(COOKIE)
    if value is None:
        return None
    try:
        key_id = _signer().loads(value, max_age=COOKIE_MAX_AGE_S)
    except BadSignature:
        return None  # of another secret: as if it were not there
    key = api_keys.find(read_db(), key_id) if isinstance(key_id, str) else None
    if key is None or not key.is_valid(time.time()):
        return None
    if request.method not in SAFE_METHODS and not _is_same_origin():
        raise Forbidden("the cookie counts only on pages of this server")
    return key


def _is_same_origin() -> bool:
    return request.headers.get("Origin") in (f"http://{request.host}", f"https://{request.host}")


def _is_direct() -> bool:
    names = [name.lower() for name, _ in request.headers]
    if any(name in FORWARDING_HEADERS or name.startswith("x-forwarded-") for name in names):
        return False
    host = request.host.rpartition(":")[0] if request.host[-1:].isdigit() else request.host
    host = (host or request.host).strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _signer() -> URLSafeTimedSerializer:
    settings = current_app.config["SETTINGS"]
    return URLSafeTimedSerializer(settings.secret or _read_secret(settings.db), salt="login")


@lru_cache(maxsize=8)
def _read_secret(database: Path) -> str:
    path = database.with_suffix(".secret")
    if not path.exists():
        unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(unfinished, path)  # whoever comes first: all workers sign with one secret
        except FileExistsError:
            pass
        finally:
            unfinished.unlink()
    return path.read_text().strip()


@bp.get("/login")
@scope("open")
def login() -> Response:
    """Show the form that takes a key."""
    return _login_page(_key_of_cookie(), None, _local_path(request.args.get("next", "")))


@bp.post("/login")
@scope("open")
def log_in() -> Response:
    """Take any valid key and give its cookie; back to where the person came from."""
    if request.headers.get("Origin") is not None and not _is_same_origin():
        raise Forbidden("this form counts only on pages of this server")
    form = body.read_form()
    path = _local_path(form.get("next", ""))
    try:
        key = _check_secret(form.get("key", "").strip())
    except (Unauthorized, TooManyRequests) as error:
        page = _login_page(None, error.detail, path)
        page.status_code = error.status
        return page
    response = redirect(path, 303)
    response.set_cookie(
        COOKIE,
        str(_signer().dumps(key.id)),
        max_age=COOKIE_MAX_AGE_S,
        httponly=True,
        samesite="Lax",
        secure=request.is_secure,
    )
    return response  # type: ignore[return-value]


@bp.post("/logout")
@scope("open")
def log_out() -> Response:
    """Take the cookie away."""
    response = redirect("/login", 303)
    response.delete_cookie(COOKIE, httponly=True, samesite="Lax", secure=request.is_secure)
    return response  # type: ignore[return-value]


def _login_page(key: ApiKey | None, refusal: str | None, path: str) -> Response:
    html = render_template("login.html", key=key, refusal=refusal, next=path)
    response = current_app.response_class(html, headers=PAGE_HEADERS, content_type="text/html")
    response.headers["Cache-Control"] = "no-store"
    return response


def _local_path(path: str) -> str:
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_local else "/"
