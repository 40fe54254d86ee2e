"""Reads bytes as an import does, and gives back plain rows to compare."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from gfil.ingest import delimited, elements, formats, splitter, table
from gfil.ingest.layout import TICKS
from gfil.ingest.pieces import Pieces

Row = tuple[Any, ...]
Refused = tuple[int, str, str]


def rows_of(read: table.Table, ticks: bool = False) -> list[Row]:
    """Return each row as (number, seconds, zoned, its five numbers, symbol, tf); milliseconds
    follow the seconds' zone where the rows are ticks."""
    count = len(read)
    zoned = read.zoned if isinstance(read.zoned, list) else [read.zoned] * count
    columns = (read.row, read.time, zoned, *([read.msc] if ticks else []), *read.values)
    names = (
        [name.strip() for name in column or [""] * count]
        for column in (read.symbol, read.timeframe)
    )
    return list(zip(*columns, *names, strict=True))


def read_rows(
    data: bytes,
    *,
    announced: str | None = None,
    columns: Sequence[str] | None = None,
    chunk_bytes: int = 1 << 20,
) -> tuple[list[Row], list[Refused]]:
    """Return the lawful rows of a source, and its refused ones by number."""
    chunks = (data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes))
    pieces = Pieces(chunks)
    found = formats.recognise(pieces.head(), announced, columns)
    refused: list[Refused] = []

    def refuse(row: int, reason: str, text: str) -> None:
        refused.append((row, reason, text[:200]))

    ticks = found.kind == TICKS
    check = table.check_ticks if ticks else table.check
    rows = [
        row for read in found.read(pieces, refuse) for row in rows_of(check(read, refuse), ticks)
    ]
    return rows, sorted(refused)


@contextmanager
def one_by_one() -> Iterator[None]:
    """Let every row be read by itself, as if each block had something irregular in it."""

    def fail(*_: Any) -> Any:
        raise ValueError("told to take a closer look")

    nothing_at_once = splitter._Splitter._at_once

    def hold(self: Any, data: bytes) -> Any:
        return nothing_at_once(self, b"")[0], data

    with (
        patch.object(delimited, "read_at_once", fail),
        patch.object(elements, "_read_at_once", fail),
        patch.object(elements, "_load_short", lambda *_: None),
        patch.object(splitter._Splitter, "_at_once", hold),
        patch.object(table, "_is_lawful", lambda *_: False),
        patch.object(table, "_are_ticks", lambda *_: False),
    ):
        yield
