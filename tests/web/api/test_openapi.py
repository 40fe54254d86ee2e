"""The description of the API: complete, and true of what the server answers."""

import os
from pathlib import Path

import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis.strategies import booleans
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gfil import create_app
from gfil.config import Settings
from gfil.web.api.openapi import OPERATIONS
from tests.faults.senders import make_key

EXAMPLES = 500 if os.environ.get("GFIL_LONG") == "1" else 60
PAGES = {
    *("/", "/chart/<symbol>", "/status", "/status/<symbol>", "/static/<version>/<path:name>"),
    *("/docs", "/login", "/logout"),
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_every_route_but_the_pages_is_described(settings: Settings, client: FlaskClient) -> None:
    """A route that is forgotten fails here."""
    rules = {rule.rule for rule in create_app(settings).url_map.iter_rules()} - PAGES
    document = client.get("/openapi.json").json
    assert document is not None
    assert {path.replace("{", "<").replace("}", ">") for path in document["paths"]} == rules


def test_the_page_names_every_route(client: FlaskClient) -> None:
    """Read from the same description."""
    document = client.get("/openapi.json").json
    assert document is not None
    page = client.get("/docs").text
    for path in document["paths"]:
        assert path in page


# Schemathesis leaves out where it has the description from.
@pytest.mark.parametrize("endpoint", sorted(OPERATIONS.keys() - {"openapi.document"}))
def test_whatever_is_sent_gets_an_answer_as_described(
    settings: Settings, hours: Path, endpoint: str
) -> None:
    """Every status is one of those described, every body has the shape described."""
    schema = schemathesis.openapi.from_wsgi("/openapi.json", create_app(settings))
    operations = [found.ok() for found in schema.get_all_operations()]
    (operation,) = (
        found for found in operations if found.definition.raw["operationId"] == endpoint
    )
    headers = {"Accept-Encoding": "identity", "X-API-Key": make_key(settings.db, "admin")}

    @effort(max_examples=EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck])
    @given(case=operation.as_strategy(), knows_symbol=booleans())
    def send(case: schemathesis.Case, knows_symbol: bool) -> None:
        if "symbol" in case.query and knows_symbol:
            case.query["symbol"] = "EUR_USD"  # or hardly a question would get to the candles
        answer = case.call(headers=headers)
        case.validate_response(answer, checks=CHECKS)

    send()
