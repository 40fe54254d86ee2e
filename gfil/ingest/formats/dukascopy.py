"""Dukascopy CSV: a header with `Gmt time`, timestamps such as `08.05.2017 00:00:00.000`."""

from gfil.ingest.detect.header_names import name_cells, read_words
from gfil.ingest.detect.sniff import Format, Sniff, of_header

NAME = "dukascopy"


def recognise(head: Sniff) -> Format | None:
    """Return the format of a header that begins with `Gmt time` or `Local time`."""
    separator, words = read_words(head)
    if words[0] not in ("gmt time", "local time"):
        return None
    names = name_cells(words)
    return of_header(NAME, head, names, separator) if names else None
