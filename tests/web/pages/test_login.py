"""Login and logout: the form, the cookie, and where they redirect."""

from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gfil import create_app
from gfil.config import Settings
from gfil.store import api_keys
from gfil.store.engine import connection
from gfil.web.request import auth
from tests.web.conftest import NOW, client_with


def log_in(client: FlaskClient, secret: str, **extra: str) -> TestResponse:
    """Send the form of the login page."""
    return client.post("/login", data={"key": secret, **extra})


def test_login_cookie_reads_until_its_key_is_revoked(
    settings: Settings, secrets: dict[str, str]
) -> None:
    client = client_with(settings, "key")
    sent_on = client.get("/chart/X?tf=H4")
    assert sent_on.status_code == 303
    assert sent_on.location == "/login?next=%2Fchart%2FX%3Ftf%3DH4"
    assert client.get("/login").status_code == 200
    done = log_in(client, secrets["read"], next="/chart/X?tf=H4")
    assert (done.status_code, done.location) == (303, "/chart/X?tf=H4")
    cookie = done.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    assert secrets["read"] not in cookie
    assert client.get("/api/v1/symbols").status_code == 200
    db = connection.connect(settings.db)
    with connection.transaction(db):
        api_keys.revoke(db, secrets["read"][5:13], now=NOW)
    assert client.get("/api/v1/symbols").status_code == 401


def test_logout_deletes_the_cookie(settings: Settings, secrets: dict[str, str]) -> None:
    client = client_with(settings, "key")
    log_in(client, secrets["admin"])
    assert client.get("/").status_code == 200
    assert client.post("/logout").status_code == 303
    assert client.get("/").status_code == 303


def test_cookie_is_secure_behind_a_trusted_proxy_with_tls(
    settings: Settings, secrets: dict[str, str]
) -> None:
    client = create_app(replace(settings, read="key", proxies=1)).test_client()
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    done = client.post("/login", data={"key": secrets["read"]}, headers=headers)
    assert "Secure" in done.headers["Set-Cookie"]


@pytest.mark.parametrize("key", ["", "nonsense", "expired", "revoked"])
def test_invalid_key_does_not_log_in_and_is_not_shown(
    settings: Settings, secrets: dict[str, str], key: str
) -> None:
    auth._bad_keys.clear()
    client = client_with(settings, "key")
    refused = log_in(client, secrets.get(key, key))
    assert refused.status_code == 401
    assert "Set-Cookie" not in refused.headers
    assert secrets.get(key, "gfil_") not in refused.text.replace("scripts/gfil", "")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"key=" + b"x" * 4092, 401),
        (b"key=" + b"x" * 4093, 413),
        (b"&".join([b"a=b"] * 10), 401),
        (b"&".join([b"a=b"] * 11), 400),
        (b"key=\xff", 400),
        (b"key=%ff", 400),
        (b"\0", 401),
    ],
)
def test_form_is_limited_in_size_and_fields(settings: Settings, body: bytes, status: int) -> None:
    auth._bad_keys.clear()
    assert client_with(settings, "key").post("/login", data=body).status_code == status


@pytest.mark.parametrize(
    "place", ["//evil.example", "https://evil.example", "/\\evil", "x", "/a\nb"]
)
def test_login_redirects_to_paths_of_this_server_only(
    settings: Settings, secrets: dict[str, str], place: str
) -> None:
    assert log_in(client_with(settings, "key"), secrets["read"], next=place).location == "/"


@pytest.mark.parametrize("origin", ["http://[", "null", "https://evil.example", "localhost", ""])
def test_form_of_another_origin_does_not_log_in(
    settings: Settings, secrets: dict[str, str], origin: str
) -> None:
    headers = {"Origin": origin}
    client = client_with(settings, "key")
    response = client.post("/login", data={"key": secrets["read"]}, headers=headers)
    assert response.status_code == 403
    own = {"Origin": "http://localhost"}
    assert client.post("/login", data={"key": secrets["read"]}, headers=own).status_code == 303
