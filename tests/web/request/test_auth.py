"""Who may read: the setting, the loopback default, and what a proxy in front changes."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from freezegun import freeze_time
from werkzeug.test import TestResponse

from gfil import create_app
from gfil.config import Settings
from gfil.store import api_keys, symbols
from gfil.store.engine import connection
from gfil.web.request import auth, metrics

PATHS = ("/api/v1/symbols", "/api/v1/symbols/X", "/api/v1/candles", "/api/v1/export")
NOW = 1_700_000_000


def client_with(settings: Settings, read: str | None, *, loopback: bool = False) -> FlaskClient:
    """Return a client of an application with this rule for reading."""
    return create_app(replace(settings, read=read, loopback=loopback)).test_client()


def test_every_route_declares_its_scope(settings: Settings) -> None:
    """One that does not is closed, and fails here."""
    app = create_app(settings)
    for rule in app.url_map.iter_rules():
        scope = getattr(app.view_functions[rule.endpoint], "scope", None)
        assert scope in ("open", "key", "read", "write", "admin"), rule.rule


@pytest.mark.parametrize("path", PATHS)
def test_public_reading_needs_no_key_and_any_other_rule_does(settings: Settings, path: str) -> None:
    """Also where the setting is not made and `serve` did not start the process."""
    assert client_with(settings, "public").get(path).status_code not in (401, 403)
    for rule in ("key", None):
        response = client_with(settings, rule).get(path)
        assert response.status_code == 401
        assert "WWW-Authenticate" in response.headers


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Bearer nonsense"}, {"X-API-Key": "nonsense"}, {"Authorization": "Basic x"}],
)
def test_a_wrong_key_is_never_taken_for_none(settings: Settings, headers: dict[str, str]) -> None:
    """Even where nobody needs one."""
    response = client_with(settings, "public").get("/api/v1/symbols", headers=headers)
    assert response.status_code == 401
    assert next(iter(headers.values())) not in response.text


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_on_loopback_its_own_machine_reads(settings: Settings, host: str) -> None:
    """With the setting unset."""
    client = client_with(settings, None, loopback=True)
    assert client.get("/api/v1/symbols", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"X-Forwarded-Proto": "https"},
        {"Forwarded": "for=203.0.113.9"},
        {"X-Real-IP": "203.0.113.9"},
        {"Via": "1.1 caddy"},
        {"Host": "charts.example.com"},
        {"Host": "127.0.0.1.example.com:8000"},
    ],
)
def test_behind_a_proxy_nothing_is_public_by_accident(
    settings: Settings, headers: dict[str, str]
) -> None:
    """The refusal names the setting that decides."""
    client = client_with(settings, None, loopback=True)
    response = client.get("/api/v1/symbols", headers=headers)
    assert response.status_code == 403
    assert response.json is not None
    assert "GFIL_READ" in response.json["detail"]


@pytest.fixture
def secrets(settings: Settings) -> dict[str, str]:
    """A key of each scope, one that has expired and one that is revoked."""
    made = {}
    db = connection.connect(settings.db)
    with connection.transaction(db):
        for scope in api_keys.SCOPES:
            _, made[scope] = api_keys.create(db, scope, scope, now=NOW)
        _, made["expired"] = api_keys.create(db, "e", "admin", now=NOW, expires=NOW + 1)
        revoked, made["revoked"] = api_keys.create(db, "r", "admin", now=NOW)
        api_keys.revoke(db, revoked.id, now=NOW)
    db.close()
    return made


def test_every_route_opens_to_the_keys_of_its_scope_only(
    settings: Settings, secrets: dict[str, str], subtests: pytest.Subtests
) -> None:
    """The route table against every kind of key, with and without a proxy's header."""
    app = create_app(replace(settings, read="key"))
    bad = {"none": None, "wrong": "gfil_aaaaaaaa_" + "A" * 43}
    for rule in app.url_map.iter_rules():
        scope = app.view_functions[rule.endpoint].scope  # type: ignore[attr-defined]
        path = rule.rule.replace("<path:name>", "x").replace("<name>", "X")
        path = path.replace("<symbol>", "X").replace("<version>", "0")
        for method in (rule.methods or set()) - {"OPTIONS"}:
            for kind, secret in (bad | secrets).items():
                auth._bad_keys.clear()
                headers = {"X-Forwarded-For": "203.0.113.9"}
                if secret:
                    headers["X-API-Key"] = secret
                with subtests.test(method=method, rule=rule.rule, kind=kind):
                    client = app.test_client()
                    status = client.open(path, method=method, headers=headers).status_code
                    if (method, path) == ("POST", "/login"):
                        assert status == 401  # no form was sent
                    elif scope == "open":
                        assert status not in (401, 403, 500)
                    elif kind not in api_keys.SCOPES:
                        to_login = rule.endpoint.startswith(metrics.PAGES) and kind == "none"
                        assert status == (303 if to_login else 401)
                    elif scope != "key" and not ranks(kind, scope):
                        assert status == 403
                    else:
                        assert status not in (401, 403, 500)


