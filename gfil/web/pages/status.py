"""`/status`: problems, stored ranges, gaps, rates, sizes and maintenance runs."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

from flask import Response, current_app, get_template_attribute

from gfil.clocks import format_instant
from gfil.maintenance import doctor, free_space, host_checks
from gfil.store import hourly_stats, maintenance_runs, retention_clock, symbols
from gfil.store.candles import inventory
from gfil.store.candles.inventory import TimeRange
from gfil.store.engine.connection import read_state
from gfil.store.hourly_stats import Summary
from gfil.store.maintenance_runs import LastRun
from gfil.store.retention import backdated_days, rules
from gfil.store.retention.backdated_days import BackdatedDays
from gfil.store.symbols import Symbol
from gfil.timeframes import DAY, HOUR
from gfil.web.pages import gap_heatmap, status_problems
from gfil.web.pages.gap_heatmap import Heatmap
from gfil.web.pages.page import page_blueprint, render_page
from gfil.web.request import metrics
from gfil.web.request.connections import read_db
from gfil.web.request.route import route
from gfil.wording import MB, format_age, format_count, format_size

PERIODS = (("Last hour", HOUR), ("Last day", DAY), ("Last 7 days", 7 * DAY))
STALE_CACHED_MINUTES = 5  # the check takes milliseconds for each symbol
HEATMAPS_S = 0.2  # time for heatmaps in one page; the script requests the others one by one
GAPS_MAX = 200
SIZES_DAYS_MIN = 2.0

bp = page_blueprint("status")


class Row(NamedTuple):
    """One symbol on the page; `state` is `late`, `ended`, `empty` or blank."""

    symbol: Symbol
    path: str
    state: str
    newest: int | None
    ranges: Sequence[TimeRange]
    ranges_table: str
    backdated: Sequence[BackdatedDays]
    heatmap: Heatmap | None


@route(bp, "GET", "/status", scope="read")
def show_status() -> Response:
    """Status: problems, then stored ranges, gaps, rates, sizes and maintenance runs."""
    db, now = read_db(), time.time()
    epoch, _ = read_state(db)
    rows = _list_rows(epoch, now)
    done = {
        name: maintenance_runs.read_last_run(db, name) for name in ("prune", "backup", "doctor")
    }
    full_days = _days_until_full(done["doctor"], now)
    stale = [row.symbol.name for row in rows if row.state == "late"]
    facts = status_problems.StatusFacts(now, bool(rows), **done, stale=stale, full_days=full_days)
    return render_page(
        "status.html",
        problems=status_problems.list_problems(facts),
        rows=rows,
        count=Counter(row.state for row in rows),
        backdated=[each for row in rows for each in row.backdated],
        done=done,
        checks=[*_checks(done["doctor"])],
        rates=_list_rates(epoch, int(now // 60)),
        sizes=_sizes(full_days),
        streams=metrics.count_streams(),
        versions=host_checks.describe_versions(),
        **_template_names(now),
    )


@route(bp, "GET", "/status/<symbol>", scope="read")
def show_symbol_status(symbol: str) -> Response:
    """Status of a symbol: stored ranges, retention rules and its newest gaps."""
    db, now = read_db(), time.time()
    epoch, _ = read_state(db)
    known = symbols.read(db, symbol)
    heatmap = gap_heatmap.find(epoch, known, now)
    return render_page(
        "status_symbol.html",
        row=_row(epoch, known, now, _newest(epoch, int(now // 60)), heatmap),
        rules=rules.read_rules(db, known),
        gaps=heatmap.gaps[:GAPS_MAX],
        format_minutes=gap_heatmap.format_minutes,
        **_template_names(now),
    )


def _template_names(now: float) -> dict[str, Any]:
    # Names that both templates use.
    return {
        "now": now,
        "format_age": format_age,
        "stamp": _stamp,
        "format_instant": format_instant,
        "without_folders": status_problems.without_folders,
        "format_size": format_size,
        "is_late": status_problems.is_late,
        "heatmap_size": (gap_heatmap.TOTAL_WIDTH, gap_heatmap.HEIGHT),
    }


def _list_rows(epoch: str, now: float) -> list[Row]:
    known = symbols.list_symbols(read_db())
    heatmaps = gap_heatmap.find_some(epoch, known, now, HEATMAPS_S)
    until = _newest(epoch, int(now // 60))
    return [_row(epoch, symbol, now, until, heatmaps.get(symbol.id)) for symbol in known]


def _row(epoch: str, symbol: Symbol, now: float, until: int, heatmap: Heatmap | None) -> Row:
    minute = int(now // 60)
    ranges = _read_ranges(epoch, symbol)
    newest = max((each.last for each in ranges if each.tf != rules.TICKS), default=None)
    if newest is None:
        state = "empty"
    elif newest < now - doctor.ENDED_S:
        state = "ended"
    else:
        state = "late" if _is_stale(epoch, symbol, minute // STALE_CACHED_MINUTES) else ""
    backdated = _count_backdated(epoch, symbol._replace(change=0), until, minute)
    path, ranges_table = quote(symbol.name, safe=""), _draw_ranges(epoch, symbol)
    return Row(symbol, path, state, newest, ranges, ranges_table, backdated, heatmap)


def _stamp(instant: int) -> str:
    return format_instant(instant)[:16].replace("T", " ")


# The arguments of these name everything that a value depends on: the symbol with its change number,
# or the minute where the value may be a minute old.


@lru_cache(maxsize=1024)
def _read_ranges(epoch: str, symbol: Symbol) -> Sequence[TimeRange]:
    return inventory.list_time_ranges(read_db(), symbol)


@lru_cache(maxsize=1024)
def _draw_ranges(epoch: str, symbol: Symbol) -> str:
    draw = get_template_attribute("status_parts.html", "ranges_table")
    drawn: str = draw(symbol.name, _read_ranges(epoch, symbol), _stamp)
    return drawn


@lru_cache(maxsize=1024)
def _is_stale(epoch: str, symbol: Symbol, minutes: int) -> bool:
    return inventory.is_stale(read_db(), symbol, int(time.time()))


@lru_cache(maxsize=1024)
def _count_backdated(
    epoch: str, symbol: Symbol, until: int, minute: int
) -> Sequence[BackdatedDays]:
    return backdated_days.count_backdated(read_db(), symbol, until)


@lru_cache(maxsize=2)
def _newest(epoch: str, minute: int) -> int:
    return retention_clock.read_retention_time(read_db(), minute * 60)


@lru_cache(maxsize=2)
def _list_rates(epoch: str, minute: int) -> Sequence[tuple[str, Sequence[Summary]]]:
    db, now = read_db(), float(minute * 60)
    found = [(name, hourly_stats.summarise(db, now - length, now)[1]) for name, length in PERIODS]
    busy = {each.kind for _, kinds in found for each in kinds if each.requests or each.rows}
    return [(name, [each for each in kinds if each.kind in busy]) for name, kinds in found]


class Sizes(NamedTuple):
    """Sizes as shown: the database, its log, free space, and days until the disk is full."""

    database: str
    log: str
    free: str
    floor: str
    full: str


def _sizes(full_days: float | None) -> Sizes:
    settings = current_app.config["SETTINGS"]
    log = settings.db.with_name(f"{settings.db.name}-wal")
    return Sizes(
        format_size(settings.db.stat().st_size),
        format_size(log.stat().st_size if log.exists() else 0),
        format_size(free_space.read_free_bytes(settings.db)),
        format_size(settings.min_free_mb * MB),
        "" if full_days is None else format_count(round(full_days), "day"),
    )


def _days_until_full(done: LastRun | None, now: float) -> float | None:
    # The doctor records a size each day; less than two days of sizes show no growth.
    settings = current_app.config["SETTINGS"]
    sizes = [(int(at), int(size)) for at, size in done.report.get("sizes", [])] if done else []
    if not sizes or now - sizes[0][0] < SIZES_DAYS_MIN * DAY:
        return None
    free_bytes = free_space.read_free_bytes(settings.db) - settings.min_free_mb * MB
    return doctor.days_until_full([*sizes, (int(now), settings.db.stat().st_size)], free_bytes)


def _checks(done: LastRun | None) -> Iterator[tuple[str, bool, str]]:
    for check in done.report.get("checks", []) if done else []:
        yield check["name"], check["ok"], status_problems.without_folders(check["detail"])
