"""MetaTrader 4 history, also from HistData: `2013.12.11,17:20,O,H,L,C,V`, without a header."""

import re

from gfil.ingest.detect.sniff import SEPARATORS, Format, Sniff, is_row, of_rows

NAME = "mt4"
NAMES = ("date", "time", "open", "high", "low", "close", "volume")
_DAY = re.compile(r"[0-9]{4}[-./][0-9]{2}[-./][0-9]{2}")


def recognise(head: Sniff) -> Format | None:
    """Return the format of rows whose date and time of day are two cells."""
    for separator in SEPARATORS:
        for line in range(len(head.lines)):
            cells = head.cells(line, separator)
            names = NAMES[: len(cells)]
            if len(cells) in (6, 7) and _DAY.fullmatch(cells[0]) and is_row(cells, names):
                return of_rows(NAME, head, names, separator, len(cells))
    return None
