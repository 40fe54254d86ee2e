"""Fixtures of the API tests."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.faults.senders import make_key
from tests.web.api.pump import Pump


@pytest.fixture
def pump(client: FlaskClient, db_path: Path) -> Pump:
    """A pump with the scope write."""
    return Pump(client, make_key(db_path))
