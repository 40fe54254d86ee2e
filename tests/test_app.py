"""`create_app()`: settings and proxies."""

from dataclasses import replace

import pytest
from flask import Flask, request, request_started

from gfil import create_app
from gfil.config import Settings
from gfil.errors import ConfigError

FORWARDED = {
    "X-Forwarded-For": "198.51.100.1, 198.51.100.2",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Prefix": "/evil",
}


def test_application_carries_its_settings(settings: Settings) -> None:
    assert create_app(settings).config["SETTINGS"] is settings


def test_wrong_setting_stops_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GFIL_WORKERS", "lots")
    with pytest.raises(ConfigError):
        create_app()


@pytest.mark.parametrize(
    ("proxies", "seen"),
    [
        (0, ["127.0.0.1", "http", "localhost", ""]),
        (1, ["198.51.100.2", "https", "localhost", ""]),
        (2, ["198.51.100.1", "http", "localhost", ""]),
    ],
)
def test_forwarded_addresses_are_trusted_of_as_many_proxies_as_configured(
    settings: Settings, proxies: int, seen: list[str]
) -> None:
    app = create_app(replace(settings, proxies=proxies))
    caught: list[list[str | None]] = []

    def look(_: Flask) -> None:
        caught.append([request.remote_addr, request.scheme, request.host, request.script_root])

    with request_started.connected_to(look, app):
        app.test_client().get("/no-such-page", headers=FORWARDED)
    assert caught == [seen]
