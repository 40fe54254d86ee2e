"""Pagination cursors: the start of the next page of an answer, as opaque text."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import orjson

from gfil.errors import BadParameter

LENGTH_MAX = 1000
NUMBER_MAX = 2**53


class MalformedCursor(BadParameter):
    """A text that is not a valid cursor."""

    def __init__(self) -> None:
        super().__init__("malformed cursor: pass next_cursor on as it is")


def format_cursor(query: Sequence[Any], position: Sequence[int]) -> str:
    """Return base64url of the JSON of a query and the position in its answer."""
    return base64.urlsafe_b64encode(orjson.dumps([*query, *position])).decode().rstrip("=")


def parse_cursor(cursor: str, query: Sequence[Any], numbers: int) -> list[int]:
    """Return the position of a cursor, which consists of this many numbers.

    Raises:
        MalformedCursor: the text is not a valid cursor.
        BadParameter: the cursor belongs to another query.
    """
    try:
        padded = cursor[:LENGTH_MAX].encode("ascii") + b"=" * (-len(cursor) % 4)
        decoded = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeEncodeError, binascii.Error, orjson.JSONDecodeError):
        raise MalformedCursor from None
    if not isinstance(decoded, list) or decoded[:-numbers] != [*query]:
        raise BadParameter("this cursor belongs to another query")
    position = decoded[-numbers:]
    if any(type(number) is not int or abs(number) > NUMBER_MAX for number in position):
        raise MalformedCursor
    return position
