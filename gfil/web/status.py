"""The page that tells whether all is well: what is held and missing, rates, sizes, upkeep."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

from flask import Blueprint, Response, current_app, get_template_attribute

from gfil.clocks import format_instant
from gfil.errors import GfilError
from gfil.store import figures, holdings, pruning, retention, symbols, upkeep
from gfil.store.db import read_state
from gfil.store.figures import Summary
from gfil.store.holdings import Reach
from gfil.store.retention import Imported
from gfil.store.symbols import Symbol
from gfil.store.upkeep import Done
from gfil.timeframes import DAY, HOUR
from gfil.upkeep import disk, doctor, host
from gfil.web import metrics, missing, pages, quotes, reading, scope, verdict
from gfil.web.missing import Picture

PERIODS = (("Last hour", HOUR), ("Last day", DAY), ("Last 7 days", 7 * DAY))
STALE_KEPT_MINUTES = 5  # to tell takes milliseconds of each symbol
PICTURES_S = 0.2  # of the time of a page; the script asks for the others one by one
GAPS_MAX = 200
SIZES_DAYS_MIN = 2.0
MB = 1_000_000

bp = Blueprint("status", __name__)
bp.register_error_handler(GfilError, pages.refuse)


class Row(NamedTuple):
    """What the page tells of one symbol; `state` is `late`, `ended`, `empty`, or blank."""

    symbol: Symbol
    path: str
    state: str
    newest: int | None
    reach: Sequence[Reach]
    held: str
    imported: Sequence[Imported]
    picture: Picture | None


@bp.get("/status")
@scope("read")
def overview() -> Response:
    """Tell whether all is well, then what is held and missing, how quick it is, what was done."""
    db, now = reading(), time.time()
    epoch, _ = read_state(db)
    rows = _list_rows(epoch, now)
    done = {name: upkeep.read(db, name) for name in ("prune", "backup", "doctor")}
    full_days = _days_until_full(done["doctor"], now)
    stale = [row.symbol.name for row in rows if row.state == "late"]
    signs = verdict.Signs(now, bool(rows), **done, stale=stale, full_days=full_days)
    return pages.page(
        "status.html",
        problems=verdict.judge(signs),
        rows=rows,
        count=Counter(row.state for row in rows),
        kept_days=[each for row in rows for each in row.imported],
        done=done,
        checks=[*_checks(done["doctor"])],
        rates=_list_rates(epoch, int(now // 60)),
        sizes=_sizes(full_days),
        streams=metrics.count_streams(),
        versions=host.describe_versions(),
        **_words(now),
    )


@bp.get("/status/<symbol>")
@scope("read")
def detail(symbol: str) -> Response:
    """Tell what is held of one symbol, how long it is kept, and list its newest gaps."""
    db, now = reading(), time.time()
    epoch, _ = read_state(db)
    known = symbols.read(db, symbol)
    picture = missing.find(epoch, known, now)
    return pages.page(
        "status_symbol.html",
        row=_row(epoch, known, now, _newest(epoch, int(now // 60)), picture),
        rules=retention.read(db, known),
        gaps=picture.gaps[:GAPS_MAX],
        amount=missing.amount,
        **_words(now),
    )


def _words(now: float) -> dict[str, Any]:
    # What both templates write with.
    return {
        "now": now,
        "age": quotes.age,
        "stamp": _stamp,
        "format_instant": format_instant,
        "plain": verdict.without_folders,
        "tell_bytes": _tell_bytes,
        "is_late": verdict.is_late,
        "picture_size": (missing.PICTURE_WIDTH, missing.HEIGHT),
    }


def _list_rows(epoch: str, now: float) -> list[Row]:
    known = symbols.list(reading())
    pictures = missing.find_some(epoch, known, now, PICTURES_S)
    until = _newest(epoch, int(now // 60))
    return [_row(epoch, symbol, now, until, pictures.get(symbol.id)) for symbol in known]


def _row(epoch: str, symbol: Symbol, now: float, until: int, picture: Picture | None) -> Row:
    minute = int(now // 60)
    reach = _reach(epoch, symbol)
    newest = max((each.last for each in reach if each.tf != retention.TICKS), default=None)
    if newest is None:
        state = "empty"
    elif newest < now - doctor.ENDED_S:
        state = "ended"
    else:
        state = "late" if _is_stale(epoch, symbol, minute // STALE_KEPT_MINUTES) else ""
    imported = _imported(epoch, symbol._replace(change=0), until, minute)
    path, held = quote(symbol.name, safe=""), _draw_held(epoch, symbol)
    return Row(symbol, path, state, newest, reach, held, imported, picture)


def _stamp(instant: int) -> str:
    return format_instant(instant)[:16].replace("T", " ")


# The arguments of these name all that an answer depends on: the symbol with its change, or the
# minute for what may be a minute old.


@lru_cache(maxsize=1024)
def _reach(epoch: str, symbol: Symbol) -> Sequence[Reach]:
    return holdings.list_reach(reading(), symbol)


@lru_cache(maxsize=1024)
def _draw_held(epoch: str, symbol: Symbol) -> str:
    draw = get_template_attribute("status_parts.html", "held")
    drawn: str = draw(symbol.name, _reach(epoch, symbol), _stamp)
    return drawn


@lru_cache(maxsize=1024)
def _is_stale(epoch: str, symbol: Symbol, minutes: int) -> bool:
    return holdings.is_stale(reading(), symbol, int(time.time()))


@lru_cache(maxsize=1024)
def _imported(epoch: str, symbol: Symbol, until: int, minute: int) -> Sequence[Imported]:
    return retention.count_imported(reading(), symbol, until)


@lru_cache(maxsize=2)
def _newest(epoch: str, minute: int) -> int:
    # From where retention counts back: the wall clock, or the newest row where that is earlier.
    newest = pruning.read_newest(reading())
    return minute * 60 if newest is None else min(minute * 60, newest)


@lru_cache(maxsize=2)
def _list_rates(epoch: str, minute: int) -> Sequence[tuple[str, Sequence[Summary]]]:
    db, now = reading(), float(minute * 60)
    found = [(name, figures.summarise(db, now - length, now)[1]) for name, length in PERIODS]
    busy = {each.kind for _, kinds in found for each in kinds if each.requests or each.rows}
    return [(name, [each for each in kinds if each.kind in busy]) for name, kinds in found]


class Sizes(NamedTuple):
    """Of the database, its log and what is free on its disk; when that is full, if ever."""

    database: str
    log: str
    free: str
    floor: str
    full: str


def _sizes(full_days: float | None) -> Sizes:
    settings = current_app.config["SETTINGS"]
    log = settings.db.with_name(f"{settings.db.name}-wal")
    return Sizes(
        _tell_bytes(settings.db.stat().st_size),
        _tell_bytes(log.stat().st_size if log.exists() else 0),
        _tell_bytes(disk.read_free_bytes(settings.db)),
        _tell_bytes(settings.min_free_mb * MB),
        "" if full_days is None else verdict.tell_days(full_days),
    )


def _tell_bytes(number: float) -> str:
    if number >= 10_000 * MB:
        return f"{number / 1000 / MB:,.1f} GB"
    return f"{number / MB:,.1f} MB" if number < 100 * MB else f"{number / MB:,.0f} MB"


def _days_until_full(done: Done | None, now: float) -> float | None:
    # The doctor keeps the size of each day; less than two days of them say nothing.
    settings = current_app.config["SETTINGS"]
    sizes = [(int(at), int(size)) for at, size in done.report.get("sizes", [])] if done else []
    if not sizes or now - sizes[0][0] < SIZES_DAYS_MIN * DAY:
        return None
    free_bytes = disk.read_free_bytes(settings.db) - settings.min_free_mb * MB
    return doctor.days_until_full([*sizes, (int(now), settings.db.stat().st_size)], free_bytes)


def _checks(done: Done | None) -> Iterator[tuple[str, bool, str]]:
    for check in done.report.get("checks", []) if done else []:
        yield check["name"], check["ok"], verdict.without_folders(check["detail"])
