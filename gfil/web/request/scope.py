"""Scope of a route: who may call it."""

from collections.abc import Callable
from typing import Any, TypeVar

View = TypeVar("View", bound=Callable[..., Any])


def scope(name: str) -> Callable[[View], View]:
    """Declare who may use a route: `open`, or keys of at least `read`, `write`, `admin`.

    `key` is a key of any scope, also where everybody may read.
    """

    def declare(view: View) -> View:
        view.scope = name  # type: ignore[attr-defined]
        return view

    return declare
