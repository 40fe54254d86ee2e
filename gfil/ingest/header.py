"""The names a CSV header may give to a field."""

from collections.abc import Sequence

from gfil.ingest.head import SEPARATORS, Head
from gfil.ingest.layout import PRICES, SKIPPED

NAMES = {
    "time": (
        "time",
        "timestamp",
        "date",
        "datetime",
        "ts",
        "open time",
        "time utc",
        "gmt time",
        "local time",
    ),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "tick volume", "tickvol", "vol", "v"),
    "symbol": ("symbol", "instrument"),
    "tf": ("tf", "timeframe"),
}
"""The first present counts; case, `<>` and `_` make no difference."""

_TIMES_OF_DAY = ("time", "timestamp")


def read_words(head: Head, separators: Sequence[str] = SEPARATORS) -> tuple[str, list[str]]:
    """Return the separator and the plain lower-case words of the first line, most words first."""
    split = [(separator, head.cells(0, separator)) for separator in separators]
    separator, cells = max(split, key=lambda found: len(found[1]))
    return separator, [cell.strip("<>").strip().casefold().replace("_", " ") for cell in cells]


def name_cells(words: Sequence[str], sample: Sequence[str] = ()) -> list[str] | None:
    """Return what the cells under these words hold; None if time or a price is not among them.

    Where a word for the date stands beside one for the time of day, `sample`, the cells of the
    first row, tells whether they belong together.
    """
    names = [SKIPPED] * len(words)
    for field, known in NAMES.items():
        word = next((word for word in known if word in words), None)
        if word is not None:
            names[words.index(word)] = field
    day = words.index("date") if "date" in words else None
    hour = next((words.index(word) for word in _TIMES_OF_DAY if word in words), None)
    if day is not None and hour is not None:
        apart = (
            len(sample) > hour and len(sample[hour]) <= len("00:00:00.000") and ":" in sample[hour]
        )
        names[day], names[hour] = ("date", "time") if apart or not sample else (SKIPPED, "time")
    return names if {"time", *PRICES} <= set(names) else None
