"""What an import did: counts, refused rows, and the words for them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gfil.clocks import Clock, format_instant
from gfil.errors import Refused
from gfil.ingest.load.bucketing import NumberedTicks
from gfil.ingest.parse.rows import TEXT_MAX
from gfil.store.candles import ticks, write
from gfil.store.candles.write import CandleColumns
from gfil.timeframes import Timeframe

ERRORS_MAX = 100  # refused rows that are told in full
WARNINGS_MAX = 20
ERRORS_SHOWN = 10  # on a terminal


@dataclass(slots=True)
class Report:
    """The counts of one source, in the names of the HTTP answer.

    `rows = inserted + updated + unchanged + kept + duplicates + rejected`, always. `good` rows
    had nothing wrong with them; `first` and `last` are the starts of their earliest and latest.
    `change` is the number of the database's newest change, `has_changed` whether one is ours.
    Of ticks `last_ticks` holds the newest one stored of each symbol, in UNIX ms.
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
    has_changed: bool = False
    is_on_ticks: bool = False
    last_ticks: dict[str, int] = field(default_factory=dict)
    recognised: dict[str, Any] = field(default_factory=dict)
    """What a dry run tells beside the counts."""
    imported: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """Days of a symbol and timeframe that were older than they are kept, and held nothing yet."""

    def copy(self) -> "Report":
        """Return one that goes on from here, while this one stays as it is."""
        return replace(
            self,
            symbols=[*self.symbols],
            timeframes=[*self.timeframes],
            reasons=self.reasons.copy(),
            errors=[*self.errors],
            warnings=[*self.warnings],
            last_ticks={**self.last_ticks},
            imported={key: [*days] for key, days in self.imported.items()},
        )

    def refuse(self, row: int, reason: str, text: str) -> None:
        """Count a refused row; the first ones are kept with their text."""
        self.rows += 1
        self.rejected += 1
        self.reasons[reason] += 1
        if len(self.errors) < ERRORS_MAX:
            shown = text[:TEXT_MAX].encode("utf-8", "replace").decode()
            self.errors.append({"row": row, "reason": reason, "text": shown})

    def see(
        self, symbol: str, timeframe: Timeframe | None, rows: CandleColumns | NumberedTicks
    ) -> None:
        """Remember good rows: whose they are and how far they reach."""
        if symbol not in self.symbols:
            self.symbols.append(symbol)
        if timeframe is None:
            self.is_on_ticks = True
        elif timeframe.name not in self.timeframes:
            self.timeframes.append(timeframe.name)
        times = rows.time if isinstance(rows, CandleColumns) else rows.time_msc
        unit = 1 if isinstance(rows, CandleColumns) else 1000
        self.good += len(times)
        if times:
            low, high = min(times) // unit, max(times) // unit
            self.first = low if self.first is None else min(low, self.first)
            self.last = high if self.last is None else max(high, self.last)

    def refuse_all(self) -> Refused:
        """Count every row as rejected, the good ones too; return the error that tells why."""
        self.rows = self.rejected = self.good + self.reasons.total()
        self.inserted = self.updated = self.unchanged = self.kept = self.duplicates = 0
        first = min(self.errors, key=lambda error: error["row"])
        count = self.reasons.total()
        bad = "1 row is" if count == 1 else f"{count} rows are"
        detail = (
            f"{bad} bad, the first is row {first['row']} ({first['reason']}): "
            f"nothing of the {self.rows} was stored"
        )
        return Refused(detail, self.as_json())

    def count(self, rows: int, written: write.WriteResult) -> None:
        """Add what the store made of so many candles."""
        self.rows += rows
        self.inserted += written.inserted
        self.updated += written.updated
        self.unchanged += written.unchanged
        self.kept += written.kept
        self.duplicates += written.duplicates
        self.has_changed |= bool(written.change)
        for warning in written.warnings:
            self.warn(warning)

    def count_ticks(self, given: NumberedTicks, written: ticks.TickWriteResult) -> None:
        """Add what the store made of ticks; those that are settled are refused rows."""
        self.rows += written.inserted + written.duplicates
        self.inserted += written.inserted
        self.duplicates += written.duplicates
        self.has_changed |= bool(written.change)
        for place in written.settled:
            values = [column[place] for column in given[1:]]
            shown = (str(int(value) if value == int(value) else value) for value in values)
            self.good -= 1
            self.refuse(given.row[place], "settled", ",".join(shown))

    def count_duplicates(self, rows: int) -> None:
        """Add rows that others of the same bucket outdid."""
        self.rows += rows
        self.duplicates += rows

    def warn(self, warning: str) -> None:
        """Add a warning, once."""
        if warning not in self.warnings and len(self.warnings) < WARNINGS_MAX:
            self.warnings.append(warning)

    def count_imported(self, symbol: str, what: str, days: Sequence[int]) -> None:
        """Add days that were older than they are kept, and held none of the symbol's `what` yet."""
        if days:
            self.imported.setdefault((symbol, what), []).extend(days)

    def list_warnings(self) -> list[str]:
        """Return what is to be said of the rows, and of days that were old when they came."""
        return self.warnings + [
            f"{symbol} {what}: {len(days)} {'day' if len(days) == 1 else 'days'} older than kept, "
            f"{format_instant(min(days))[:10]} to {format_instant(max(days))[:10]}: "
            "imported, only `gfil prune --imported` removes them"
            for (symbol, what), days in self.imported.items()
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the report in the names of the contract."""
        reach: dict[str, Any] = {"from": self.first, "to": self.last}
        return {
            "file": self.file,
            "format": self.format,
            "symbol": _only(self.symbols),
            **({} if self.is_on_ticks else {"tf": _only(self.timeframes)}),
            "clock": self.clock,
            **({"symbols": sorted(self.symbols)} if len(self.symbols) > 1 else {}),
            **self.counts(),
            "reasons": dict(self.reasons),
            "errors": sorted(self.errors, key=lambda error: error["row"]),
            "warnings": self.list_warnings(),
            **({"last": self.last_ticks} if self.is_on_ticks else reach),
            "change": self.change,
            **self.recognised,
        }

    def counts(self) -> dict[str, int]:
        """Return the counts: seven of candles, four of ticks, which are never updated."""
        of_candles = {"updated": self.updated, "unchanged": self.unchanged, "kept": self.kept}
        return {
            "rows": self.rows,
            "inserted": self.inserted,
            **({} if self.is_on_ticks else of_candles),
            "duplicates": self.duplicates,
            "rejected": self.rejected,
        }

    def describe(self) -> list[str]:
        """Return the report as lines for a person."""
        kinds = ["ticks"] if self.is_on_ticks and self.format != "ticks" else self.timeframes
        whose = " ".join([", ".join(self.symbols[:5]) or "no rows", *kinds])
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
        return lines + [f"  warning: {warning}" for warning in self.list_warnings()]


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