def ranks(scope: str, needed: str) -> bool:
    """Say whether one scope is the other, or a wider one."""
    return api_keys.SCOPES.index(scope) >= api_keys.SCOPES.index(needed)


@pytest.mark.parametrize("scope", api_keys.SCOPES)
def test_metrics_take_any_key_and_none_is_refused(
    settings: Settings, secrets: dict[str, str], scope: str
) -> None:
    """Even where everybody may read."""
    for rule, loopback in (("public", False), ("key", False), (None, True)):
        client = client_with(settings, rule, loopback=loopback)
        assert client.get("/metrics").status_code == 401
        answer = client.get("/metrics", headers={"X-API-Key": secrets[scope]})
        assert answer.status_code == 200


@pytest.mark.parametrize("style", ["Bearer {}", "bearer {}", None])
def test_a_key_comes_in_either_header(
    settings: Settings, secrets: dict[str, str], style: str | None
) -> None:
    """And never in a URL."""
    client = client_with(settings, "key")
    secret = secrets["read"]
    headers = {"Authorization": style.format(secret)} if style else {"X-API-Key": secret}
    assert client.get("/api/v1/symbols", headers=headers).status_code == 200
    assert client.get(f"/api/v1/symbols?key={secret}").status_code == 401


def test_the_day_of_use_is_remembered(settings: Settings, secrets: dict[str, str]) -> None:
    """Once a day is enough."""
    client = client_with(settings, "key")
    with freeze_time("2026-03-04T05:06:07Z"):
        client.get("/api/v1/symbols", headers={"X-API-Key": secrets["write"]})
    keys = {
        key.name: key for key in api_keys.list_keys(connection.connect(settings.db, readonly=True))
    }
    assert keys["write"].last_used == 1772582400  # 2026-03-04T00:00Z
    assert keys["read"].last_used is None


def test_bad_keys_are_throttled_and_a_good_one_never(
    settings: Settings, secrets: dict[str, str]
) -> None:
    """From one address; after a minute it may try again."""
    auth._bad_keys.clear()
    client = client_with(settings, "key")
    wrong = {"X-API-Key": "wrong"}
    with freeze_time("2026-03-04T05:06:00Z") as clock:
        statuses = [client.get("/api/v1/symbols", headers=wrong).status_code for _ in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        refused = client.get("/api/v1/symbols", headers=wrong)
        assert 0 < int(refused.headers["Retry-After"]) <= 61
        good = client.get("/api/v1/symbols", headers={"X-API-Key": secrets["read"]})
        assert good.status_code == 200
        clock.tick(61)
        assert client.get("/api/v1/symbols", headers=wrong).status_code == 401


def log_in(client: FlaskClient, secret: str, **extra: str) -> TestResponse:
    """Send the form of the login page."""
    return client.post("/login", data={"key": secret, **extra})


def test_a_login_cookie_reads_and_dies_with_its_key(
    settings: Settings, secrets: dict[str, str]
) -> None:
    """Pages send who has none to the form, which leads back."""
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


def test_log_out_takes_the_cookie_away(settings: Settings, secrets: dict[str, str]) -> None:
    """The key itself stays valid."""
    client = client_with(settings, "key")
    log_in(client, secrets["admin"])
    assert client.get("/").status_code == 200
    assert client.post("/logout").status_code == 303
    assert client.get("/").status_code == 303


def test_the_cookie_is_secure_behind_a_trusted_proxy_with_tls(
    settings: Settings, secrets: dict[str, str]
) -> None:
    """Whose scheme is believed because GFIL_PROXIES says so."""
    client = create_app(replace(settings, read="key", proxies=1)).test_client()
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    done = client.post("/login", data={"key": secrets["read"]}, headers=headers)
    assert "Secure" in done.headers["Set-Cookie"]


@pytest.mark.parametrize("key", ["", "nonsense", "expired", "revoked"])
def test_a_key_that_is_not_valid_does_not_log_in(
    settings: Settings, secrets: dict[str, str], key: str
) -> None:
    """And is not shown again."""
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
def test_a_form_is_small_and_plain(settings: Settings, body: bytes, status: int) -> None:
    """Anybody may send one."""
    auth._bad_keys.clear()
    assert client_with(settings, "key").post("/login", data=body).status_code == status


@pytest.mark.parametrize(
    "place", ["//evil.example", "https://evil.example", "/\\evil", "x", "/a\nb"]
)
def test_login_leads_nowhere_else(settings: Settings, secrets: dict[str, str], place: str) -> None:
    """Only to a path of this server."""
    assert log_in(client_with(settings, "key"), secrets["read"], next=place).location == "/"


def test_forged_cookies_count_for_nothing(settings: Settings, secrets: dict[str, str]) -> None:
    """Signed by another secret, or not at all."""
    client = client_with(settings, "key")
    other = client_with(replace(settings, secret="x" * 40), "key")
    cookie = log_in(other, secrets["admin"]).headers["Set-Cookie"].split(";")[0].split("=", 1)[1]
    for value in (cookie, '"zg4au2gf"', "", "\x00"):
        client.set_cookie("gfil_key", value)
        assert client.get("/api/v1/symbols").status_code == 401


def test_the_secret_is_made_once_and_readable_by_its_owner_only(settings: Settings) -> None:
    """Beside the database."""
    made = {auth._read_secret.__wrapped__(settings.db) for _ in range(3)}
    assert len(made) == 1
    path = settings.db.with_suffix(".secret")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.glob(".*")] == []


