"""JSON values to typed columns: all at once where they are alike, else one by one."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson

from gfil.ingest.parse import numbers, tick_timestamps, timestamps
from gfil.ingest.parse.columns import TICKS, Columns, Kind, place_columns
from gfil.ingest.parse.rows import BadRow, Refuse, RowTable, assemble
from gfil.ingest.source.byte_stream import ByteStream
from gfil.ingest.source.json_stream import read_elements
from gfil.ingest.source.lines import LINE_BYTES_MAX, read_blocks

TICK_ARRAY = place_columns(("time", "bid", "ask", "last", "volume", "flags"))
ARRAY = place_columns(("time", "open", "high", "low", "close", "volume"))
"""The cells of a row that is an array, unless told; those of a tick likewise."""

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

TICK_KEYS = {
    "time": ("time_msc", *KEYS["time"]),
    "bid": ("bid", "bidPrice"),
    "ask": ("ask", "askPrice"),
    "last": ("last",),
    "volume": ("volume", "volume_real"),
    "flags": ("flags",),
    "symbol": KEYS["symbol"],
    "timeframe": (),
}


Column = Callable[[str], Any]
"""Gives the cells of a field, None where there are none."""


def keys_of(kind: Kind) -> Mapping[str, Sequence[str]]:
    """Return the names that the fields of a kind may have in an object."""
    return TICK_KEYS if kind == TICKS else KEYS


def read_array(
    pieces: ByteStream, before: int, layout: Columns, refuse: Refuse, wrapped: bool = False
) -> Iterator[RowTable]:
    """Yield the rows of a JSON array that begins after `before` bytes, numbered from 0."""
    short = _load_short(pieces, before, wrapped)
    if short is not None:
        if short:
            yield read_values(short, range(len(short)), layout, refuse)
        return
    for elements in read_elements(pieces, before, refuse, wrapped):
        values, rows = elements.values, range(elements.row, elements.row + len(elements.values))
        if elements.raw:
            yield _read_raw(elements.raw, elements.row, layout, refuse)
        elif values:
            yield read_values(values, rows, layout, refuse)


def _load_short(pieces: ByteStream, before: int, wrapped: bool) -> list[Any] | None:
    # What a sender of a few ticks waits for: no element can be too long, and nothing follows.
    data = pieces.head()
    end = data.rfind(b"]") + 1
    if len(data) > LINE_BYTES_MAX or pieces.cut:
        return None
    if data[end:].strip(b" \t\r\n") != (b"}" if wrapped else b""):
        return None
    try:
        values: list[Any] = orjson.loads(data[before - 1 : end])
    except orjson.JSONDecodeError:
        return None
    return values


def read_lines(pieces: ByteStream, layout: Columns, refuse: Refuse) -> Iterator[RowTable]:
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
    values: Sequence[Any], rows: Sequence[int], layout: Columns, refuse: Refuse
) -> RowTable:
    """Return the good rows among JSON values; tell the others and why."""
    try:
        return _read_at_once(values, rows, layout)
    except (ValueError, TypeError, KeyError, OverflowError):
        return _read_one_by_one(values, rows, layout, refuse)


def _read_raw(
    raw: Sequence[bytes], row: int, layout: Columns, refuse: Refuse, skip_blank: bool = False
) -> RowTable:
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


def _read_at_once(values: Sequence[Any], rows: Sequence[int], layout: Columns) -> RowTable:
    kind = layout.kind
    column = (
        _columns_of_objects(values, kind)
        if isinstance(values[0], dict)
        else _columns_of_arrays(values, layout)
    )

    def read(name: str) -> list[float]:
        cells = column(name)
        if cells is None and name not in kind.required:
            return [0] * len(rows)
        return numbers.read_values(cells)

    time, zoned, msc = _read_times(column("time"), kind)
    return RowTable(
        rows,
        time,
        zoned,
        msc,
        tuple(map(read, kind.numbers)),
        _texts(column("symbol")),
        _texts(column("timeframe")),
        _text_of(values, rows),
    )


def _read_times(stamps: Sequence[Any], kind: Kind) -> tuple[list[int], bool, list[int] | None]:
    if kind == TICKS:
        return tick_timestamps.read_values(stamps)
    return *timestamps.read_values(stamps), None


def _columns_of_objects(values: Sequence[Any], kind: Kind) -> Column:
    keys = values[0].keys()
    if set(map(type, values)) != {dict} or not all(map(keys.__eq__, map(dict.keys, values))):
        raise ValueError("objects of different keys")

    def column(name: str) -> list[Any] | None:
        key = next((key for key in keys_of(kind)[name] if key in keys), None)
        return None if key is None else list(map(itemgetter(key), values))

    return column


def _columns_of_arrays(values: Sequence[Any], layout: Columns) -> Column:
    if set(map(type, values)) != {list} or layout.date is not None:
        raise ValueError("not all arrays")
    columns = list(zip(*values, strict=True))

    def column(name: str) -> Sequence[Any] | None:
        at = layout.find(name)
        return None if at is None or at >= len(columns) else columns[at]

    return column


def _texts(column: Sequence[Any] | None) -> list[str] | None:
    if column is not None and set(map(type, column)) != {str}:
        raise ValueError("not all texts")
    return None if column is None else list(column)


def _read_one_by_one(
    values: Sequence[Any], rows: Sequence[int], layout: Columns, refuse: Refuse
) -> RowTable:
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


def _read_value(value: Any, layout: Columns) -> tuple[Any, ...]:
    if isinstance(value, dict):
        get = _getter_of_object(value, layout.kind)
    elif isinstance(value, list):
        get = _getter_of_array(value, layout)
    else:
        raise BadRow("missing_field")
    symbol, timeframe = get("symbol"), get("timeframe")

    def number(name: str) -> float:
        cell = get(name)
        is_blank = cell is None or (isinstance(cell, str) and not cell.strip())
        is_zero = is_blank and name not in layout.kind.required
        return 0 if is_zero else numbers.parse_value(cell)

    return (
        *timestamps.parse_value(get("time")),
        *map(number, layout.kind.numbers),
        symbol if isinstance(symbol, str) else "",
        timeframe if isinstance(timeframe, str) else "",
    )


def _getter_of_object(value: dict[str, Any], kind: Kind) -> Callable[[str], Any]:
    def get(name: str) -> Any:
        return next((value[key] for key in keys_of(kind)[name] if key in value), None)

    return get


def _getter_of_array(value: list[Any], layout: Columns) -> Callable[[str], Any]:
    def get(name: str) -> Any:
        at = layout.find(name)
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
