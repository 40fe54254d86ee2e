"""The direct way of a small JSON request: body, typed columns, buckets, one transaction."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import apsw
import orjson

from gfil import clocks, timeframes
from gfil.clocks import UTC
from gfil.errors import Option
from gfil.ingest.load.atomic import AtomicWrite
from gfil.ingest.load.series import SeriesHint, SeriesReader
from gfil.ingest.load.writing import WriteOptions
from gfil.ingest.options import Options
from gfil.ingest.parse.columns import CANDLES, TICKS, Kind
from gfil.ingest.parse.json_rows import ARRAY, KEYS, NOT_REGULAR, TICK_ARRAY, read_regular_values
from gfil.ingest.parse.rows import RowTable
from gfil.ingest.report import Report
from gfil.ingest.source.lines import LINE_BYTES_MAX, may_be_overlong

BODY_BYTES_MAX = 1_000_000  # the values of a larger body take too much memory
HEAD_KEYS = {"symbol", "tf", "clock"}
FORMAT_NAMES = {TICKS: "ticks", CANDLES: "json"}
OPEN_KEYS = {*KEYS["open"]}


class TypedBody(NamedTuple):
    """The rows of a body, and the texts in its outermost object besides them."""

    table: RowTable
    head: Mapping[str, str]


def prepare(
    db: apsw.Connection, data: bytes, options: Options, *, now: float
) -> AtomicWrite | None:
    """Read and check a JSON body of regular rows; `AtomicWrite.store` stores it.

    Return None for every other body: the general way in `importer` reads it, with the same result.

    Raises:
        BadParameter, SymbolCase, Refused: as `importer.load`.
    """
    kind = TICKS if options.kind == TICKS.name else CANDLES
    is_special = options.format or options.columns or options.dry_run
    body = None if is_special else parse(data, kind)
    if body is None or (kind == TICKS and options.timeframe):
        return None
    clock = options.clock or (clocks.parse(body.head["clock"]) if body.head.get("clock") else UTC)
    report = Report("-", clock.name, FORMAT_NAMES[kind], is_on_ticks=kind == TICKS)
    hint = _find_hint(body.head, options, kind)
    reader = SeriesReader(db, hint, clock, report, kind, now=now)
    write_options = WriteOptions(clock, options.fill, now)
    atomic = AtomicWrite(report, write_options, abort=options.abort, dry_run=False)
    for batch in (*reader.take(body.table), *reader.finish()):
        atomic.add(*batch)
    atomic.check()
    return atomic


def parse(data: bytes, kind: Kind) -> TypedBody | None:
    """Return the rows of `{"ticks":[…]}`, `{"candles":[…]}` or of an array, if all are alike.

    The rows are objects with the same keys, or arrays in the default order. Return None for any
    other body, and for one that the general way could read differently.
    """
    is_long = len(data) > LINE_BYTES_MAX
    if len(data) > BODY_BYTES_MAX or (is_long and may_be_overlong(data, b"}", b"]")):
        return None
    if b"\\" in data or data.count(b'"%b"' % kind.name.encode()) > 1:  # a key may be there twice
        return None
    try:
        body = orjson.loads(data)
        values, head = _unwrap(body, kind)
        if not _is_regular(values, kind, is_wrapped=values is not body):
            return None
        layout = TICK_ARRAY if kind == TICKS else ARRAY
        return TypedBody(read_regular_values(values, range(len(values)), layout), head)
    except NOT_REGULAR:  # among them orjson.JSONDecodeError
        return None


def _unwrap(body: Any, kind: Kind) -> tuple[Any, Mapping[str, str]]:
    if not isinstance(body, dict):
        return body, {}
    *head_keys, last_key = body
    head = {key: body[key] for key in head_keys}
    if last_key != kind.name or not HEAD_KEYS.issuperset(head):
        raise ValueError("other keys than those of rows and head")
    if not all(isinstance(value, str) for value in head.values()):
        raise ValueError("not all texts")
    return body[last_key], head


def _is_regular(values: Any, kind: Kind, *, is_wrapped: bool) -> bool:
    if not isinstance(values, list) or not values:
        return False
    if isinstance(values[0], dict):  # ticks without a wrapper are known by their keys
        return is_wrapped or (kind == CANDLES) is bool(OPEN_KEYS & values[0].keys())
    layout = TICK_ARRAY if kind == TICKS else ARRAY
    return (
        isinstance(values[0], list)
        and len(values[0]) <= layout.width
        and (is_wrapped or kind == CANDLES)
    )


def _find_hint(head: Mapping[str, str], options: Options, kind: Kind) -> SeriesHint:
    symbol = options.symbol or head.get("symbol") or None
    if kind == TICKS:
        return SeriesHint(symbol)
    in_head = timeframes.parse(head["tf"]) if head.get("tf") else None
    if options.timeframe is not None:
        return SeriesHint(symbol, options.timeframe, Option("tf"), options.force_timeframe)
    source = "the file" if in_head else ""
    return SeriesHint(symbol, in_head, source, options.force_timeframe)
