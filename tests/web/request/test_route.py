"""Routes: what a declaration registers, and mistakes that stop the import."""

import pytest
from flask import Blueprint, Flask

from gfil.web.request.parameters import SYMBOL_IN_PATH, integer
from gfil.web.request.route import Content, find_route, route
from gfil.web.request.schema import TEXT

LIMIT = integer("limit", "A limit.", 1, 9, 5)


@pytest.fixture
def app() -> Flask:
    """An application with one declared and one undeclared route."""
    app, bp = Flask("declared"), Blueprint("things", __name__)

    @route(
        bp,
        "GET",
        "/things/<symbol>",
        scope="read",
        parameters=[SYMBOL_IN_PATH, LIMIT],
        answers=[Content(TEXT, "text/plain")],
    )
    def list_things(symbol: str, limit: int) -> str:
        """Things of a symbol,
        on one page.

        At most 9 of them.

        Raises:
            Nothing.
        """
        return f"{symbol} {limit}"

    app.register_blueprint(bp)
    app.add_url_rule("/undeclared", "undeclared", lambda: "here")
    return app


def test_view_receives_path_and_query_parsed(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/things/X").text == "X 5"
    assert client.get("/things/X?limit=9").text == "X 9"


def test_declaration_is_found_by_endpoint(app: Flask) -> None:
    with app.app_context():
        declared = find_route("things.list_things")
        assert declared is not None
        assert (declared.name, declared.tag) == ("list_things", "things")
        assert (declared.method, declared.scope, declared.is_page) == ("GET", "read", False)
        assert declared.summary == "Things of a symbol, on one page."
        assert declared.description == "At most 9 of them."
        assert find_route("undeclared") is None
        assert find_route(None) is None


def test_route_without_answers_is_a_page() -> None:
    app = Flask("pages")

    @route(app, "GET", "/", scope="open")
    def show() -> str:
        """Page."""
        return "page"

    with app.app_context():
        declared = find_route("show")
        assert declared is not None
        assert declared.is_page


def test_view_with_other_arguments_than_declared_stops_the_import() -> None:
    def show(limit: int, forgotten: str) -> str:
        return f"{limit} {forgotten}"

    with pytest.raises(AssertionError, match="show takes"):
        route(Flask("wrong"), "GET", "/", scope="open", parameters=[LIMIT])(show)
