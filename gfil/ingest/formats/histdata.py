"""HistData ASCII: `20170102 020000;O;H;L;C;V`, without a header."""

import re

from gfil.ingest.detect.sniff import Format, Sniff, is_row, of_rows

NAME = "histdata"
NAMES = ("time", "open", "high", "low", "close", "volume")
_STAMP = re.compile(r"[0-9]{8} [0-9]{6}")


def recognise(head: Sniff) -> Format | None:
    """Return the format of rows that begin with a date and a time without separators."""
    for line in range(len(head.lines)):
        cells = head.cells(line, ";")
        if len(cells) == len(NAMES) and _STAMP.fullmatch(cells[0]) and is_row(cells, NAMES):
            return of_rows(NAME, head, NAMES, ";", len(NAMES))
    return None
