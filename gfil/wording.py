"""Wording: numbers, counts, sizes, durations and lists as people read them."""

from collections.abc import Sequence

MB = 1_000_000
DAY_S, HOUR_S, MINUTE_S = 86_400, 3_600, 60


def format_number(number: float, digits: int = 0) -> str:
    """Return a number with commas between thousands: `981,585`."""
    return f"{number:,.{digits}f}"


def format_change(price: float, before: float) -> str:
    """Return the change of a price in percent: `+1.25%`, `−0.40%`; blank if it was 0 before."""
    if not before:
        return ""
    change = 100 * (price - before) / abs(before)
    return f"{'−' if change < 0 else '+'}{format_number(abs(change), 2)}%"


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 gap`, `981,585 gaps`; `plural` defaults to noun + s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def format_size(size_bytes: float) -> str:
    """Return a size in decimal units: `12 B`, `3.1 kB`, `1.5 MB`, `240 MB`, `12.3 GB`."""
    for unit, factor in (("GB", 1000 * MB), ("MB", MB), ("kB", 1000)):
        if size_bytes >= factor:
            value = size_bytes / factor
            return f"{value:,.1f} {unit}" if value < 100 else f"{value:,.0f} {unit}"
    return f"{size_bytes:.0f} B"


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units: `45 s`, `12 min`, `2 h 59 min`, `3 d 4 h`."""
    if seconds < MINUTE_S:
        return f"{seconds:.0f} s"
    rest, parts = int(seconds), []
    for unit, length_s in (("d", DAY_S), ("h", HOUR_S), ("min", MINUTE_S)):
        number, rest = divmod(rest, length_s)
        parts.append((number, unit))
    first = next(index for index, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number:,} {unit}" for number, unit in parts[first : first + 2] if number)


def format_age(seconds: float) -> str:
    """Return how long ago something was, in one unit: `now`, `3 min ago`, `5 h ago`, `2 d ago`."""
    for unit, length_s in (("d", DAY_S), ("h", HOUR_S), ("min", MINUTE_S)):
        if seconds >= 2 * length_s:
            return f"{seconds // length_s:,.0f} {unit} ago"
    return "now"


def format_list(names: Sequence[str], shown_max: int) -> str:
    """Return names joined by commas; those beyond `shown_max` are counted: `A, B and 3 more`."""
    shown = ", ".join(names[:shown_max])
    more = len(names) - shown_max
    return f"{shown} and {more:,} more" if more > 0 else shown
