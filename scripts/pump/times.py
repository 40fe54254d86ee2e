"""Lengths of time, and how the pump writes a time."""

from datetime import datetime, timedelta

MINUTE_S = 60
QUARTER_S = 900
HOUR_S = 3600
DAY_S = 86_400
LATEST = 1 << 62  # later than every time, in seconds and in milliseconds


def format_time(time_s: float) -> str:
    """Write a time in UNIX seconds as `YYYY-MM-DD HH:MM:SS`."""
    return f"{datetime(1970, 1, 1) + timedelta(seconds=int(time_s))}"
