"""Who may read: the setting, the loopback default, and what a proxy in front changes."""

from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from gfil import create_app
from gfil.config import Settings

PATHS = ("/", "/api/v1/symbols", "/api/v1/candles", "/api/v1/export", "/chart/EURUSD")


def client_with(settings: Settings, read: str | None, *, loopback: bool = False) -> FlaskClient:
    """Return a client of an application with this rule for reading."""
    return create_app(replace(settings, read=read, loopback=loopback)).test_client()


def test_every_route_declares_its_scope(settings: Settings) -> None:
    """One that does not is closed, and fails here."""
    app = create_app(settings)
    for rule in app.url_map.iter_rules():
        scope = getattr(app.view_functions[rule.endpoint], "scope", None)
        assert scope in ("open", "read", "write", "admin"), rule.rule


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
