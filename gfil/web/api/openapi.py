"""`GET /openapi.json`: the OpenAPI 3.1 document, made from the declarations of the routes."""

import shlex
from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from typing import get_args
from urllib.parse import urlencode

import orjson
from flask import Blueprint, Response, current_app

from gfil.config import VERSION
from gfil.errors import (
    BadParameter,
    Busy,
    Forbidden,
    GfilError,
    TooManyRequests,
    Unauthorized,
)
from gfil.web.api import schemas
from gfil.web.request.parameters import Parameter
from gfil.web.request.problems import PROBLEM
from gfil.web.request.responses import json_response
from gfil.web.request.route import JSON, Content, Method, Route, find_route, route
from gfil.web.request.schema import COMPONENTS, Schema, table

bp = Blueprint("openapi", __name__)

SERVER = "http://127.0.0.1:8000"
KEY_ERRORS = (Unauthorized, Forbidden, TooManyRequests, Busy)
DESCRIPTION = (
    "Candles and ticks: write them, read them on any timeframe and clock, follow them live. "
    "Times are UNIX seconds in UTC. Parameters that name a time also take ISO 8601, in UTC unless "
    "the text has an offset."
)
TAGS = {
    "candles": "Candles: read, write and delete.",
    "ticks": "Ticks: read and write.",
    "symbols": "Symbols: list, change and delete.",
    "export": "Whole ranges of candles as files.",
    "gaps": "Missing minutes.",
    "stream": "Live candles as server-sent events.",
    "health": "Health checks.",
    "metrics": "Metrics for Prometheus.",
    "openapi": "This document.",
}


@route(
    bp,
    "GET",
    "/openapi.json",
    scope="open",
    answers=[Content(table({}))],
)
def show_openapi() -> Response:
    """OpenAPI 3.1 document of every route for programs."""
    return json_response(describe_api())


def list_routes() -> list[Route]:
    """Return the declared routes of the current application, by path, then GET before others."""
    found = filter(None, map(find_route, current_app.view_functions))
    methods = get_args(Method)
    return sorted(found, key=lambda each: (each.path, methods.index(each.method)))


@cache
def describe_api() -> Schema:
    """Return the OpenAPI document of the current application."""
    paths: dict[str, Schema] = {}
    for each in list_routes():
        if not each.is_page:
            path = each.path.replace("<", "{").replace(">", "}")
            paths.setdefault(path, {})[each.method.lower()] = _describe_operation(each, path)
    used = {each["tags"][0] for methods in paths.values() for each in methods.values()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "GFIL", "version": VERSION, "description": DESCRIPTION},
        "tags": [{"name": tag, "description": TAGS[tag]} for tag in TAGS if tag in used],
        "paths": paths,
        "components": {
            "schemas": COMPONENTS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _describe_operation(declared: Route, path: str) -> Schema:
    described: Schema = {
        "operationId": declared.name,
        "tags": [declared.tag],
        "summary": declared.summary,
        "description": " ".join(filter(None, [declared.description, _describe_scope(declared)])),
        "security": _describe_security(declared),
        "x-scope": declared.scope,
        "x-codeSamples": [{"lang": "Shell", "label": "curl", "source": _curl(declared, path)}],
    }
    if declared.parameters:
        described["parameters"] = [_describe_parameter(each) for each in declared.parameters]
    if declared.bodies:
        described["requestBody"] = {"required": True, "content": _contents(declared.bodies)}
    described["responses"] = {
        "200": {"description": "Success.", "content": _contents(declared.answers)},
        **_describe_errors(declared),
    }
    return described


def _describe_scope(declared: Route) -> str:
    if declared.scope == "open":
        return "Scope: open, no key is needed."
    if declared.scope == "key":
        return "Scope: a key of any scope."
    return f"Scope: {declared.scope}."


def _describe_security(declared: Route) -> list[Schema]:
    # OpenAPI 3.1 allows the names of scopes here. The empty entry says that a key is optional: with
    # GFIL_READ=public everybody may read.
    if declared.scope == "open":
        return []
    names = [] if declared.scope == "key" else [declared.scope]
    keys: list[Schema] = [{"bearer": names}, {"header": names}]
    return [{}, *keys] if declared.scope == "read" else keys


def _describe_parameter(parameter: Parameter) -> Schema:
    described = {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.description,
        "schema": parameter.schema,
    }
    return described | ({"example": parameter.example} if parameter.example is not None else {})


def _contents(contents: Sequence[Content]) -> Schema:
    return {
        each.content_type: {"schema": each.schema}
        | ({"example": each.example} if each.example is not None else {})
        for each in contents
    }


def _describe_errors(declared: Route) -> Schema:
    general = (BadParameter, *(() if declared.scope == "open" else KEY_ERRORS))
    by_status: dict[int, list[type[GfilError]]] = {}
    for error in (*general, *declared.errors):
        by_status.setdefault(error.status, []).append(error)
    return {
        str(status): {
            "description": ", ".join(dict.fromkeys(error.title for error in errors)),
            "content": {
                PROBLEM: {"schema": schemas.PROBLEM, "example": _problem_example(errors[0])}
            },
        }
        for status, errors in sorted(by_status.items())
    }


def _problem_example(error: type[GfilError]) -> Schema:
    return {
        "type": error.type,
        "title": error.title,
        "status": error.status,
        "detail": HTTPStatus(error.status).description or error.title,
    }


def _curl(declared: Route, path: str) -> str:
    query = {
        each.name: each.example
        for each in declared.parameters
        if each.place == "query" and each.required
    }
    for each in declared.parameters:
        if each.place == "path":
            path = path.replace("{" + each.name + "}", str(each.example))
    words = ["curl"]
    if declared.method != "GET":
        words += ["-X", declared.method]
    if declared.scope != "open":
        words += ["-H", "X-API-Key: KEY"]
    words.append(SERVER + path + (f"?{urlencode(query, True, safe=',:')}" if query else ""))
    for body in declared.bodies[:1]:
        words += ["-H", f"Content-Type: {JSON}", "-d", orjson.dumps(body.example).decode()]
    return shlex.join(words)
