"""Ticks: MetaTrader 5 export, CSV with a header, JSON as `{"ticks":[…]}`, array or lines."""

from collections.abc import Sequence
from typing import Any

import orjson

from gfil.ingest.detect.header_names import name_tick_cells, read_words
from gfil.ingest.detect.json_sniff import is_row, is_tick, read_opening, read_sample
from gfil.ingest.detect.sniff import SEPARATORS, Format, Sniff, of_header
from gfil.ingest.formats.json_rows import name_columns, text_of
from gfil.ingest.parse.columns import PRICES, TICKS, kind_of, place_columns
from gfil.ingest.parse.json_rows import TICK_ARRAY, read_array, read_lines

NAME = "ticks"


def recognise(head: Sniff) -> Format | None:
    """Return the format of rows with bid and ask."""
    if head.is_json:
        return _recognise_json(head)
    return None if head.columns else _recognise_header(head)


def _recognise_header(head: Sniff) -> Format | None:
    is_mt5 = head.lines[0].lstrip('"').startswith("<")
    separator, words = read_words(head, (*SEPARATORS, " ") if is_mt5 else SEPARATORS)
    sample = head.cells(1, separator) if len(head.lines) > 1 and not is_mt5 else ()
    names = name_tick_cells(words, sample)
    if names is None or {*PRICES} & set(words):
        return None
    return of_header(NAME, head, names, separator, keeps_sides=is_mt5)


def _recognise_json(head: Sniff) -> Format | None:
    if head.columns and kind_of(head.columns) != TICKS:
        return None
    opening = read_opening(head)
    if opening is not None and opening.key != "ticks":
        return None
    if opening is None and not head.data.lstrip().startswith(b"["):
        return _recognise_lines(head)
    sample = read_sample(head, opening.before if opening else head.data.index(b"[") + 1)
    if sample is None:
        return None
    is_certain = opening is not None or bool(head.columns) or _is_announced(head, sample.values)
    first = next((value for value in sample.values if is_certain or is_tick(value)), None)
    if first is None and not is_certain:
        return None
    layout = place_columns(head.columns) if head.columns else TICK_ARRAY
    outer = opening.head if opening else {}
    return Format(
        NAME,
        name_columns(first, head.columns, TICKS),
        lambda pieces, refuse: read_array(
            pieces, sample.before, layout, refuse, opening is not None
        ),
        symbol=text_of(outer, "symbol"),
        clock=text_of(outer, "clock"),
        kind=TICKS,
    )


def _recognise_lines(head: Sniff) -> Format | None:
    values = [value for value in map(_load, head.lines) if isinstance(value, dict)]
    is_certain = bool(values) and _is_announced(head, values)
    value = next((value for value in values if is_certain or is_tick(value)), None)
    if value is None:
        return None
    return Format(
        NAME,
        name_columns(value, head.columns, TICKS),
        lambda pieces, refuse: read_lines(pieces, TICK_ARRAY, refuse),
        kind=TICKS,
    )


def _is_announced(head: Sniff, values: Sequence[Any]) -> bool:
    # Announced ticks may lack bid and ask, which are 0 then, but must not look like candles.
    return head.kind == TICKS.name and not any(map(is_row, values))


def _load(line: str) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
