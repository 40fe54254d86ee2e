"""XAUUSD with two and a half days of M1, the last candle forming at noon."""

from pathlib import Path

import pytest

from tests.web.walks import store, walk

MONDAY = 1735689600 + 5 * 86400  # 2025-01-06T00:00:00Z
NOON = "2025-01-08T12:00:30Z"
MINUTES = 2 * 1440 + 721  # the last one is forming at NOON


@pytest.fixture
def gold(db_path: Path) -> None:
    """XAUUSD on the clock of Athens: M1 of two and a half days, starting on a Monday."""
    made = walk("gold", MONDAY, MINUTES, price=2600)
    store(db_path, "XAUUSD", made, clock="Europe/Athens", description="Gold <made up>")
