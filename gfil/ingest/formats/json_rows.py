"""A JSON array of objects or arrays, bare or as `{"candles":[…]}`."""

from collections.abc import Mapping, Sequence
from typing import Any

from gfil.errors import BadParameter, Option
from gfil.ingest.detect.json_sniff import is_row, read_opening, read_sample
from gfil.ingest.detect.sniff import Format, Sniff
from gfil.ingest.parse.columns import CANDLES, Kind, kind_of, place_columns
from gfil.ingest.parse.json_rows import ARRAY, keys_of, read_array

NAME = "json"


def recognise(head: Sniff) -> Format | None:
    """Return the format of an array with elements that may be rows."""
    if kind_of(head.columns or ()) != CANDLES:
        return None
    opening = read_opening(head)
    if opening is not None and opening.key != "candles":
        return None
    if opening is None and not head.data.lstrip().startswith(b"["):
        return None
    sample = read_sample(head, opening.before if opening else head.data.index(b"[") + 1)
    if sample is None:
        return None
    first = next((value for value in sample.values if head.columns or is_row(value)), None)
    if first is None and sample.values:
        return None
    layout = place_columns(head.columns) if head.columns else ARRAY
    outer = opening.head if opening else {}
    return Format(
        NAME,
        name_columns(first, head.columns),
        lambda pieces, refuse: read_array(
            pieces, sample.before, layout, refuse, opening is not None
        ),
        symbol=text_of(outer, "symbol"),
        timeframe=text_of(outer, "tf"),
        clock=text_of(outer, "clock"),
    )


def name_columns(value: Any, columns: Sequence[str] | None, kind: Kind = CANDLES) -> Sequence[str]:
    """Return the fields of an array in order, or the keys of the fields in an object.

    Raises:
        BadParameter: columns are stated for an object.
    """
    if not isinstance(value, dict):
        return columns or ("time", *kind.numbers)
    if columns:
        named = " names the cells of lines and arrays; these rows are objects"
        raise BadParameter((Option("columns"), named))
    return [
        next(key for key in keys if key in value)
        for keys in keys_of(kind).values()
        if set(keys) & set(value)
    ]


def text_of(outer: Mapping[str, Any], key: str) -> str | None:
    """Return the value of a key if it is a text."""
    value = outer.get(key)
    return value if isinstance(value, str) else None
