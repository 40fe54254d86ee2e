"""The formats, recognised from content; one module for each dialect."""

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
"""A name that stands for all formats made of lines, and of JSON, beside its own."""

NAMES = tuple(sorted({dialect.NAME for dialect in (*TEXTS, *JSONS)}))
SHOWN_MAX = 60  # characters of a first line that nothing recognises


class UnknownFormat(BadRequest):
    """Content of no format this program knows, or not of the one announced."""

    type = "unknown_format"
    title = "Unknown format"


def check_name(name: str) -> str:
    """Return the name if a format has it.

    Raises:
        BadParameter: none has.
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
    """Return the format of a source by its first bytes; `columns` name the cells of its rows.

    `kind` is what the rows are said to be of, for those that could be of either.

    Raises:
        UnknownFormat: it has none, or another than announced.
    """
    head = Sniff(data, columns, kind)
    if not head.lines:
        raise UnknownFormat("there is nothing in it")
    dialects = JSONS if head.is_json else TEXTS
    if announced:
        named = tuple(dialect for dialect in dialects if announced == dialect.NAME)
        dialects = dialects if dialects == FAMILIES.get(announced) else named
    if columns and not head.is_json and csv_header in dialects:
        dialects = (csv_header,)
    for dialect in dialects:
        found: Format | None = dialect.recognise(head)
        if found is not None:
            return found
    what = f"not {announced}" if announced else "no format known here"
    begins = f"{what}: it begins with {head.lines[0][:SHOWN_MAX]!r}"
    hint = () if head.is_json else ("; ", Option("columns"), " can name its cells")
    raise UnknownFormat((begins, *hint))
