"""JSON values to typed columns: all at once where they are alike, else one by one."""

import json
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any

import orjson

from gfil.ingest import moments, numbers
from gfil.ingest.layout import PRICES, Layout, place
from gfil.ingest.lines import read_blocks
from gfil.ingest.pieces import Pieces
from gfil.ingest.splitter import read_elements
from gfil.ingest.table import BadRow, Refuse, Table, assemble

ARRAY = place(("time", "open", "high", "low", "close", "volume"))
"""The cells of a row that is an array, unless told."""

KEYS = {
    "time": ("ts", "t", "time", "timestamp", "date", "T", "openTime", "open_time", "datetime"),
    "open": ("o", "open", "O", "Open"),
    "high": ("h", "high", "H", "High"),
    "low": ("l", "low", "L", "Low"),
    "close": ("c", "close", "C", "Close"),
    "volume": ("v", "volume", "V", "Volume", "tick_volume", "tickvol", "vol"),
    "symbol": ("symbol", "instrument"),
    "timeframe": ("tf", "timeframe"),
}
"""The names a field may have in an object; the first present counts."""


def read_array(
    pieces: Pieces, before: int, layout: Layout, refuse: Refuse, wrapped: bool = False
) -> Iterator[Table]:
    """Yield the rows of a JSON array that begins after `before` bytes, numbered from 0."""
    for elements in read_elements(pieces, before, refuse, wrapped):
        values, rows = elements.values, range(elements.row, elements.row + len(elements.values))
        if elements.raw:
            yield _read_raw(elements.raw, elements.row, layout, refuse)
        elif values:
            yield read_values(values, rows, layout, refuse)


def read_lines(pieces: Pieces, layout: Layout, refuse: Refuse) -> Iterator[Table]:
    """Yield the rows of a text with one JSON value a line, numbered from 1."""
    for row, text in read_blocks(pieces, refuse):
        lines = text.split("\n")
        try:
            values = list(map(orjson.loads, lines))
        except orjson.JSONDecodeError:
            yield _read_raw([line.encode() for line in lines], row, layout, refuse, skip_blank=True)
        else:
            yield read_values(values, range(row, row + len(values)), layout, refuse)


def read_values(
    values: Sequence[Any], rows: Sequence[int], layout: Layout, refuse: Refuse
) -> Table:
    """Return the good rows among JSON values; tell the others and why."""
    try:
        return _read_at_once(values, rows, layout)
    except (ValueError, TypeError, KeyError, OverflowError):
        return _read_one_by_one(values, rows, layout, refuse)


def _read_raw(
    raw: Sequence[bytes], row: int, layout: Layout, refuse: Refuse, skip_blank: bool = False
) -> Table:
    values: list[Any] = []
    rows: list[int] = []
    for number, text in enumerate(raw, start=row):
        if skip_blank and not text.strip():
            continue
        try:
            values.append(_load(text))
            rows.append(number)
        except BadRow as error:
            refuse(number, error.reason, text.decode("utf-8", "replace").strip())
    return _read_one_by_one(values, rows, layout, refuse)


def _load(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:  # takes NaN and Infinity, so that they can be told from what is no JSON at all
        return json.loads(text.decode())
    except (ValueError, RecursionError):
        raise BadRow("not_a_number" if text.strip() else "missing_field") from None


def _read_at_once(values: Sequence[Any], rows: Sequence[int], layout: Layout) -> Table:
    column = (
        _columns_of_objects(values)
        if isinstance(values[0], dict)
        else _columns_of_arrays(values, layout)
    )
    stamps, volume = column("time"), column("volume", optional=True)
    assert stamps is not None
    time, zoned = moments.read_values(stamps)
    first, high, low, last = (numbers.read_values(column(name)) for name in PRICES)
    return Table(
        rows,
        time,
        zoned,
        first,
        high,
        low,
        last,
        [0.0] * len(rows) if volume is None else numbers.read_values(volume),
        _texts(column("symbol", optional=True)),
        _texts(column("timeframe", optional=True)),
        _text_of(values, rows),
    )


def _columns_of_objects(values: Sequence[Any]) -> Callable[..., Any]:
    keys = values[0].keys()
    if set(map(type, values)) != {dict} or not all(map(keys.__eq__, map(dict.keys, values))):
        raise ValueError("objects of different keys")

    def column(name: str, optional: bool = False) -> list[Any] | None:
        key = next((key for key in KEYS[name] if key in keys), None)
        if key is None and optional:
            return None
        return list(map(itemgetter(key), values))

    return column


def _columns_of_arrays(values: Sequence[Any], layout: Layout) -> Callable[..., Any]:
    if set(map(type, values)) != {list} or layout.date is not None:
        raise ValueError("not all arrays")
    columns = list(zip(*values, strict=True))
    if layout.volume is not None and layout.volume >= len(columns):
        layout = layout._replace(volume=None)
    if layout.needed > len(columns):
        raise ValueError("short arrays")

    def column(name: str, optional: bool = False) -> Sequence[Any] | None:
        at = getattr(layout, name)
        return None if at is None else columns[at]

    return column


def _texts(column: Sequence[Any] | None) -> list[str] | None:
    if column is not None and set(map(type, column)) != {str}:
        raise ValueError("not all texts")
    return None if column is None else list(column)


def _read_one_by_one(
    values: Sequence[Any], rows: Sequence[int], layout: Layout, refuse: Refuse
) -> Table:
    good: list[int] = []
    cells: list[tuple[Any, ...]] = []
    text = _text_of(values, rows)
    for row, value in zip(rows, values, strict=True):
        try:
            cells.append(_read_value(value, layout))
            good.append(row)
        except BadRow as error:
            refuse(row, error.reason, text(row))
    return assemble(good, cells, text)


def _read_value(value: Any, layout: Layout) -> tuple[Any, ...]:
    if isinstance(value, dict):
        get = _getter_of_object(value)
    elif isinstance(value, list):
        get = _getter_of_array(value, layout)
    else:
        raise BadRow("missing_field")
    volume, symbol, timeframe = get("volume"), get("symbol"), get("timeframe")
    return (
        *moments.parse_value(get("time")),
        *(numbers.parse_value(get(name)) for name in PRICES),
        0.0
        if volume is None or str(volume).isspace() or volume == ""
        else numbers.parse_value(volume),
        symbol if isinstance(symbol, str) else "",
        timeframe if isinstance(timeframe, str) else "",
    )


def _getter_of_object(value: dict[str, Any]) -> Callable[[str], Any]:
    def get(name: str) -> Any:
        return next((value[key] for key in KEYS[name] if key in value), None)

    return get


def _getter_of_array(value: list[Any], layout: Layout) -> Callable[[str], Any]:
    def get(name: str) -> Any:
        at = getattr(layout, name)
        cell = value[at] if at is not None and at < len(value) else None
        if name == "time" and layout.date is not None and layout.date < len(value):
            return f"{value[layout.date]} {cell}"
        return cell

    return get


def _text_of(values: Sequence[Any], rows: Sequence[int]) -> Callable[[int], str]:
    places: dict[int, int] = {}

    def text(row: int) -> str:
        if not places:
            places.update((row, place) for place, row in enumerate(rows))
        try:
            return json.dumps(values[places[row]], ensure_ascii=False, separators=(",", ":"))
        except RecursionError:
            return "brackets in brackets"

    return text
