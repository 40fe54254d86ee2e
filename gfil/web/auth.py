"""Who may do what: the scope of a route against what a request brings."""

import ipaddress

from flask import current_app, request

from gfil.errors import Forbidden, Unauthorized

FORWARDING_HEADERS = ("forwarded", "x-real-ip", "via")


def check() -> None:
    """Refuse a request that its route's scope does not allow; runs before every route.

    Raises:
        Unauthorized: a key is asked for, or the one given is not valid.
        Forbidden: reading is open to this machine only, and the request comes from elsewhere.
    """
    if request.endpoint is None:
        return  # no such route: a plain 404
    scope = getattr(current_app.view_functions[request.endpoint], "scope", None)
    if scope == "open":
        return
    if "Authorization" in request.headers or "X-API-Key" in request.headers:
        raise Unauthorized("this key is not valid")
    settings = current_app.config["SETTINGS"]
    if (
        scope != "read"
        or settings.read == "key"
        or (settings.read is None and not settings.loopback)
    ):
        raise Unauthorized("a key is needed")
    if settings.read is None and not _is_direct():
        raise Forbidden(
            "reading is open to this machine only: set GFIL_READ=public or GFIL_READ=key "
            "to serve others, as through a proxy"
        )


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
