"""What is not well with a server and its database, in sentences; nothing where all is."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from flask import current_app

from gfil.errors import DiskFull, GfilError
from gfil.maintenance import free_space
from gfil.maintenance.doctor import FULL_DAYS_MIN, NIGHTLY_S
from gfil.store.maintenance_runs import LastRun
from gfil.web.pages import overview_rows

NAMED_MAX = 5
SEEN_HERE = {"disk", "backup", "prune", "stale"}  # as they are now, not as the doctor saw them
FOLDERS = re.compile(r"(?:/[^\s/`]+)*/(?=[^\s/`])")


class Problem(NamedTuple):
    """One thing that is not well, and the line to type where one helps."""

    text: str
    command: str = ""


class StatusFacts(NamedTuple):
    """What is judged: the last of each upkeep, None where it never was, and what is stale.

    One that is not used yet, since nothing is stored, needs no upkeep.
    """

    now: float
    is_used: bool
    prune: LastRun | None
    backup: LastRun | None
    doctor: LastRun | None
    stale: Sequence[str]
    full_days: float | None


def list_problems(signs: StatusFacts) -> list[Problem]:
    """Return what is not well, the gravest first."""
    found = [*_storing(signs), *_found_by_doctor(signs)]
    if not signs.is_used:
        return found
    return [
        *found,
        *_stale(signs),
        *_backup(signs),
        *_prune(signs),
        *_doctor(signs),
    ]


def _storing(signs: StatusFacts) -> Iterator[Problem]:
    settings = current_app.config["SETTINGS"]
    try:
        current_app.extensions["writer"].check()
    except GfilError as error:
        yield Problem(f"Nothing can be stored: {error.title.lower()}")
    try:
        free_space.check_room(settings.db, settings.min_free_mb)
    except DiskFull:
        yield Problem(
            f"The disk is nearly full: nothing is taken in until {settings.min_free_mb:,} MB are "
            "free"
        )
        return
    if signs.full_days is not None and signs.full_days < FULL_DAYS_MIN:
        yield Problem(f"The disk is full in {tell_days(signs.full_days)}")


def _found_by_doctor(signs: StatusFacts) -> Iterator[Problem]:
    for check in signs.doctor.report.get("checks", []) if signs.doctor else []:
        if not check["ok"] and check["name"] not in SEEN_HERE:
            yield Problem(f"The doctor found, {check['name']}: {without_folders(check['detail'])}")


def _stale(signs: StatusFacts) -> Iterator[Problem]:
    if signs.stale:
        more = len(signs.stale) - NAMED_MAX
        named = ", ".join(signs.stale[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
        yield Problem(f"Nothing comes of {named}, though it usually does")


def _backup(signs: StatusFacts) -> Iterator[Problem]:
    if signs.backup is None:
        yield Problem("There is no backup", "scripts/gfil backup FOLDER --keep 14")
    elif is_late(signs.backup, signs.now):
        ago = overview_rows.age(signs.now - signs.backup.time)
        yield Problem(f"The last backup was made {ago}", "scripts/gfil backup FOLDER --keep 14")


def _prune(signs: StatusFacts) -> Iterator[Problem]:
    if signs.prune is not None:
        if is_late(signs.prune, signs.now):
            ago = overview_rows.age(signs.now - signs.prune.time)
            yield Problem(f"What is old was pruned last {ago}", "scripts/gfil prune")
        return
    for check in signs.doctor.report.get("checks", []) if signs.doctor else []:
        if check["name"] == "prune" and not check["ok"]:
            yield Problem("What is older than it is kept was never pruned", "scripts/gfil prune")


def _doctor(signs: StatusFacts) -> Iterator[Problem]:
    if signs.doctor is None:
        yield Problem("The database was never checked", "scripts/gfil doctor --quick")
    elif is_late(signs.doctor, signs.now):
        ago = overview_rows.age(signs.now - signs.doctor.time)
        yield Problem(f"The database was checked last {ago}", "scripts/gfil doctor --quick")


def is_late(done: LastRun, now: float) -> bool:
    """Say whether a night was missed of what is done nightly."""
    return now - done.time > NIGHTLY_S


def tell_days(days: float) -> str:
    """Return a number of days in words, a whole one."""
    return f"{days:,.0f} day{'' if round(days) == 1 else 's'}"


def without_folders(text: str) -> str:
    """Return a text without the folders of its files: a reader need not know the machine."""
    return FOLDERS.sub("", text)
