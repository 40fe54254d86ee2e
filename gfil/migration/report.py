"""What became of the files of the old system: their counts, for programs and for people."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gfil import clocks, trading_week
from gfil.clocks import format_instant
from gfil.ingest.report import ERRORS_SHOWN
from gfil.migration.legacy_files import LegacyFile

MIGRATED, BEFORE, LOOKED_AT = "migrated", "migrated before", "not yet migrated"
REFUSED, FAILED = "refused", "failed"
EXIT_FAILED, EXIT_REFUSED = 1, 3
COLUMNS = {
    "rows": "rows",
    "present": "stored",
    "covered": "under M1",
    "different": "differ",
    "kept": "kept",
    "duplicates": "twice",
    "rejected": "refused",
}
"""The counts in the table, and what stands above them."""

PLAIN_NAMES = ("inserted", "updated", "unchanged")
SHOWN_MAX = 10  # files left alone, by name


@dataclass(slots=True)
class FileResult:
    """What became of one file. `counts` are in the names of the contract; `error` says why not."""

    original: LegacyFile
    state: str
    counts: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def name(self) -> str:
        """Its name without the folder."""
        return self.original.path.name

    @property
    def is_truncated(self) -> bool:
        """Whether it breaks off in the middle."""
        return "truncated" in self.counts.get("reasons", ())

    def as_json(self) -> dict[str, Any]:
        """Return it in the names of the contract."""
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
    """What became of a folder, file by file."""

    db: Path
    foreign: Sequence[str] = ()
    dry_run: bool = False
    keep_hours: float | None = None
    files: list[FileResult] = field(default_factory=list)
    change: int = 0
    _hours: dict[str, tuple[Counter[int], str]] = field(default_factory=dict)

    def add(self, file: FileResult) -> None:
        """Take note of a file."""
        self.files.append(file)

    def see_hours(self, hours: Mapping[str, Counter[int]], clock: str) -> None:
        """Take note of the hours of each symbol; those of the first file, the finest, count."""
        for symbol, some in hours.items():
            if some:
                self._hours.setdefault(symbol, (some, clock))

    @property
    def weeks(self) -> list[dict[str, Any]]:
        """The week of each symbol in UTC: whether a market's, else which clocks make it one."""
        found = []
        for symbol, (hours, clock) in self._hours.items():
            judgement = trading_week.fit_clocks(hours, clocks.parse(clock))
            week = {"symbol": symbol, "clock": clock, "week": trading_week.describe(hours)}
            found.append({**week, "market": judgement.fits, "clocks": list(judgement.better)})
        return found

    @property
    def exit_status(self) -> int:
        """0; 1 if a file could not be verified; 3 if rows or files were refused."""
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
        """Return all of it in the names of the contract."""
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
        """Return lines for a person; the last one names the database."""
        lines = [*self._table(), *self._details(), *self._say_weeks()]
        if self.foreign:
            names = ", ".join(self.foreign[:SHOWN_MAX])
            more = len(self.foreign) - SHOWN_MAX
            lines.append(f"left alone: {names}" + (f" and {more} more" if more > 0 else ""))
        return [*lines, *self._say_next()]

    def _table(self) -> Iterator[str]:
        width = max(len(file.name) for file in self.files)
        names = [name for name in COLUMNS if name in ("rows", "rejected") or self.total()[name]]
        heads = [f"{COLUMNS[name]:>10}" for name in names]
        yield f"{'file':{width}}  {''.join(heads)}"
        for file in self.files:
            cells = [f"{_spell(file.counts.get(name, 0)):>10}" for name in names]
            state = "" if file.state in (MIGRATED, LOOKED_AT) else f"  {file.state}"
            yield f"{file.name:{width}}  {''.join(cells)}{state}"
        sums = [f"{_spell(self.total()[name]):>10}" for name in names]
        yield f"{f'{len(self.files)} files':{width}}  {''.join(sums)}"

    def _details(self) -> Iterator[str]:
        for file in self.files:
            if self.dry_run and file.counts.get("first"):
                first, last = file.counts["first"], file.counts["last"]
                yield (
                    f"{file.name}: {first['utc']} to {last['utc']} UTC, "
                    f"{first['clock']} to {last['clock']} on the clock {file.counts['clock']}"
                )
            if file.is_truncated:
                last = format_instant(file.counts["to"]) if file.counts.get("to") else "none"
                yield f"{file.name}: truncated: it breaks off after the row of {last}"
            errors = file.counts.get("errors", [])
            for error in errors[:ERRORS_SHOWN]:
                yield f"{file.name}: row {error['row']} {error['reason']}: {error['text']}"
            if (more := file.counts.get("rejected", 0) - ERRORS_SHOWN) > 0:
                yield f"{file.name}: and {more} more"
            for example in file.counts.get("examples", []):
                yield f"{file.name}: differs: {example}"
            for warning in file.counts.get("warnings", []):
                yield f"{file.name}: warning: {warning}"

    def _say_weeks(self) -> Iterator[str]:
        for week in self.weeks:
            said = f"{week['symbol']}: in UTC its week is {week['week']}"
            if not week["market"]:
                better = " or ".join(f"--clock {clock}" for clock in week["clocks"])
                yield (
                    f"WARNING: {said}: no market's, on the clock {week['clock']}; "
                    + (f"{better} would make it one" if better else "no known clock makes it one")
                )
            elif self.dry_run:
                yield said

    def _say_next(self) -> Iterator[str]:
        total = self.total()
        if self.dry_run:
            yield f"{self.db}: nothing stored; without --dry-run it is done"
            return
        if failed := [file.name for file in self.files if file.state == FAILED]:
            yield f"{len(failed)} files are not verified: run the same again"
        parts = ("present", "covered", "kept", "duplicates", "rejected")
        adds_up = " + ".join(f"{_spell(total[name])} {COLUMNS[name]}" for name in parts)
        if not failed:
            yield f"verified: {_spell(total['rows'])} rows = {adds_up}"
        if self.keep_hours is None:
            yield "the old files stay where they are"
        else:
            yield (
                f"the old files stay; `gfil prune` deletes those with nothing refused when they "
                f"are {self.keep_hours:g} hours verified and a backup has been made since"
            )
        yield f"{self.db}: change {self.change}"


def _spell(number: int) -> str:
    return f"{number:,}".replace(",", " ") if number else "-"
