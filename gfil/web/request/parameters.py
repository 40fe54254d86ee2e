"""Query parameters: declared once, then parsed, refused and described from the declaration."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from werkzeug.datastructures import MultiDict

from gfil import clocks, timeframes
from gfil.errors import BadParameter
from gfil.store import cursors
from gfil.web.request.schema import FLAG, INSTANT, NUMBER, TEXT, Schema, one_of
from gfil.wording import format_number

VALUE_SHOWN_MAX = 32
NAME_SHOWN_MAX = 14  # the public part of a key, in case a key was sent as a name
DIGITS_MAX = 18


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a route.

    The view receives a query parameter under `argument` as `parse` returned it, and `default` where
    the request lacks the parameter or leaves it blank. Path and header parameters are described
    here and read elsewhere. `is_list`: the parameter may be repeated; `parse` takes all its values.
    """

    name: str
    description: str
    schema: Schema
    parse: Callable[[Any], Any] = str
    default: Any = None
    required: bool = False
    example: Any = None
    argument: str = ""
    place: Literal["query", "path", "header"] = "query"
    is_list: bool = False

    @property
    def keyword(self) -> str:
        """The name of the view's argument."""
        return self.argument or self.name


def text(name: str, description: str, **more: Any) -> Parameter:
    """Return a parameter that is any text."""
    return Parameter(name, description, **{"schema": TEXT, **more})


def instant(name: str, argument: str, description: str, **more: Any) -> Parameter:
    """Return a parameter that is UNIX seconds or ISO 8601."""
    return Parameter(name, description, INSTANT, clocks.parse_instant, argument=argument, **more)


def integer(name: str, description: str, least: int, most: int, default: int) -> Parameter:
    """Return a parameter that is a whole number of a range; out of range is refused."""

    def parse(given: str) -> int:
        is_number = given.isascii() and given.isdigit() and len(given) <= DIGITS_MAX
        if not is_number or not least <= int(given) <= most:
            limits = f"{format_number(least)} to {format_number(most)}"
            raise BadParameter(f"{name} must be a whole number from {limits}")
        return int(given)

    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return Parameter(name, description, schema, parse, default)


def number(name: str, description: str) -> Parameter:
    """Return a parameter that is a finite number above 0."""

    def parse(given: str) -> float:
        try:
            value = float(given)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise BadParameter(f"{name} must be a number above 0")
        return value

    return Parameter(name, description, NUMBER | {"exclusiveMinimum": 0}, parse)


def choice(
    name: str, description: str, values: Sequence[str], default: str | None = None
) -> Parameter:
    """Return a parameter that is one of a few words."""

    def parse(given: str) -> str:
        if given not in values:
            known = " ".join(values)
            shown = given[:VALUE_SHOWN_MAX]
            raise BadParameter(f"{name} must be one of {known}, not {shown!r}")
        return given

    schema = one_of(*values) | ({"default": default} if default else {})
    return Parameter(name, description, schema, parse, default)


def flag(name: str, description: str) -> Parameter:
    """Return a parameter that is 1 or true, 0 or false; false by default."""
    words = choice(name, description, ("0", "1", "false", "true"))

    def parse(given: str) -> bool:
        return words.parse(given) in ("1", "true")

    return Parameter(name, description, FLAG | {"default": False}, parse, default=False)


SYMBOL = text("symbol", "Symbol, in any case.", required=True, example="XAUUSD")
SYMBOL_IN_PATH = text(
    "symbol", "Symbol, in any case.", required=True, example="XAUUSD", place="path"
)
TF = Parameter(
    "tf",
    "Timeframe; also accepted: 5m, 4h, 1d, 1w, 1M, minutes as a number, D, W, M.",
    {"type": "string", "examples": [each.name for each in timeframes.TIMEFRAMES]},
    timeframes.parse,
    required=True,
    example="H1",
)
CLOCK = Parameter(
    "clock",
    "Clock that bucket boundaries are cut on: UTC, a zone, an offset, or zone ± offset.",
    {"type": "string", "default": "UTC", "examples": ["UTC", *clocks.NAMED, "+05:30"]},
    clocks.parse,
    default=clocks.UTC,
)
FROM = instant("from", "start", "Candles with `time >= from`, oldest first.", example="2025-05-20")
TO = instant("to", "stop", "Candles with `time < to` (default: all up to the newest).")
CURSOR = text(
    "cursor",
    "The `next_cursor` of the previous page of the same query.",
    schema={"type": "string", "maxLength": cursors.LENGTH_MAX},
)


def check_range(start: int | None, stop: int | None) -> None:
    """Refuse a range that ends before it starts.

    Raises:
        BadParameter: `start` is after `stop`.
    """
    if start is not None and stop is not None and start > stop:
        raise BadParameter("from is after to")


class QueryParser:
    """Parses the query of a route; every check of names is prepared when the route is declared."""

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        query = [each for each in parameters if each.place == "query"]
        self._known = {each.name: each for each in query}
        self._defaults = {each.keyword: each.default for each in query}
        self._required = [each for each in query if each.required]

    @property
    def defaults(self) -> dict[str, Any] | None:
        """The values of an empty query by the view's arguments, None if a parameter is required."""
        return None if self._required else dict(self._defaults)

    @property
    def arguments(self) -> set[str]:
        """The arguments that the view receives."""
        return {*self._defaults}

    def parse(self, args: MultiDict[str, str]) -> dict[str, Any]:
        """Return the values of all parameters by the view's arguments.

        Raises:
            BadParameter: a parameter is unknown, missing, repeated, malformed or out of range.
        """
        values = dict(self._defaults)
        for name, texts in args.lists():
            known = self._known.get(name)
            if known is None:
                raise _unknown(name, self._known)
            try:
                if known.is_list:
                    values[known.keyword] = known.parse(texts)
                elif len(texts) > 1:
                    raise BadParameter(f"{name} is given {len(texts)} times")
                elif texts[0]:
                    values[known.keyword] = known.parse(texts[0])
            except BadParameter as error:
                error.parameter = name
                raise
        for known in self._required:
            if values[known.keyword] is None:
                raise _missing(known)
        return values


def _unknown(name: str, known: Iterable[str]) -> BadParameter:
    names = " ".join(known)
    has = f"this route has {names}" if names else "this route has no parameters"
    error = BadParameter(f"unknown parameter {name[:NAME_SHOWN_MAX]!r}: {has}")
    error.parameter = name[:NAME_SHOWN_MAX]
    return error


def _missing(parameter: Parameter) -> BadParameter:
    error = BadParameter(f"{parameter.name} is missing")
    error.parameter = parameter.name
    return error
