"""Authorisation: scopes, GFIL_READ, the loopback default, proxies, cookies, throttling."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from freezegun import freeze_time

from gfil import create_app
from gfil.config import Settings
from gfil.store import api_keys, symbols
from gfil.store.engine import connection
from gfil.web.request import auth
from gfil.web.request.route import find_route
from tests.web.conftest import client_with

PATHS = ("/api/v1/symbols", "/api/v1/symbols/X", "/api/v1/candles", "/api/v1/export")


def test_every_route_declares_its_scope(settings: Settings) -> None:
    app = create_app(settings)
    with app.app_context():
        for rule in app.url_map.iter_rules():
            declared = find_route(rule.endpoint)
            assert declared, rule.rule
            assert declared.scope in ("open", "key", "read", "write", "admin"), rule.rule


def test_view_without_a_declaration_is_refused_to_every_key(
    settings: Settings, secrets: dict[str, str]
) -> None:
    app = create_app(settings)
    app.add_url_rule("/undeclared", "undeclared", lambda: "open to all")
    client = app.test_client()
    assert client.get("/undeclared").status_code == 401
    assert client.get("/undeclared", headers={"X-API-Key": secrets["admin"]}).status_code == 403


@pytest.mark.parametrize("path", PATHS)
def test_reading_needs_a_key_unless_public(settings: Settings, path: str) -> None:
    assert client_with(settings, "public").get(path).status_code not in (401, 403)
    for rule in ("key", None):
        response = client_with(settings, rule).get(path)
        assert response.status_code == 401
        assert "WWW-Authenticate" in response.headers


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Bearer nonsense"}, {"X-API-Key": "nonsense"}, {"Authorization": "Basic x"}],
)
def test_wrong_key_is_401_even_if_reading_is_public(
    settings: Settings, headers: dict[str, str]
) -> None:
    response = client_with(settings, "public").get("/api/v1/symbols", headers=headers)
    assert response.status_code == 401
    assert next(iter(headers.values())) not in response.text


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_loopback_reads_without_a_key_if_unset(settings: Settings, host: str) -> None:
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
def test_proxied_request_is_refused_if_unset(settings: Settings, headers: dict[str, str]) -> None:
    """The refusal names GFIL_READ."""
    client = client_with(settings, None, loopback=True)
    response = client.get("/api/v1/symbols", headers=headers)
    assert response.status_code == 403
    assert response.json is not None
    assert "GFIL_READ" in response.json["detail"]


def test_every_route_accepts_the_keys_of_its_scope_only(
    settings: Settings, secrets: dict[str, str], subtests: pytest.Subtests
) -> None:
    """The route table against every kind of key, through a proxy."""
    app = create_app(replace(settings, read="key"))
    bad = {"none": None, "wrong": "gfil_aaaaaaaa_" + "A" * 43}
    for rule in app.url_map.iter_rules():
        declared = app.view_functions[rule.endpoint].route  # type: ignore[attr-defined]
        scope = declared.scope
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
                        to_login = declared.is_page and kind == "none"
                        assert status == (303 if to_login else 401)
                    elif scope != "key" and not ranks(kind, scope):
                        assert status == 403
                    else:
                        assert status not in (401, 403, 500)


def ranks(scope: str, needed: str) -> bool:
    """Say whether a scope includes another."""
    return api_keys.SCOPES.index(scope) >= api_keys.SCOPES.index(needed)


@pytest.mark.parametrize("scope", api_keys.SCOPES)
def test_metrics_need_a_key_of_any_scope(
    settings: Settings, secrets: dict[str, str], scope: str
) -> None:
    for rule, loopback in (("public", False), ("key", False), (None, True)):
        client = client_with(settings, rule, loopback=loopback)
        assert client.get("/metrics").status_code == 401
        answer = client.get("/metrics", headers={"X-API-Key": secrets[scope]})
        assert answer.status_code == 200


@pytest.mark.parametrize("style", ["Bearer {}", "bearer {}", None])
def test_key_is_read_from_either_header_and_never_from_the_url(
    settings: Settings, secrets: dict[str, str], style: str | None
) -> None:
    client = client_with(settings, "key")
    secret = secrets["read"]
    headers = {"Authorization": style.format(secret)} if style else {"X-API-Key": secret}
    assert client.get("/api/v1/symbols", headers=headers).status_code == 200
    assert client.get(f"/api/v1/symbols?key={secret}").status_code == 401


def test_day_of_use_is_recorded_once_a_day(settings: Settings, secrets: dict[str, str]) -> None:
    client = client_with(settings, "key")
    with freeze_time("2026-03-04T05:06:07Z"):
        client.get("/api/v1/symbols", headers={"X-API-Key": secrets["write"]})
    keys = {
        key.name: key for key in api_keys.list_keys(connection.connect(settings.db, readonly=True))
    }
    assert keys["write"].last_used == 1772582400  # 2026-03-04T00:00Z
    assert keys["read"].last_used is None


def test_invalid_keys_are_throttled_and_valid_keys_never(
    settings: Settings, secrets: dict[str, str]
) -> None:
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


def test_forged_cookie_is_ignored(settings: Settings, secrets: dict[str, str]) -> None:
    client = client_with(settings, "key")
    other = client_with(replace(settings, secret="x" * 40), "key")
    done = other.post("/login", data={"key": secrets["admin"]})
    cookie = done.headers["Set-Cookie"].split(";")[0].split("=", 1)[1]
    for value in (cookie, '"zg4au2gf"', "", "\x00"):
        client.set_cookie("gfil_key", value)
        assert client.get("/api/v1/symbols").status_code == 401


def test_cookie_secret_is_made_once_with_mode_600(settings: Settings) -> None:
    made = {auth._read_secret.__wrapped__(settings.db) for _ in range(3)}
    assert len(made) == 1
    path = settings.db.with_suffix(".secret")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.glob(".*")] == []


def test_health_is_open(settings: Settings) -> None:
    client = client_with(settings, "key")
    assert client.get("/healthz").json == {"status": "ok"}


def test_missing_route_is_a_problem_document(settings: Settings) -> None:
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


def test_missing_database_is_503_and_health_answers(settings: Settings) -> None:
    client = client_with(replace(settings, db=settings.db.with_name("none.db")), "public")
    response = client.get("/api/v1/symbols")
    assert response.status_code == 503
    assert response.json is not None
    assert "scripts/gfil init" in response.json["detail"]
    assert client.get("/healthz").status_code == 200


def test_damaged_database_is_503_without_traceback(settings: Settings, hours: Path) -> None:
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


def test_key_reads_if_its_day_of_use_cannot_be_stored(
    settings: Settings, secrets: dict[str, str]
) -> None:
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
    """Limit the size of every file of this process, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_replaced_database_file_is_noticed(settings: Settings) -> None:
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
