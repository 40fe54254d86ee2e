"""Declaration of a route: scope, parameters, bodies, answers and errors, all in one place.

Parsing of the query, the scope check, `/openapi.json` and `/docs` come from this declaration. A
view without a declaration is refused to everyone.
"""

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from flask import Blueprint, Flask, current_app, request
from flask.typing import ResponseReturnValue

from gfil.errors import GfilError
from gfil.web.request.parameters import Parameter, QueryParser
from gfil.web.request.schema import TEXT, Schema

Scope = Literal["open", "key", "read", "write", "admin"]
"""`open`: everybody. `key`: a key of any scope. Others: a key of at least this scope."""

Method = Literal["GET", "POST", "PATCH", "DELETE"]
View = Callable[..., ResponseReturnValue]

JSON = "application/json"
IN_PATH = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True, slots=True)
class Content:
    """A body of a request or of an answer, in one content type."""

    schema: Schema
    content_type: str = JSON
    example: Any = None


PAGE = Content(TEXT, "text/html")


@dataclass(frozen=True, slots=True)
class Route:
    """The declaration of a route. `name` is the name of its view, unique among all routes."""

    name: str
    tag: str
    method: Method
    path: str
    scope: Scope
    summary: str
    description: str
    parameters: Sequence[Parameter] = ()
    bodies: Sequence[Content] = ()
    answers: Sequence[Content] = (PAGE,)
    errors: Sequence[type[GfilError]] = field(default=())

    @property
    def is_page(self) -> bool:
        """Whether the route answers with a page for people, which `/openapi.json` leaves out."""
        return PAGE in self.answers


def route(
    bp: Blueprint | Flask,
    method: Method,
    path: str,
    *,
    scope: Scope,
    parameters: Sequence[Parameter] = (),
    bodies: Sequence[Content] = (),
    answers: Sequence[Content] = (PAGE,),
    errors: Sequence[type[GfilError]] = (),
) -> Callable[[View], View]:
    """Declare a route and register its view, which receives its parameters parsed.

    The docstring of the view is the summary of the route, then its description.
    """
    parser = QueryParser(parameters)
    defaults = parser.defaults

    def declare(view: View) -> View:
        _check_arguments(view, parser.arguments | {*IN_PATH.findall(path)})
        summary, _, rest = inspect.cleandoc(view.__doc__ or "").partition("\n\n")
        description = rest.partition("Raises:")[0].strip()
        declared = Route(
            name=view.__name__,
            tag=bp.name,
            method=method,
            path=path,
            scope=scope,
            summary=" ".join(summary.split()),
            description=" ".join(description.split()),
            parameters=parameters,
            bodies=bodies,
            answers=answers,
            errors=errors,
        )

        @functools.wraps(view)
        def answer(**in_path: str) -> ResponseReturnValue:
            if defaults is not None and not request.query_string:
                return view(**in_path, **defaults)
            return view(**in_path, **parser.parse(request.args))

        answer.route = declared  # type: ignore[attr-defined]
        bp.add_url_rule(path, view.__name__, answer, methods=[method])
        return answer

    return declare


def find_route(endpoint: str | None) -> Route | None:
    """Return the declaration of an endpoint, None if it is not declared."""
    view = current_app.view_functions.get(endpoint or "")
    found: Route | None = getattr(view, "route", None)
    return found


def _check_arguments(view: View, given: set[str]) -> None:
    taken = inspect.signature(view).parameters.values()
    if not any(each.kind == each.VAR_KEYWORD for each in taken):
        names = {each.name for each in taken}
        assert names == given, f"{view.__name__} takes {names}, its route declares {given}"
