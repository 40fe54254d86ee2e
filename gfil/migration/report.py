"""Report of a migration: the counts of every file, as JSON and as text."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gfil import clocks, trading_week
from gfil.clocks import format_instant
from gfil.ingest.report import ERRORS_SHOWN
from gfil.migration.legacy_files import LegacyFile
from gfil.wording import format_count, format_list, format_number

MIGRATED, BEFORE, NOT_YET = "migrated", "migrated before", "not yet migrated"
REFUSED, FAILED = "refused", "failed"
EXIT_FAILED, EXIT_REFUSED = 1, 3
COLUMNS = {
    "rows": "rows",
    "present": "stored",
    "covered": "covered",
    "different": "differ",
    "kept": "kept",
    "duplicates": "duplicate",
    "rejected": "refused",
}
"""Counts in the table and their column headings; `covered` rows lie above stored M1."""

PLAIN_NAMES = ("inserted", "updated", "unchanged")
SHOWN_MAX = 10  # other files in the folder, by name


@dataclass(slots=True)
class FileResult:
    """Result of one file: its counts in the names of the JSON report, or the error."""

    file: LegacyFile
    state: str
    counts: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def name(self) -> str:
        """Name of the file without its folder."""
        return self.file.path.name

    @property
    def is_truncated(self) -> bool:
        """Whether the file ends in the middle of a row."""
        return "truncated" in self.counts.get("reasons", ())

    def as_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        hidden = ("ids", "mtime_ns", "missing")
        shown = {name: value for name, value in self.counts.items() if name not in hidden}
        return {
            "file": self.name,
            "state": self.state,
            "truncated": self.is_truncated,
            "verified": self.state in (MIGRATED, BEFORE),
            **shown,
            **({"error": self.error} if self.error else {}),
        }


@dataclass(slots=True)
class MigrationReport:
    """Results of a folder, file by file."""

    db: Path
    foreign: Sequence[str] = ()
    dry_run: bool = False
    keep_hours: float | None = None
    files: list[FileResult] = field(default_factory=list)
    change: int = 0
    _hours: dict[str, tuple[Counter[int], str]] = field(default_factory=dict)

    def add(self, result: FileResult) -> None:
        """Add the result of a file."""
        self.files.append(result)

    def add_hours(self, hours: Mapping[str, Counter[int]], clock: str) -> None:
        """Add candle counts per hour; of each symbol only the first file, the finest, is used."""
        for symbol, counts in hours.items():
            if counts:
                self._hours.setdefault(symbol, (counts, clock))

    @property
    def weeks(self) -> list[dict[str, Any]]:
        """Trading week of each symbol in UTC, and the clocks that fit if UTC does not."""
        found = []
        for symbol, (hours, clock) in self._hours.items():
            fit = trading_week.fit_clocks(hours, clocks.parse(clock))
            week = {"symbol": symbol, "clock": clock, "week": trading_week.describe(hours)}
            found.append({**week, "market": fit.fits, "clocks": list(fit.better)})
        return found

    @property
    def exit_status(self) -> int:
        """1 if a verification failed, 3 if rows or files were refused, else 0."""
        if any(file.state == FAILED for file in self.files):
            return EXIT_FAILED
        refused = any(
            file.state == REFUSED or file.counts.get("rejected", 0) for file in self.files
        )
        return EXIT_REFUSED if refused else 0

    def total(self) -> dict[str, int]:
        """Return the sums of the counts of all files."""
        names = (*COLUMNS, *(() if self.dry_run else PLAIN_NAMES))
        return {name: sum(file.counts.get(name, 0) for file in self.files) for name in names}

    def as_json(self) -> dict[str, Any]:
        """Return the report as one JSON object."""
        reasons: Counter[str] = Counter()
        for file in self.files:
            reasons.update(file.counts.get("reasons", {}))
        return {
            "db": self.db,
            "dry_run": self.dry_run,
            "files": [file.as_json() for file in self.files],
            "foreign": list(self.foreign),
            "weeks": self.weeks,
            **self.total(),
            "reasons": dict(reasons),
            "verified": all(file.state in (MIGRATED, BEFORE) for file in self.files),
            "change": self.change,
        }

    def describe(self) -> list[str]:
        """Return the report as lines of text; the last one names the database."""
        lines = [*self._table(), *self._details(), *self._describe_weeks()]
        if self.foreign:
            lines.append(f"ignored files: {format_list(self.foreign, SHOWN_MAX)}")
        return [*lines, *self._summary()]

    def _table(self) -> Iterator[str]:
        total = self.total()
        sums_head = format_count(len(self.files), "file")
        width = max(len(sums_head), *(len(file.name) for file in self.files))
        names = [name for name in COLUMNS if name in ("rows", "rejected") or total[name]]
        heads = [f"{COLUMNS[name]:>11}" for name in names]
        yield f"{'file':{width}}  {''.join(heads)}"
        for file in self.files:
            cells = [f"{format_number(file.counts.get(name, 0)):>11}" for name in names]
            state = "" if file.state in (MIGRATED, NOT_YET) else f"  {file.state}"
            yield f"{file.name:{width}}  {''.join(cells)}{state}"
        sums = [f"{format_number(total[name]):>11}" for name in names]
        yield f"{sums_head:{width}}  {''.join(sums)}"

    def _details(self) -> Iterator[str]:
        for file in self.files:
            if self.dry_run and file.counts.get("first"):
                first, last = file.counts["first"], file.counts["last"]
                yield (
                    f"{file.name}: {first['utc']} to {last['utc']} UTC, "
                    f"{first['clock']} to {last['clock']} on clock {file.counts['clock']}"
                )
            if file.is_truncated:
                last = format_instant(file.counts["to"]) if file.counts.get("to") else "none"
                yield f"{file.name}: truncated: the last complete row is {last}"
            errors = file.counts.get("errors", [])
            for error in errors[:ERRORS_SHOWN]:
                yield f"{file.name}: row {error['row']} {error['reason']}: {error['text']}"
            if (more := file.counts.get("rejected", 0) - ERRORS_SHOWN) > 0:
                yield f"{file.name}: {format_count(more, 'more refused row')}"
            for example in file.counts.get("examples", []):
                yield f"{file.name}: differs: {example}"
            for warning in file.counts.get("warnings", []):
                yield f"{file.name}: warning: {warning}"

    def _describe_weeks(self) -> Iterator[str]:
        for week in self.weeks:
            line = f"{week['symbol']}: trading week in UTC: {week['week']}"
            if not week["market"]:
                better = " or ".join(f"--clock {clock}" for clock in week["clocks"])
                advice = f"{better} fits" if better else "no known clock fits"
                yield f"WARNING: {line}; no market trades so on clock {week['clock']}; {advice}"
            elif self.dry_run:
                yield line

    def _summary(self) -> Iterator[str]:
        if self.dry_run:
            yield f"{self.db}: dry run, nothing stored"
            return
        failed = sum(file.state == FAILED for file in self.files)
        if failed:
            yield f"{format_count(failed, 'file')} not verified: run the same command again"
        else:
            yield f"verified: {self._format_sum()}"
        if self.keep_hours is None:
            yield "the old files are kept"
        else:
            yield (
                "the old files are kept; `gfil prune` deletes files without refused rows "
                f"{self.keep_hours:g} h after verification, once a newer backup exists"
            )
        yield f"{self.db}: change {self.change}"

    def _format_sum(self) -> str:
        total = self.total()
        names = ("present", "covered", "kept", "duplicates", "rejected")
        parts = [f"{format_number(total[name])} {COLUMNS[name]}" for name in names if total[name]]
        rows = format_count(total["rows"], "row")
        return f"{rows} = {' + '.join(parts)}" if parts else rows
