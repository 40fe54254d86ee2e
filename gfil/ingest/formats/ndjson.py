"""One JSON object or array on each line."""

from typing import Any

import orjson

from gfil.ingest.detect.json_sniff import is_row
from gfil.ingest.detect.sniff import Format, Sniff
from gfil.ingest.formats.json_rows import name_columns
from gfil.ingest.parse.columns import CANDLES, kind_of, place_columns
from gfil.ingest.parse.json_rows import ARRAY, read_lines

NAME = "ndjson"


def recognise(head: Sniff) -> Format | None:
    """Return the format if one of the first lines is a row."""
    if kind_of(head.columns or ()) != CANDLES:
        return None
    value = next(filter(lambda value: _may_be_row(value, head), map(_load, head.lines)), None)
    if value is None:
        return None
    layout = place_columns(head.columns) if head.columns else ARRAY
    return Format(
        NAME,
        name_columns(value, head.columns),
        lambda pieces, refuse: read_lines(pieces, layout, refuse),
    )


def _may_be_row(value: Any, head: Sniff) -> bool:
    return is_row(value) or (bool(head.columns) and isinstance(value, list))


def _load(line: str) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
