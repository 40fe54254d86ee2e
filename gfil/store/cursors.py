"""Cursors: where the next page of an answer begins, as a text only this program reads."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import orjson

from gfil.errors import BadParameter

LENGTH_MAX = 1000
NUMBER_MAX = 2**53


class MalformedCursor(BadParameter):
    """A text that is no cursor of this program."""

    def __init__(self) -> None:
        super().__init__("malformed cursor: pass next_cursor on as it is")


def format_cursor(query: Sequence[Any], place: Sequence[int]) -> str:
    """Return base64url of the JSON of a query and the place in its answer."""
    return base64.urlsafe_b64encode(orjson.dumps([*query, *place])).decode().rstrip("=")


def parse_cursor(cursor: str, query: Sequence[Any], numbers: int) -> list[int]:
    """Return the so many numbers of the place.

    Raises:
        MalformedCursor: it is none.
        BadParameter: it belongs to another query.
    """
    try:
        padded = cursor[:LENGTH_MAX].encode("ascii") + b"=" * (-len(cursor) % 4)
        decoded = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeEncodeError, binascii.Error, orjson.JSONDecodeError):
        raise MalformedCursor from None
    if not isinstance(decoded, list) or decoded[:-numbers] != [*query]:
        raise BadParameter("this cursor belongs to another query")
    place = decoded[-numbers:]
    if any(type(number) is not int or abs(number) > NUMBER_MAX for number in place):
        raise MalformedCursor
    return place
