"""Report of an import: counts, refused rows and warnings, as JSON and as text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gfil.clocks import Clock, format_instant
from gfil.errors import Refused
from gfil.ingest.parse.rows import NumberedTicks
from gfil.ingest.refusals import TEXT_MAX
from gfil.store.candles import ticks, write
from gfil.store.candles.write import CandleColumns
from gfil.timeframes import Timeframe
from gfil.wording import format_count, format_list, format_number

ERRORS_MAX = 100  # refused rows that are reported in full
WARNINGS_MAX = 20
ERRORS_SHOWN = 10  # on a terminal
SYMBOLS_SHOWN = 5


@dataclass(slots=True)
class Report:
    """The counts of one input, named as in the HTTP response.

    `rows = inserted + updated + unchanged + kept + duplicates + rejected`, always. `good` counts
    the rows that no check refused; `first` and `last` are the starts of the earliest and latest
    one. `change` is the newest change number of the database, `has_changed` whether this import
    changed anything. `last_ticks` holds the time of the newest stored tick by symbol, in UNIX ms.
    `recognised` is what a dry run reports besides the counts. `backdated` holds days, by symbol and
    timeframe, that were past their retention when their first rows arrived.
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
    backdated: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def copy(self) -> "Report":
        """Return an independent copy."""
        return replace(
            self,
            symbols=[*self.symbols],
            timeframes=[*self.timeframes],
            reasons=self.reasons.copy(),
            errors=[*self.errors],
            warnings=[*self.warnings],
            last_ticks={**self.last_ticks},
            backdated={key: [*days] for key, days in self.backdated.items()},
        )

    def refuse(self, row: int, reason: str, text: str) -> None:
        """Count a refused row; the first `ERRORS_MAX` stay in the report with their text."""
        self.rows += 1
        self.rejected += 1
        self.reasons[reason] += 1
        if len(self.errors) < ERRORS_MAX:
            shown = text[:TEXT_MAX].encode("utf-8", "replace").decode()
            self.errors.append({"row": row, "reason": reason, "text": shown})

    def count_good(
        self, symbol: str, timeframe: Timeframe | None, rows: CandleColumns | NumberedTicks
    ) -> None:
        """Count good rows of a series, and extend `first` and `last` to them."""
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

    def refuse_bad_rows(self) -> None:
        """Refuse the whole input if a row is refused: the rule of `on_error=abort`.

        Raises:
            Refused: a row is refused; its report counts every row as rejected.
        """
        if not self.rejected:
            return
        self.rows = self.rejected = self.good + self.reasons.total()
        self.inserted = self.updated = self.unchanged = self.kept = self.duplicates = 0
        first = min(self.errors, key=lambda error: error["row"])
        count = self.reasons.total()
        refused = f"{format_count(count, 'row')} {'is' if count == 1 else 'are'} refused"
        detail = (
            f"{refused}, the first is row {first['row']} ({first['reason']}): "
            f"nothing of {format_count(self.rows, 'row')} was stored"
        )
        raise Refused(detail, self.as_json())

    def count_candles(self, rows: int, written: write.WriteResult) -> None:
        """Add the result of writing candles; `rows` is their number."""
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
        """Add the result of writing ticks; ticks of settled minutes are refused rows."""
        self.rows += written.inserted + written.duplicates
        self.inserted += written.inserted
        self.duplicates += written.duplicates
        self.has_changed |= bool(written.change)
        for index in written.settled:
            values = [column[index] for column in given[1:]]
            shown = (str(int(value) if value == int(value) else value) for value in values)
            self.good -= 1
            self.refuse(given.row[index], "settled", ",".join(shown))

    def count_duplicates(self, rows: int) -> None:
        """Add rows that lost their bucket to another row of the input."""
        self.rows += rows
        self.duplicates += rows

    def warn(self, warning: str) -> None:
        """Add a warning unless it is there already."""
        if warning not in self.warnings and len(self.warnings) < WARNINGS_MAX:
            self.warnings.append(warning)

    def add_backdated(self, symbol: str, subject: str, days: Sequence[int]) -> None:
        """Add backdated days; `subject` is a timeframe or `ticks`."""
        if days:
            self.backdated.setdefault((symbol, subject), []).extend(days)

    def list_warnings(self) -> list[str]:
        """Return the warnings on rows, and one on each series with backdated days."""
        return self.warnings + [
            f"{symbol} {subject}: {format_count(len(days), 'day')} older than the retention, "
            f"{format_instant(min(days))[:10]} to {format_instant(max(days))[:10]}: "
            "kept as imported until `gfil prune --imported`"
            for (symbol, subject), days in self.backdated.items()
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the report as one JSON object."""
        span: dict[str, Any] = {"from": self.first, "to": self.last}
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
            **({"last": self.last_ticks} if self.is_on_ticks else span),
            "change": self.change,
            **self.recognised,
        }

    def counts(self) -> dict[str, int]:
        """Return the counts: seven for candles; four for ticks, which are never updated."""
        of_candles = {"updated": self.updated, "unchanged": self.unchanged, "kept": self.kept}
        return {
            "rows": self.rows,
            "inserted": self.inserted,
            **({} if self.is_on_ticks else of_candles),
            "duplicates": self.duplicates,
            "rejected": self.rejected,
        }

    def describe(self) -> list[str]:
        """Return the report as lines of text."""
        subjects = ["ticks"] if self.is_on_ticks and self.format != "ticks" else self.timeframes
        series = " ".join([format_list(self.symbols, SYMBOLS_SHOWN) or "no rows", *subjects])
        span = ""
        if self.first is not None and self.last is not None:
            span = f", {format_instant(self.first)} to {format_instant(self.last)}"
        lines = [f"{self.file}: {series}, {self.format}, clock {self.clock}{span}"]
        if self.recognised:
            lines += _describe_recognised(self.recognised)
        lines.append(f"  {describe_counts(self.counts(), self.reasons)}")
        lines += [
            f"  row {e['row']} {e['reason']}: {e['text']}" for e in self.errors[:ERRORS_SHOWN]
        ]
        if self.rejected > ERRORS_SHOWN:
            lines.append(f"  and {format_count(self.rejected - ERRORS_SHOWN, 'more row')}")
        return lines + [f"  warning: {warning}" for warning in self.list_warnings()]


def describe_counts(counts: Mapping[str, int], reasons: Mapping[str, int]) -> str:
    """Return counts as one line without zeros: `7 rows: 6 inserted, 1 rejected (1 low_high)`."""
    parts = [
        f"{format_number(count)} {name}"
        for name, count in counts.items()
        if count and name != "rows"
    ]
    causes = ", ".join(f"{format_number(count)} {reason}" for reason, count in reasons.items())
    line = format_count(counts["rows"], "row") + (": " if parts else "") + ", ".join(parts)
    return f"{line} ({causes})" if causes else line


def _describe_recognised(recognised: Mapping[str, Any]) -> list[str]:
    gzip = ", gzip" if recognised["gzip"] else ""
    spacing = recognised["spacing"]
    lines = [
        f"  {recognised['encoding']}{gzip}; columns {' '.join(recognised['columns'])}"
        + (f"; rows {spacing} apart" if spacing else "")
    ]
    for which in ("first", "last"):
        if instant := recognised[which]:
            lines.append(f"  {which} row {instant['utc']} UTC, {instant['clock']} on the clock")
    return lines


def _only(names: list[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def format_time(time: int, clock: Clock) -> str:
    """Return an instant as wall time of a clock, to the minute."""
    return format_instant(clock.wall(time))[:16].replace("T", " ")
