"""TradingView's UDF columns: `{"s":"ok","t":[…],"o":[…],"h":[…],"l":[…],"c":[…],"v":[…]}`."""

import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import orjson

from gfil.ingest.elements import ARRAY, read_values
from gfil.ingest.head import Format, Head
from gfil.ingest.jsonhead import read_opening
from gfil.ingest.pieces import Pieces
from gfil.ingest.table import Refuse, Table

NAME = "udf"
COLUMNS = ("t", "o", "h", "l", "c", "v")
BYTES_MAX = 64 * 1024 * 1024  # columns cannot be read row by row: they are held whole
ROWS_AT_ONCE = 10_000


def recognise(head: Head) -> Format | None:
    """Return the format of an object of such columns, or of its answer that there are none."""
    opening = read_opening(head)
    if opening is None:
        return Format(NAME, COLUMNS, read) if _says_no_data(head) else None
    return Format(NAME, COLUMNS, read) if opening.key in COLUMNS else None


def _says_no_data(head: Head) -> bool:
    try:
        value = orjson.loads(head.data)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and value.get("s") == "no_data"


def read(pieces: Pieces, refuse: Refuse) -> Iterator[Table]:
    """Yield the rows of the columns, numbered from 0."""
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > BYTES_MAX:
            refuse(0, "too_large", f"columns of more than {BYTES_MAX} bytes")
            return
    columns = _load(bytes(data))
    if columns is None:
        refuse(0, "truncated", data[-200:].decode("utf-8", "replace"))
        return
    values = [list(row) for row in zip_longest(*columns)]
    for start in range(0, len(values), ROWS_AT_ONCE):
        part = values[start : start + ROWS_AT_ONCE]
        yield read_values(part, range(start, start + len(part)), ARRAY, refuse)


def _load(data: bytes) -> list[list[Any]] | None:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        try:  # takes NaN and Infinity, which cost their rows and not the rest
            value = json.loads(data)
        except (ValueError, RecursionError):
            return None
    columns = [value.get(name, []) for name in COLUMNS]
    return [column if isinstance(column, list) else [] for column in columns]
