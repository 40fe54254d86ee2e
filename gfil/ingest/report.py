"""What an import did: counts, refused rows, and the words for them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gfil.clocks import Clock, format_instant
from gfil.ingest.table import TEXT_MAX
from gfil.store.candles import Rows, Written

ERRORS_MAX = 100  # refused rows that are told in full
WARNINGS_MAX = 20
ERRORS_SHOWN = 10  # on a terminal


@dataclass(slots=True)
class Report:
    """The counts of one source, in the names of the HTTP answer.

    `rows = inserted + updated + unchanged + kept + duplicates + rejected`, always. `good` rows
    had nothing wrong with them; `first` and `last` are the starts of their earliest and latest.
    """

    file: str
    clock: str
    format: str | None = None
    symbols: list[str] = field(default_factory=list)
    timeframes: list[str] = field(default_factory=list)
    rows: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    kept: int = 0
    duplicates: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    errors: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    good: int = 0
    first: int | None = None
    last: int | None = None
    change: int = 0
    recognised: dict[str, Any] = field(default_factory=dict)
    """What a dry run tells beside the counts."""

    def refuse(self, row: int, reason: str, text: str) -> None:
        """Count a refused row; the first ones are kept with their text."""
        self.rows += 1
        self.rejected += 1
        self.reasons[reason] += 1
        if len(self.errors) < ERRORS_MAX:
            shown = text[:TEXT_MAX].encode("utf-8", "replace").decode()
            self.errors.append({"row": row, "reason": reason, "text": shown})

    def see(self, symbol: str, timeframe: str, rows: Rows) -> None:
        """Remember good rows: whose they are and how far they reach."""
        if symbol not in self.symbols:
            self.symbols.append(symbol)
        if timeframe not in self.timeframes:
            self.timeframes.append(timeframe)
        self.good += len(rows.time)
        if rows.time:
            low, high = min(rows.time), max(rows.time)
            self.first = low if self.first is None else min(low, self.first)
            self.last = high if self.last is None else max(high, self.last)

    def reject_all(self) -> None:
        """Count every row as rejected, the good ones too: nothing was stored."""
        self.rows = self.rejected = self.good + self.reasons.total()
        self.inserted = self.updated = self.unchanged = self.kept = self.duplicates = 0

    def count(self, rows: int, written: Written) -> None:
        """Add what the store made of so many rows."""
        self.rows += rows
        self.inserted += written.inserted
        self.updated += written.updated
        self.unchanged += written.unchanged
        self.kept += written.kept
        self.duplicates += written.duplicates
        self.change = max(self.change, written.change)
        for warning in written.warnings:
            self.warn(warning)

    def warn(self, warning: str) -> None:
        """Add a warning, once."""
        if warning not in self.warnings and len(self.warnings) < WARNINGS_MAX:
            self.warnings.append(warning)

    def as_json(self) -> dict[str, Any]:
        """Return the report in the names of the contract."""
        return {
            "file": self.file,
            "format": self.format,
            "symbol": _only(self.symbols),
            "tf": _only(self.timeframes),
            "clock": self.clock,
            **({"symbols": sorted(self.symbols)} if len(self.symbols) > 1 else {}),
            **self.counts(),
            "reasons": dict(self.reasons),
            "errors": sorted(self.errors, key=lambda error: error["row"]),
            "warnings": self.warnings,
            "from": self.first,
            "to": self.last,
            "change": self.change,
            **self.recognised,
        }

    def counts(self) -> dict[str, int]:
        """Return the seven counts."""
        return {
            "rows": self.rows,
            "inserted": self.inserted,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "kept": self.kept,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
        }

    def describe(self) -> list[str]:
        """Return the report as lines for a person."""
        whose = " ".join([", ".join(self.symbols[:5]) or "no rows", *self.timeframes])
        reach = ""
        if self.first is not None and self.last is not None:
            reach = f", {format_instant(self.first)} to {format_instant(self.last)}"
        lines = [f"{self.file}: {whose}, {self.format}, clock {self.clock}{reach}"]
        if self.recognised:
            lines += _describe_recognised(self.recognised)
        lines.append(f"  {describe_counts(self.counts(), self.reasons)}")
        lines += [
            f"  row {e['row']} {e['reason']}: {e['text']}" for e in self.errors[:ERRORS_SHOWN]
        ]
        if self.rejected > ERRORS_SHOWN:
            lines.append(f"  and {self.rejected - ERRORS_SHOWN} more")
        return lines + [f"  warning: {warning}" for warning in self.warnings]


def describe_counts(counts: Mapping[str, int], reasons: Mapping[str, int]) -> str:
    """Return counts as one line, those that are 0 left out."""
    parts = [f"{count} {name}" for name, count in counts.items() if count and name != "rows"]
    why = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    line = f"{counts['rows']} rows" + (": " if parts else "") + ", ".join(parts)
    return f"{line} ({why})" if why else line


def _describe_recognised(recognised: Mapping[str, Any]) -> list[str]:
    packed = ", gzip" if recognised["gzip"] else ""
    apart = recognised["spacing"]
    lines = [
        f"  {recognised['encoding']}{packed}; columns {' '.join(recognised['columns'])}"
        + (f"; rows {apart} apart" if apart else "")
    ]
    for which in ("first", "last"):
        if moment := recognised[which]:
            lines.append(f"  {which} row {moment['utc']} UTC, {moment['clock']} on the clock")
    return lines


def _only(names: list[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def show_time(time: int, clock: Clock) -> str:
    """Return an instant on a clock's wall, for a person."""
    return format_instant(clock.wall(time))[:16].replace("T", " ")
