"""MetaTrader 5 bar export: `<DATE> <TIME> <OPEN> …`; TIME may be missing."""

from gfil.ingest.detect.header_names import name_cells, read_words
from gfil.ingest.detect.sniff import SEPARATORS, Format, Sniff, of_header

NAME = "mt5"


def recognise(head: Sniff) -> Format | None:
    """Return the format of a header with words in angle brackets."""
    if not head.lines[0].lstrip('"').startswith("<"):
        return None
    separator, words = read_words(head, (*SEPARATORS, " "))
    names = name_cells(words)
    return of_header(NAME, head, names, separator) if names else None
