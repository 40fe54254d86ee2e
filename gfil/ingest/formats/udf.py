"""TradingView UDF columns: `{"s":"ok","t":[…],"o":[…],"h":[…],"l":[…],"c":[…],"v":[…]}`."""

import json
import re
from collections.abc import Iterator
from itertools import islice, zip_longest
from typing import Any

import orjson

from gfil.ingest.detect.json_sniff import read_opening
from gfil.ingest.detect.sniff import Format, Sniff
from gfil.ingest.parse.json_rows import ARRAY, read_values
from gfil.ingest.parse.rows import RowTable
from gfil.ingest.refusals import Refuse
from gfil.ingest.source.byte_stream import ByteStream
from gfil.wording import format_number

NAME = "udf"
COLUMNS = ("t", "o", "h", "l", "c", "v")
BYTES_MAX = 16 * 1024 * 1024  # columns cannot be read row by row: the whole text is in memory
SEGMENT_BYTES = 16 * 1024  # of a column parsed in one call: values take far more memory than text
ROWS_AT_ONCE = 4_000

_COLUMN = re.compile(rb'"([tohlcv])"\s*:\s*\[([^\]]*)\]')


def recognise(head: Sniff) -> Format | None:
    """Return the format of an object of such columns, or of the answer `no_data`."""
    opening = read_opening(head)
    if opening is None:
        return Format(NAME, COLUMNS, read) if _is_no_data(head) else None
    return Format(NAME, COLUMNS, read) if opening.key in COLUMNS else None


def _is_no_data(head: Sniff) -> bool:
    try:
        value = orjson.loads(head.data)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and value.get("s") == "no_data"


def read(pieces: ByteStream, refuse: Refuse) -> Iterator[RowTable]:
    """Yield the rows of the columns, numbered from 0."""
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > BYTES_MAX:
            refuse(0, "too_large", f"columns of more than {format_number(BYTES_MAX)} bytes")
            return
    if not data.rstrip().endswith(b"}"):
        refuse(0, "truncated", data[-200:].decode("utf-8", "replace"))
        return
    spans = {match[1].decode(): match.span(2) for match in _COLUMN.finditer(data)}
    columns = [_read_column(data, *spans.get(name, (0, 0))) for name in COLUMNS]
    values = map(list, zip_longest(*columns))
    start = 0
    try:
        while part := list(islice(values, ROWS_AT_ONCE)):
            yield read_values(part, range(start, start + len(part)), ARRAY, refuse)
            start += len(part)
    except (ValueError, RecursionError):
        refuse(start, "truncated", "a column is invalid JSON")


def _read_column(data: bytearray, start: int, stop: int) -> Iterator[Any]:
    while start < stop:
        end = stop
        if stop - start > SEGMENT_BYTES:
            end = max(data.rfind(b",", start, start + SEGMENT_BYTES), start)
        yield from _load(b"[%b]" % bytes(data[start:end]))
        start = end + 1


def _load(array: bytes) -> list[Any]:
    try:
        values: list[Any] = orjson.loads(array)
    except orjson.JSONDecodeError:
        values = json.loads(array)  # accepts NaN and Infinity, so that only their rows are refused
    return values
