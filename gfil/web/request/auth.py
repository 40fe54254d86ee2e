"""Authorisation: compares the scope of a route with the key or cookie of the request."""

import ipaddress
import os
import secrets
import time
from collections import OrderedDict
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from flask import current_app, g, request
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
from gfil.web.request.connections import read_db
from gfil.web.request.route import find_route

FORWARDING_HEADERS = ("forwarded", "x-real-ip", "via")
COOKIE = "gfil_key"
COOKIE_MAX_AGE_S = 90 * 86400
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
BAD_KEYS_MAX = 10  # of one address within the window; then 429
BAD_KEYS_WINDOW_S = 60
ADDRESSES_MAX = 10_000
MARK_WAIT_MS = 100


def check_scope() -> None:
    """Refuse a request that the scope of its route does not allow; runs before every route.

    A route without a declaration is refused to everyone. `g.key` is the key of the request. A valid
    key is never throttled.

    Raises:
        Unauthorized: a key is required, or the given key is not valid.
        TooManyRequests: the address sent too many invalid keys.
        Forbidden: the key's scope is too narrow; or reading is open to this machine only and the
            request comes from elsewhere; or a page of another origin sent the cookie.
    """
    if request.endpoint is None:
        return  # no such route: 404
    declared = find_route(request.endpoint)
    needed = declared.scope if declared else None
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
        return check_secret(secret.strip() if kind.lower() == "bearer" else "")
    secret = request.headers.get("X-API-Key", "")
    if secret or "X-API-Key" in request.headers:
        return check_secret(secret.strip())
    return read_cookie()


def check_secret(secret: str) -> ApiKey:
    """Return the valid key with this secret, and record that it was used today.

    Raises:
        Unauthorized: no valid key has the secret.
        TooManyRequests: the address of the request sent too many invalid keys.
    """
    now = time.time()
    key = api_keys.check(read_db(), secret, now=now)
    if key is None:
        _count_bad_key(request.remote_addr or "", time.monotonic())
        raise Unauthorized("this key is not valid")
    if key.last_used != api_keys.used_on(now):
        _mark_used(key, now)
    return key


def _mark_used(key: ApiKey, now: float) -> None:
    # A failure must not stop the request: the next request of today tries again.
    with (
        suppress(Busy, DiskFull, DatabaseError),
        current_app.extensions["writer"].transaction(MARK_WAIT_MS) as db,
    ):
        api_keys.mark_used(db, key, now=now)


# Address → start of its window, bad keys within it. Each worker counts alone and so lets through a
# few more, which is harmless against 256 random bits.
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
        raise TooManyRequests("this address sent too many invalid keys", wait_s)


def sign_cookie(key: ApiKey) -> str:
    """Return the value of the cookie that stands for a key."""
    return str(_signer().dumps(key.id))


def read_cookie() -> ApiKey | None:
    """Return the valid key that the cookie of the request stands for, None without one.

    Raises:
        Forbidden: a page of another origin sent the cookie with a request that writes.
    """
    value = request.cookies.get(COOKIE)
    if value is None:
        return None
    try:
        key_id = _signer().loads(value, max_age=COOKIE_MAX_AGE_S)
    except BadSignature:
        return None  # expired, or signed with another secret
    key = api_keys.find(read_db(), key_id) if isinstance(key_id, str) else None
    if key is None or not key.is_valid(time.time()):
        return None
    if request.method not in SAFE_METHODS and not is_same_origin():
        raise Forbidden("the cookie counts only on pages of this server")
    return key


def is_same_origin() -> bool:
    """Return whether a page of this server sent the request."""
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
            os.link(unfinished, path)  # fails for all workers but one: they share one secret
        except FileExistsError:
            pass
        finally:
            unfinished.unlink()
    return path.read_text().strip()
