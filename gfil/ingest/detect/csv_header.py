"""The names a CSV header may give to a field."""

from collections.abc import Mapping, Sequence

from gfil.ingest.detect.sniff import SEPARATORS, Sniff
from gfil.ingest.parse.columns import PRICES, SIDES, SKIPPED

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

TICK_NAMES = {
    "time": ("time msc", *NAMES["time"]),
    "bid": ("bid", "bidprice"),
    "ask": ("ask", "askprice"),
    "last": ("last",),
    "volume": ("volume", "volume real", "vol"),
    "flags": ("flags",),
    "symbol": NAMES["symbol"],
}

_TIMES_OF_DAY = ("time", "timestamp")


def read_words(head: Sniff, separators: Sequence[str] = SEPARATORS) -> tuple[str, list[str]]:
    """Return the separator and the plain lower-case words of the first line, most words first."""
    split = [(separator, head.cells(0, separator)) for separator in separators]
    separator, cells = max(split, key=lambda found: len(found[1]))
    return separator, [cell.strip("<>").strip().casefold().replace("_", " ") for cell in cells]


def name_cells(words: Sequence[str], sample: Sequence[str] = ()) -> list[str] | None:
    """Return what the cells under these words hold; None if time or a price is not among them.

    Where a word for the date stands beside one for the time of day, `sample`, the cells of the
    first row, tells whether they belong together.
    """
    return _name(words, sample, NAMES, {"time", *PRICES})


def name_tick_cells(words: Sequence[str], sample: Sequence[str] = ()) -> list[str] | None:
    """Return what the cells under these words hold; None if time, bid or ask is not among them."""
    return _name(words, sample, TICK_NAMES, {"time", *SIDES})


def _name(
    words: Sequence[str],
    sample: Sequence[str],
    every: Mapping[str, Sequence[str]],
    needed: set[str],
) -> list[str] | None:
    names = [SKIPPED] * len(words)
    for field, known in every.items():
        word = next((word for word in known if word in words), None)
        if word is not None:
            names[words.index(word)] = field
    day = words.index("date") if "date" in words else None
    hour = next((words.index(word) for word in _TIMES_OF_DAY if word in words), None)
    is_whole = "time" in names and words[names.index("time")] == "time msc"
    if day is not None and hour is not None and not is_whole:
        apart = (
            len(sample) > hour and len(sample[hour]) <= len("00:00:00.000") and ":" in sample[hour]
        )
        names[day], names[hour] = ("date", "time") if apart or not sample else (SKIPPED, "time")
    return names if needed <= set(names) else None
