"""The names of fields in a CSV header."""

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
"""The first name present counts; case, `<>` and `_` are ignored."""

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
    """Return the separator that yields most words in the first line, and the words normalised."""
    split = [(separator, head.cells(0, separator)) for separator in separators]
    separator, cells = max(split, key=lambda pair: len(pair[1]))
    return separator, [cell.strip("<>").strip().casefold().replace("_", " ") for cell in cells]


def name_cells(words: Sequence[str], sample: Sequence[str] = ()) -> list[str] | None:
    """Return the fields of the cells under these words; None if time or a price is missing.

    If the header has a word for a date and one for a time of day, `sample`, the cells of the first
    row, shows whether they belong together.
    """
    return _name(words, sample, NAMES, {"time", *PRICES})


def name_tick_cells(words: Sequence[str], sample: Sequence[str] = ()) -> list[str] | None:
    """Return the fields of the cells under these words; None if time, bid or ask is missing."""
    return _name(words, sample, TICK_NAMES, {"time", *SIDES})


def _name(
    words: Sequence[str],
    sample: Sequence[str],
    known_names: Mapping[str, Sequence[str]],
    required: set[str],
) -> list[str] | None:
    names = [SKIPPED] * len(words)
    for field, known in known_names.items():
        word = next((word for word in known if word in words), None)
        if word is not None:
            names[words.index(word)] = field
    day = words.index("date") if "date" in words else None
    hour = next((words.index(word) for word in _TIMES_OF_DAY if word in words), None)
    is_whole = "time" in names and words[names.index("time")] == "time msc"
    if day is not None and hour is not None and not is_whole:
        is_split = (
            len(sample) > hour and len(sample[hour]) <= len("00:00:00.000") and ":" in sample[hour]
        )
        names[day], names[hour] = ("date" if is_split or not sample else SKIPPED), "time"
    return names if required <= set(names) else None
