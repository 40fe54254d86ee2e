"""Health over HTTP: alive?"""

from flask import Blueprint, Response

from gfil.web import json_response, scope

bp = Blueprint("health", __name__)


@bp.get("/healthz")
@scope("open")
def healthz() -> Response:
    """Say that this process answers."""
    return json_response({"status": "ok"})
