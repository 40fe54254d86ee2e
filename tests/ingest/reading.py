"""Reads bytes as an import does and returns plain rows for comparison."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from gfil.ingest import formats
from gfil.ingest.parse import delimited, json_rows
from gfil.ingest.parse import rows as row_tables
from gfil.ingest.parse.columns import TICKS
from gfil.ingest.source import json_stream
from gfil.ingest.source.byte_stream import ByteStream

Row = tuple[Any, ...]
Refused = tuple[int, str, str]


def rows_of(read: row_tables.RowTable, ticks: bool = False) -> list[Row]:
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
    """Return the good rows of an input, and the refused rows by number."""
    chunks = (data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes))
    pieces = ByteStream(chunks)
    found = formats.recognise(pieces.head(), announced, columns)
    refused: list[Refused] = []

    def refuse(row: int, reason: str, text: str) -> None:
        refused.append((row, reason, text[:200]))

    ticks = found.kind == TICKS
    check = row_tables.check_ticks if ticks else row_tables.check_candles
    rows = [
        row for read in found.read(pieces, refuse) for row in rows_of(check(read, refuse), ticks)
    ]
    return rows, sorted(refused)


@contextmanager
def one_by_one() -> Iterator[None]:
    """Read every row by itself, as if each block held an irregular one."""

    def fail(*_: Any) -> Any:
        raise ValueError("read one by one")

    parse_block = json_stream._Splitter._parse_block

    def hold(self: Any, data: bytes) -> Any:
        return parse_block(self, b"")[0], data

    with (
        patch.object(delimited, "read_block", fail),
        patch.object(json_rows, "read_regular_values", fail),
        patch.object(json_rows, "_load_short", lambda *_: None),
        patch.object(json_stream._Splitter, "_parse_block", hold),
        patch.object(row_tables, "_are_valid_candles", lambda *_: False),
        patch.object(row_tables, "_are_valid_ticks", lambda *_: False),
    ):
        yield