def test_health_and_assets_are_open(settings: Settings) -> None:
    """A load balancer has no key."""
    client = client_with(settings, "key")
    assert client.get("/healthz").json == {"status": "ok"}


def test_what_is_not_there_is_a_problem_document(settings: Settings) -> None:
    """Of the one shape that every error has."""
    client = client_with(settings, "public")
    for response, status in (
        (client.get("/nothing"), 404),
        (client.post("/healthz"), 405),
        (client.get("/api/v1/symbols/a/b"), 404),
    ):
        assert response.status_code == status
        assert response.content_type == "application/problem+json"
        assert response.json is not None
        assert set(response.json) == {"type", "title", "status", "detail"}
    assert "GET" in client.post("/healthz").headers["Allow"]


def test_without_a_database_reading_is_503_and_health_answers(settings: Settings) -> None:
    """The sentence says what to do."""
    client = client_with(replace(settings, db=settings.db.with_name("none.db")), "public")
    response = client.get("/api/v1/symbols")
    assert response.status_code == 503
    assert response.json is not None
    assert "scripts/gfil init" in response.json["detail"]
    assert client.get("/healthz").status_code == 200


def test_a_damaged_database_is_503_and_no_traceback(settings: Settings, hours: Path) -> None:
    """The detail says that the database is meant, and health still answers."""
    db = connection.connect(hours)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.close()
    content = hours.read_bytes()
    hours.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    client = client_with(settings, "public")
    response = client.get("/api/v1/candles?symbol=EUR_USD&tf=H1")
    assert response.status_code == 503
    assert response.json is not None
    assert response.json["type"] == "database"
    assert client.get("/healthz").status_code == 200


def test_a_key_reads_though_its_day_of_use_cannot_be_written(
    settings: Settings, secrets: dict[str, str]
) -> None:
    """Reading goes on whatever is wrong with writing."""
    holder = connection.connect(settings.db)
    client = client_with(settings, "key")
    with connection.transaction(holder):
        response = client.get("/api/v1/symbols", headers={"X-API-Key": secrets["read"]})
    assert response.status_code == 200
    with files_limited_to(0):
        response = client.get("/api/v1/symbols", headers={"X-API-Key": secrets["write"]})
    assert response.status_code == 200


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size`, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("origin", ["http://[", "null", "https://evil.example", "localhost", ""])
def test_a_form_of_another_origin_does_not_log_in(
    settings: Settings, secrets: dict[str, str], origin: str
) -> None:
    """Whatever stands in the header."""
    headers = {"Origin": origin}
    client = client_with(settings, "key")
    response = client.post("/login", data={"key": secrets["read"]}, headers=headers)
    assert response.status_code == 403
    own = {"Origin": "http://localhost"}
    assert client.post("/login", data={"key": secrets["read"]}, headers=own).status_code == 303


def test_a_database_that_takes_the_place_of_another_is_seen(settings: Settings) -> None:
    """Connections to a file that is gone are not kept."""
    client = client_with(settings, "public")
    db = connection.connect(settings.db)
    with connection.transaction(db):
        symbols.ensure(db, "OLD")
    db.close()
    assert client.get("/api/v1/symbols/OLD").status_code == 200
    for path in settings.db.parent.glob(settings.db.name + "*"):
        path.unlink()
    assert client.get("/api/v1/symbols/OLD").status_code == 503
    connection.create(settings.db)
    assert client.get("/api/v1/symbols").json == {"symbols": []}
