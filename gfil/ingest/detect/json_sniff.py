"""The beginning of a JSON input: values of its outermost object, and its first elements."""

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

import orjson

from gfil.ingest.detect.sniff import Sniff
from gfil.ingest.parse import timestamps
from gfil.ingest.parse.columns import PRICES
from gfil.ingest.parse.json_rows import KEYS, TICK_KEYS
from gfil.ingest.refusals import BadRow
from gfil.ingest.source.byte_stream import ByteStream
from gfil.ingest.source.json_stream import read_elements

SAMPLE_BYTES = 16 * 1024
SAMPLE_MAX = 20  # elements examined to find the first row

_SCALAR = rb'(?:"(?:[^"\\]|\\.)*"|[-+.\w]+)'
_OPENING = re.compile(
    rb'\s*\{((?:\s*"[^"\\]*"\s*:\s*' + _SCALAR + rb'\s*,)*)\s*"([^"\\]*)"\s*:\s*\[', re.DOTALL
)


class Opening(NamedTuple):
    """The first array in an outermost object: its key and the bytes before its first element.

    `head` holds the scalar values before the array, in a short input also those after it.
    """

    key: str
    before: int
    head: Mapping[str, Any]


class Sample(NamedTuple):
    """The first elements of an array that are objects or arrays, and the bytes before them."""

    before: int
    values: list[Any]


def read_opening(head: Sniff) -> Opening | None:
    """Return the opening of an object that holds an array, or None."""
    match = _OPENING.match(head.data)
    if match is None:
        return None
    values = _load(b"{" + match[1].rstrip(b", \t\r\n") + b"}") or {}
    if head.is_all and b'"' in head.data[head.data.rfind(b"]") :]:
        values = (_load(head.data) or {}) | values
    return Opening(match[2].decode("utf-8", "replace"), match.end(), values)


def read_sample(head: Sniff, before: int) -> Sample | None:
    """Return the first elements of an array; None if they cannot be rows.

    A sample without values comes from an empty array, or from one without a complete element.
    """
    # Usually a few bytes are enough; otherwise the first elements are long or are no rows.
    values = _values(head.data[: before + SAMPLE_BYTES], before) or _values(head.data, before)
    first = head.data[before : before + SAMPLE_BYTES].lstrip()[:1]
    if not values and first not in (b"{", b"[", b"]", b""):
        return None
    return Sample(before, values)


def _values(data: bytes, before: int) -> list[Any]:
    groups = read_elements(ByteStream([data]), before, lambda *_: None)
    values = (value for group in groups for value in group.values or map(_load, group.raw))
    return list(filter(_may_hold_a_row, islice(values, SAMPLE_MAX)))


def is_row(value: Any) -> bool:
    """Whether a value looks like a row: an object with a time and an open, or a longer array."""
    if isinstance(value, dict):
        return all(any(key in value for key in KEYS[name]) for name in ("time", "open"))
    if not isinstance(value, list) or len(value) <= len(PRICES):
        return False
    try:
        timestamps.parse_value(value[0])
    except BadRow:
        return False
    return not any(isinstance(cell, list | dict) for cell in value)


def is_tick(value: Any) -> bool:
    """Whether a value looks like a tick: an object with a time and a side, and no open."""
    if not isinstance(value, dict) or any(key in value for key in KEYS["open"]):
        return False
    sides = (*TICK_KEYS["bid"], *TICK_KEYS["ask"])
    return any(map(value.__contains__, TICK_KEYS["time"])) and any(map(value.__contains__, sides))


def _may_hold_a_row(value: Any) -> bool:
    return isinstance(value, dict | list)


def _load(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
