"""JSON values to typed columns: in one call where the values are alike, else one by one."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson

from gfil.ingest.parse import numbers, tick_timestamps, timestamps
from gfil.ingest.parse.columns import TICKS, ColumnLayout, Kind, place_columns
from gfil.ingest.parse.rows import RowTable, assemble
from gfil.ingest.refusals import BadRow, Refuse
from gfil.ingest.source.byte_stream import ByteStream
from gfil.ingest.source.json_stream import read_elements
from gfil.ingest.source.lines import LINE_BYTES_MAX, read_blocks

TICK_ARRAY = place_columns(("time", "bid", "ask", "last", "volume", "flags"))
ARRAY = place_columns(("time", "open", "high", "low", "close", "volume"))
"""The default columns of a candle and of a tick that is an array."""

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
"""The keys a field may have in an object; the first key present counts."""

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

NOT_REGULAR = (ValueError, TypeError, KeyError, OverflowError)
"""Raised for values that are not all alike."""

ColumnsByField = Mapping[str, Sequence[Any]]
"""The cells of each field that the rows have."""


def keys_of(kind: Kind) -> Mapping[str, Sequence[str]]:
    """Return the keys that the fields of a kind may have in an object."""
    return TICK_KEYS if kind == TICKS else KEYS


def read_array(
    pieces: ByteStream, before: int, layout: ColumnLayout, refuse: Refuse, wrapped: bool = False
) -> Iterator[RowTable]:
    """Yield the rows of a JSON array that begins after `before` bytes, numbered from 0.

    `wrapped`: the array is a value of an object.
    """
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
    # Fast for a short input: no element can be too long, and nothing follows the array.
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


def read_lines(pieces: ByteStream, layout: ColumnLayout, refuse: Refuse) -> Iterator[RowTable]:
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
    values: Sequence[Any], rows: Sequence[int], layout: ColumnLayout, refuse: Refuse
) -> RowTable:
    """Return the rows of JSON values; refuse values that are no row."""
    try:
        return read_regular_values(values, rows, layout)
    except NOT_REGULAR:
        return _read_one_by_one(values, rows, layout, refuse)


def _read_raw(
    raw: Sequence[bytes], row: int, layout: ColumnLayout, refuse: Refuse, skip_blank: bool = False
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
    try:  # accepts NaN and Infinity, which get a reason of their own
        return json.loads(text.decode())
    except (ValueError, RecursionError):
        raise BadRow("not_a_number" if text.strip() else "missing_field") from None


def read_regular_values(
    values: Sequence[Any], rows: Sequence[int], layout: ColumnLayout
) -> RowTable:
    """Return the rows of JSON values that are all alike: objects with the same keys, or arrays.

    Raises:
        ValueError, TypeError, KeyError, OverflowError: some value differs or is no row.
    """
    kind = layout.kind
    if isinstance(values[0], dict):
        columns = _columns_of_objects(values, kind)
    else:
        columns = _columns_of_arrays(values, layout)
    time, zoned, msc = _read_times(columns["time"], kind)
    return RowTable(
        rows,
        time,
        zoned,
        msc,
        tuple(_read_numbers(columns, name, kind, len(rows)) for name in kind.numbers),
        _texts(columns.get("symbol")),
        _texts(columns.get("timeframe")),
        _texts_of(values, rows),
    )


def _read_numbers(columns: ColumnsByField, name: str, kind: Kind, rows: int) -> list[float]:
    if name not in columns and name not in kind.required:
        return [0] * rows
    return numbers.read_values(columns[name])


def _read_times(stamps: Sequence[Any], kind: Kind) -> tuple[list[int], bool, list[int] | None]:
    if kind == TICKS:
        return tick_timestamps.read_values(stamps)
    return *timestamps.read_values(stamps), None


def _columns_of_objects(values: Sequence[Any], kind: Kind) -> ColumnsByField:
    keys = values[0].keys()
    if set(map(type, values)) != {dict} or not all(map(keys.__eq__, map(dict.keys, values))):
        raise ValueError("objects of different keys")
    columns: dict[str, list[Any]] = {}
    for field, names in keys_of(kind).items():
        key = next(filter(keys.__contains__, names), None)
        if key is not None:
            columns[field] = list(map(itemgetter(key), values))
    return columns


def _columns_of_arrays(values: Sequence[Any], layout: ColumnLayout) -> ColumnsByField:
    if set(map(type, values)) != {list} or layout.date is not None:
        raise ValueError("not all arrays")
    cells = list(zip(*values, strict=True))
    places = {field: layout.find(field) for field in keys_of(layout.kind)}
    return {
        field: cells[index]
        for field, index in places.items()
        if index is not None and index < len(cells)
    }


def _texts(column: Sequence[Any] | None) -> list[str] | None:
    if column is not None and set(map(type, column)) != {str}:
        raise ValueError("not all texts")
    return None if column is None else list(column)


def _read_one_by_one(
    values: Sequence[Any], rows: Sequence[int], layout: ColumnLayout, refuse: Refuse
) -> RowTable:
    good: list[int] = []
    cells: list[tuple[Any, ...]] = []
    text = _texts_of(values, rows)
    for row, value in zip(rows, values, strict=True):
        try:
            cells.append(_read_value(value, layout))
            good.append(row)
        except BadRow as error:
            refuse(row, error.reason, text(row))
    return assemble(good, cells, text)


def _read_value(value: Any, layout: ColumnLayout) -> tuple[Any, ...]:
    if isinstance(value, dict):
        get = _getter_of_object(value, layout.kind)
    elif isinstance(value, list):
        get = _getter_of_array(value, layout)
    else:
        raise BadRow("missing_field")
    symbol, timeframe = get("symbol"), get("timeframe")
    return (
        *timestamps.parse_value(get("time")),
        *(_parse_number(get(name), name, layout.kind) for name in layout.kind.numbers),
        symbol if isinstance(symbol, str) else "",
        timeframe if isinstance(timeframe, str) else "",
    )


def _parse_number(cell: Any, name: str, kind: Kind) -> float:
    is_blank = cell is None or (isinstance(cell, str) and not cell.strip())
    return 0 if is_blank and name not in kind.required else numbers.parse_value(cell)


def _getter_of_object(value: dict[str, Any], kind: Kind) -> Callable[[str], Any]:
    def get(name: str) -> Any:
        return next((value[key] for key in keys_of(kind)[name] if key in value), None)

    return get


def _getter_of_array(value: list[Any], layout: ColumnLayout) -> Callable[[str], Any]:
    def get(name: str) -> Any:
        at = layout.find(name)
        cell = value[at] if at is not None and at < len(value) else None
        if name == "time" and layout.date is not None and layout.date < len(value):
            return f"{value[layout.date]} {cell}"
        return cell

    return get


def _texts_of(values: Sequence[Any], rows: Sequence[int]) -> Callable[[int], str]:
    indices: dict[int, int] = {}

    def text(row: int) -> str:
        if not indices:
            indices.update((row, index) for index, row in enumerate(rows))
        try:
            return json.dumps(values[indices[row]], ensure_ascii=False, separators=(",", ":"))
        except RecursionError:
            return "too many nested brackets"

    return text
