"""Binance klines of 12 cells: JSON arrays with prices as texts, or CSV rows."""

from gfil.ingest.detect.json_sniff import is_row, read_sample
from gfil.ingest.detect.sniff import Format, Sniff, of_rows
from gfil.ingest.detect.sniff import is_row as is_row_of_cells
from gfil.ingest.parse.json_rows import ARRAY, read_array

NAME = "binance"
NAMES = ("time", "open", "high", "low", "close", "volume")
WIDTH = 12


def recognise(head: Sniff) -> Format | None:
    """Return the format if a first row is a kline."""
    if head.is_json:
        return None if head.columns else _recognise_json(head)
    for line in range(len(head.lines)):
        cells = head.cells(line, ",")
        if len(cells) == WIDTH and cells[0].isdigit() and is_row_of_cells(cells, NAMES):
            return of_rows(NAME, head, NAMES, ",", WIDTH)
    return None


def _recognise_json(head: Sniff) -> Format | None:
    data = head.data.lstrip()
    sample = read_sample(head, len(head.data) - len(data) + 1) if data.startswith(b"[") else None
    if sample is None or not any(
        isinstance(value, list) and len(value) == WIDTH and is_row(value) for value in sample.values
    ):
        return None
    return Format(
        NAME, NAMES, lambda pieces, refuse: read_array(pieces, sample.before, ARRAY, refuse)
    )
