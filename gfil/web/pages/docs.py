"""`/docs`: the API reference, made from the declarations of the routes."""

import json
from typing import Any

from flask import Response
from markupsafe import Markup, escape

from gfil.web.api.openapi import describe_api
from gfil.web.pages.page import page_blueprint, render_page
from gfil.web.request.route import route

bp = page_blueprint("docs")

INDENT = "  "


@route(bp, "GET", "/docs", scope="open")
def show_docs() -> Response:
    """API reference: every operation with its scope, parameters, bodies, answers and examples."""
    return render_page(
        "docs.html", document=describe_api(), format_json=format_json, mark_code=mark_code
    )


def mark_code(text: str) -> Markup:
    """Return a text as HTML; its parts in backticks become code."""
    parts = (
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(text.split("`"))
    )
    return Markup("").join(parts)


def format_json(value: Any, indent: str = "") -> str:
    """Return JSON on several lines; an array of plain values stays on one line."""
    inner = indent + INDENT
    if isinstance(value, dict) and value:
        members = [f"{json.dumps(key)}: {format_json(value[key], inner)}" for key in value]
        return "{\n" + ",\n".join(inner + member for member in members) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        elements = [format_json(each, inner) for each in value]
        return "[\n" + ",\n".join(inner + element for element in elements) + f"\n{indent}]"
    return json.dumps(value)
