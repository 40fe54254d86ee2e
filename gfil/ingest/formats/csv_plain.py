"""CSV rows of time, open, high, low, close and optional volume, without a header."""

from gfil.ingest.detect.sniff import SEPARATORS, Format, Sniff, is_row, is_unknown_header, of_rows

NAME = "plain"
NAMES = ("time", "open", "high", "low", "close", "volume")
WIDTHS = range(5, 9)  # MetaTrader adds spread and real volume; more cells come from decimal commas


def recognise(head: Sniff) -> Format | None:
    """Return the format of the first line that is a row."""
    for separator in SEPARATORS:
        if is_unknown_header(head.cells(0, separator)):
            return None
    for line in range(len(head.lines)):
        for separator in SEPARATORS:
            cells = head.cells(line, separator)
            names = NAMES[: len(cells)]
            if len(cells) in WIDTHS and is_row(cells, names):
                return of_rows(NAME, head, names, separator, len(cells))
    return None
