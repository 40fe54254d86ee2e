"""Generated files of the old system: any timeframe and spelling, truncated or with duplicates."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MONDAY = 1_709_510_400  # 2024-03-04 00:00 UTC
NOW = MONDAY + 60 * 86400
SECONDS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14400, "1d": 86400, "1w": 604800}
Row = tuple[int, float, float, float, float, float]


def minutes(count: int, start: int = MONDAY, seed: int = 1) -> list[Row]:
    """Consecutive M1."""
    rng = random.Random(seed)
    rows = []
    price = 1.1
    for time in range(start, start + 60 * count, 60):
        prices = [price, *(round(price + rng.uniform(-0.001, 0.001), 5) for _ in range(3))]
        rows.append(
            (time, price, max(prices), min(prices), prices[-1], float(rng.randrange(1, 99)))
        )
        price = prices[-1]
    return rows


def fold(rows: Sequence[Row], tf: str) -> list[Row]:
    """Candles of a timeframe as the old system rolled them up; its weeks start on a Thursday."""
    folded: dict[int, Row] = {}
    for time, first, high, low, last, volume in rows:
        start = time - time % SECONDS[tf]
        if start in folded:
            _, first, high_before, low_before, _, volume_before = folded[start]
            high, low = max(high, high_before), min(low, low_before)
            volume += volume_before
        folded[start] = (start, first, high, low, last, volume)
    return [*folded.values()]


def objects(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows in the object form of the old system."""
    return [dict(zip(("ts", "o", "h", "l", "c", "v"), row, strict=True)) for row in rows]


def stamped(rows: Sequence[Row], form: str) -> list[dict[str, Any]]:
    """Rows with formatted times and upper-case keys."""
    return [
        {"O": row[1], "H": row[2], "L": row[3], "C": row[4], "V": row[5]}
        | {"T": datetime.fromtimestamp(row[0], UTC).strftime(form), "BV": 1.5}
        for row in rows
    ]


def save(folder: Path, name: str, rows: Any, cut: float = 1) -> Path:
    """Write a file, or the first part of it."""
    folder.mkdir(exist_ok=True)
    text = json.dumps(rows)
    path = folder / f"{name}.json"
    path.write_text(text[: int(cut * len(text))])
    return path


def save_symbol(
    folder: Path, symbol: str, count: int, seed: int = 1, start: int = MONDAY
) -> list[Row]:
    """Write the seven files of a symbol with some duplicates; return its M1."""
    rng = random.Random(seed)
    rows = minutes(count, start, seed)
    for tf in SECONDS:
        some = rows if tf == "1m" else fold(rows, tf)
        doubled: list[Row] = []
        for row in some:
            if rng.random() < 0.03:  # saved while forming
                doubled.append((*row[:5], max(0.0, row[5] - 1)))
            doubled.append(row)
        save(folder, f"{symbol}_{tf}", objects(doubled))
    return rows
