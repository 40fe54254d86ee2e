"""`/docs`: the API reference, made from the declarations of the routes."""

from flask import Response

from gfil.web.api.openapi import describe_api
from gfil.web.pages.page import page_blueprint, render_page
from gfil.web.request.route import route

bp = page_blueprint("docs")


@route(bp, "GET", "/docs", scope="open")
def show_docs() -> Response:
    """API reference: every operation with its scope, parameters, bodies, answers and examples."""
    return render_page("docs.html", document=describe_api())
