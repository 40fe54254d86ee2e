"""Formats of candles and ticks, recognised from content; one module for each dialect."""

from collections.abc import Sequence
from typing import Any

from gfil.errors import BadParameter, BadRequest, Option
from gfil.ingest.detect.sniff import Format, Sniff
from gfil.ingest.formats import (
    binance,
    csv_header,
    csv_plain,
    dukascopy,
    histdata,
    json_rows,
    mt4,
    mt5,
    ndjson,
    ticks,
    udf,
)

TEXTS: tuple[Any, ...] = (ticks, mt5, dukascopy, csv_header, mt4, histdata, binance, csv_plain)
JSONS: tuple[Any, ...] = (ticks, udf, binance, json_rows, ndjson)
FAMILIES = {"csv": TEXTS, "json": JSONS}
"""Names that announce any format made of lines, or any JSON format."""

NAMES = tuple(sorted({dialect.NAME for dialect in (*TEXTS, *JSONS)}))
SHOWN_MAX = 60  # characters of an unrecognised first line in the error


class UnknownFormat(BadRequest):
    """The content has no known format, or another than the announced one."""

    type = "unknown_format"
    title = "Unknown format"


def check_name(name: str) -> str:
    """Return the name of a format in lower case.

    Raises:
        BadParameter: no format has this name.
    """
    if name.casefold() not in NAMES:
        raise BadParameter(f"unknown format {name[:32]!r}: use one of {' '.join(NAMES)}")
    return name.casefold()


def recognise(
    data: bytes,
    announced: str | None = None,
    columns: Sequence[str] | None = None,
    kind: str | None = None,
) -> Format:
    """Return the format of an input by its first bytes.

    `columns` are the fields of the cells, where the user states them. `kind` decides about rows
    that could be candles or ticks.

    Raises:
        UnknownFormat: the input has no known format, or another than the announced one.
    """
    head = Sniff(data, columns, kind)
    if not head.lines:
        raise UnknownFormat("the input is empty")
    dialects = JSONS if head.is_json else TEXTS
    if announced:
        named = tuple(dialect for dialect in dialects if announced == dialect.NAME)
        dialects = dialects if dialects == FAMILIES.get(announced) else named
    if columns and not head.is_json and csv_header in dialects:
        dialects = (csv_header,)
    for dialect in dialects:
        recognised: Format | None = dialect.recognise(head)
        if recognised is not None:
            return recognised
    fault = f"not {announced}" if announced else "unknown format"
    begins = f"{fault}: the input begins with {head.lines[0][:SHOWN_MAX]!r}"
    hint = () if head.is_json else ("; ", Option("columns"), " can name its cells")
    raise UnknownFormat((begins, *hint))
