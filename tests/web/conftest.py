"""Fixtures of the web tests: known candles, a key of each scope, clients of applications."""

from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from gfil import create_app, timeframes
from gfil.config import Settings
from gfil.store import api_keys, symbols
from gfil.store.candles import write
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection

MONDAY = 1735516800  # 2024-12-30T00:00Z
HOURS = 72
NOW = 1_700_000_000


def client_with(settings: Settings, read: str | None, *, loopback: bool = False) -> FlaskClient:
    """Return a client of an application with this setting for reading."""
    return create_app(replace(settings, read=read, loopback=loopback)).test_client()


@pytest.fixture
def hours(db_path: Path) -> Path:
    """Three days of hours: hour n opens and closes at n with a volume of n + 1."""
    db = connection.connect(db_path)
    times = [MONDAY + 3600 * hour for hour in range(HOURS)]
    prices = [float(hour) for hour in range(HOURS)]
    volumes = [hour + 1.0 for hour in range(HOURS)]
    rows = CandleColumns(times, [0] * HOURS, prices, prices, prices, prices, volumes)
    with connection.transaction(db):
        symbol = symbols.ensure(db, "EUR_USD")
        write.write_candles(db, symbol, timeframes.H1, rows)
    db.close()
    return db_path


@pytest.fixture
def secrets(settings: Settings) -> dict[str, str]:
    """The secrets of a key of each scope, of an expired key and of a revoked key."""
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
