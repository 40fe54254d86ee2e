"""Query parameters: read, parsed and refused."""

from collections.abc import Sequence

from flask import request

from gfil import clocks
from gfil.errors import BadParameter


def text_parameter(name: str, default: str | None = None) -> str:
    """Return a query parameter that must be given where there is no default.

    Raises:
        BadParameter: it is missing, or given twice.
    """
    values = request.args.getlist(name)
    if len(values) > 1:
        raise BadParameter(f"{name} is given {len(values)} times")
    if not values or (not values[0] and default is None):
        if default is None:
            raise BadParameter(f"{name} is missing")
        return default
    return values[0]


def instant_parameter(name: str) -> int | None:
    """Return a query parameter that names an instant, or None where it is not given."""
    text = text_parameter(name, "")
    return clocks.parse_instant(text) if text else None


def number_parameter(name: str, default: int, least: int, most: int) -> int:
    """Return a whole-number query parameter.

    Raises:
        BadParameter: it is no number of the range; nothing is clamped.
    """
    text = text_parameter(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 18 or not least <= int(text) <= most:
        raise BadParameter(f"{name} must be a whole number from {least} to {most}")
    return int(text)


def check_parameters(*known: str) -> None:
    """Refuse query parameters that a route which writes does not know: a typo must not store.

    Raises:
        BadParameter: there is one.
    """
    for name in request.args:
        if name not in known:
            raise BadParameter(f"unknown parameter {name[:32]!r}: this route has {' '.join(known)}")


def choice_parameter(name: str, choices: Sequence[str]) -> str:
    """Return a query parameter that is one of a few words; the first where it is not given.

    Raises:
        BadParameter: it is another word.
    """
    text = text_parameter(name, "") or choices[0]
    if text not in choices:
        known = " ".join(filter(None, choices))
        raise BadParameter(f"{name} must be one of {known}, not {text[:32]!r}")
    return text


def flag_parameter(name: str) -> bool:
    """Return whether a query parameter is 1 or true.

    Raises:
        BadParameter: it is neither that nor 0 or false.
    """
    return choice_parameter(name, ("0", "1", "false", "true")) in ("1", "true")
