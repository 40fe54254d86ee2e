"""CSV with a header that names its columns, or with columns stated by the user."""

from gfil.ingest.detect.header_names import name_cells, read_words
from gfil.ingest.detect.sniff import (
    SEPARATORS,
    Format,
    Sniff,
    is_row,
    is_unknown_header,
    of_header,
    of_rows,
)

NAME = "csv"


def recognise(head: Sniff) -> Format | None:
    """Return the format of a header with time and prices, or of the stated columns."""
    if head.columns:
        return _recognise_named(head)
    separator, words = read_words(head)
    sample = head.cells(1, separator) if len(head.lines) > 1 else ()
    names = name_cells(words, sample)
    return of_header(NAME, head, names, separator) if names else None


def _recognise_named(head: Sniff) -> Format | None:
    assert head.columns is not None
    for line in range(len(head.lines)):
        for separator in SEPARATORS:
            cells = head.cells(line, separator)
            if not is_row(cells, head.columns):
                continue
            if line and is_unknown_header(head.cells(0, separator)):
                names = [*head.columns, *["_"] * (len(cells) - len(head.columns))]
                return of_header(NAME, head, names, separator)
            return of_rows(NAME, head, head.columns, separator, len(cells))
    return None
