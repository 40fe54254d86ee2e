"""The OpenAPI document: complete, valid for generators, and true of what the server answers."""

import argparse
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
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
from gfil.config import ROOT, Settings, read
from gfil.web.api import openapi
from gfil.web.request.route import Route
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
GENERATED_BODIES = {"application/json", "application/octet-stream"}

Operation = dict[str, Any]


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    """The OpenAPI document as a program reads it."""
    found = client.get("/openapi.json").json
    assert isinstance(found, dict)
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, Operation]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def declared_routes() -> list[Route]:
    with create_app(read({}, ROOT / "nowhere")).app_context():
        return [each for each in openapi.list_routes() if not each.is_page]


def test_every_route_but_the_pages_is_described(
    settings: Settings, document: dict[str, Any]
) -> None:
    rules = {rule.rule for rule in create_app(settings).url_map.iter_rules()} - PAGES
    assert {path.replace("{", "<").replace("}", ">") for path in document["paths"]} == rules


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert sorted(ids) == sorted(set(ids))
    assert {"list_candles", "post_ticks", "delete_candles"} <= set(ids)


def test_security_names_the_scope_of_each_operation(document: dict[str, Any]) -> None:
    security = {
        operation["operationId"]: (operation["x-scope"], operation["security"])
        for _, _, operation in operations(document)
    }
    assert security["check_alive"] == ("open", [])
    keys = [{"bearer": ["read"]}, {"header": ["read"]}]
    assert security["list_candles"] == ("read", [{}, *keys])
    assert security["post_ticks"] == ("write", [{"bearer": ["write"]}, {"header": ["write"]}])
    assert security["delete_candles"][0] == "admin"
    assert security["show_metrics"] == ("key", [{"bearer": []}, {"header": []}])


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == "$ref")
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_and_component_is_used(document: dict[str, Any]) -> None:
    names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) == names


def test_examples_match_their_schemas(document: dict[str, Any]) -> None:
    checked = 0
    for _, _, operation in operations(document):
        contents = list(operation["responses"].values())
        contents += [operation["requestBody"]] if "requestBody" in operation else []
        for content in (each for every in contents for each in every["content"].values()):
            if "example" in content:
                schema = content["schema"] | {"components": document["components"]}
                jsonschema_rs.validate(schema, content["example"])
                checked += 1
    assert checked > 50


def test_bodies_have_types_that_generators_know(document: dict[str, Any]) -> None:
    bodies = {
        operation["operationId"]: set(operation["requestBody"]["content"])
        for _, _, operation in operations(document)
        if "requestBody" in operation
    }
    assert bodies.keys() == {"post_candles", "post_ticks", "update_symbol"}
    assert set().union(*bodies.values()) == GENERATED_BODIES


def test_every_error_is_a_problem_with_an_example(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        responses = operation["responses"]
        assert "400" in responses
        for status, response in responses.items():
            if status == "200":
                continue
            content = response["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert content["example"]["status"] == int(status)


@pytest.mark.parametrize("declared", declared_routes(), ids=lambda route: route.name)
def test_every_route_refuses_unknown_and_repeated_parameters(
    settings: Settings, client: FlaskClient, declared: Route
) -> None:
    headers = {"X-API-Key": make_key(settings.db, "admin")}
    path = declared.path.replace("<symbol>", "XAUUSD")
    answer = client.open(f"{path}?surely_unknown=1", method=declared.method, headers=headers)
    assert (answer.status_code, answer.json["parameter"]) == (400, "surely_unknown")
    for each in declared.parameters:
        if each.place == "query" and not each.is_list:
            query = f"{path}?{each.name}=1&{each.name}=1"
            answer = client.open(query, method=declared.method, headers=headers)
            assert (answer.status_code, answer.json["parameter"]) == (400, each.name)


@pytest.mark.parametrize("path", ["/", "/status", "/docs", "/login", "/chart/XAUUSD"])
def test_pages_refuse_unknown_parameters(client: FlaskClient, path: str) -> None:
    answer = client.get(f"{path}?surely_unknown=1")
    assert answer.status_code == 400
    assert answer.mimetype == "text/html"
    assert "unknown parameter" in answer.text


def test_docs_page_has_an_anchor_and_the_scope_of_every_operation(
    client: FlaskClient, document: dict[str, Any]
) -> None:
    page = client.get("/docs").text
    for method, path, operation in operations(document):
        assert f'<section id="{operation["operationId"]}">' in page
        assert f'href="#{operation["operationId"]}"' in page
        assert f"{method.upper()} {path}" in page
    assert "Scope: admin." in page
    for name in document["components"]["schemas"]:
        assert f'id="schema-{name}"' in page
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_curl_samples_name_the_path_and_the_required_parameters(document: dict[str, Any]) -> None:
    for method, _, operation in operations(document):
        words = shlex.split(operation["x-codeSamples"][0]["source"])
        url = next(word for word in words if word.startswith("http://"))
        assert "{" not in url
        assert ("-X" in words) == (method != "get")
        for each in operation.get("parameters", ()):
            if each["in"] == "query" and each["required"]:
                assert f"{each['name']}=" in url


def test_curl_samples_are_answered_with_success(
    settings: Settings, client: FlaskClient, document: dict[str, Any]
) -> None:
    secret = make_key(settings.db, "admin")
    samples = [each["x-codeSamples"][0]["source"] for _, _, each in operations(document)]
    samples.sort(key=lambda sample: ("DELETE" in sample, "POST" not in sample))
    for sample in samples:
        if "/stream" in sample:  # a test client runs no live streams
            continue
        curl = argparse.ArgumentParser()
        curl.add_argument("url")
        curl.add_argument("-X", default="GET", dest="method")
        curl.add_argument("-H", action="append", default=[], dest="headers")
        curl.add_argument("-d", dest="data")
        sent = curl.parse_args(shlex.split(sample)[1:])
        answer = client.open(
            sent.url.removeprefix(openapi.SERVER),
            method=sent.method,
            headers=[each.replace(" KEY", f" {secret}").split(": ", 1) for each in sent.headers],
            data=sent.data,
        )
        assert answer.status_code == 200, f"{sample}: {answer.text}"


# Schemathesis leaves out the operation that it has the description from.
@pytest.mark.parametrize(
    "name", sorted(each.name for each in declared_routes() if each.name != "show_openapi")
)
def test_answers_to_generated_requests_match_the_document(
    settings: Settings, hours: Path, name: str
) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", create_app(settings))
    found = [each.ok() for each in schema.get_all_operations()]
    (operation,) = (each for each in found if each.definition.raw["operationId"] == name)
    headers = {"Accept-Encoding": "identity", "X-API-Key": make_key(settings.db, "admin")}

    @effort(max_examples=EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck])
    @given(case=operation.as_strategy(), knows_symbol=booleans())
    def send(case: schemathesis.Case, knows_symbol: bool) -> None:
        if "symbol" in case.query and knows_symbol:
            case.query["symbol"] = "EUR_USD"  # without it hardly a request would find candles
        answer = case.call(headers=headers)
        case.validate_response(answer, checks=CHECKS)

    send()
