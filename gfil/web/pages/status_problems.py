"""Problems of a server and its database, as the sentences on top of the status page."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from flask import current_app

from gfil.errors import DiskFull, GfilError
from gfil.maintenance import free_space
from gfil.maintenance.doctor import FULL_DAYS_MIN, NIGHTLY_S
from gfil.store.maintenance_runs import LastRun
from gfil.wording import format_age, format_count, format_list, format_number

NAMED_MAX = 5
CHECKED_HERE = {"disk", "backup", "prune", "stale"}  # checked at the request, not by the doctor
FOLDERS = re.compile(r"(?:/[^\s/`]+)*/(?=[^\s/`])")


class Problem(NamedTuple):
    """One problem, and the command that solves the problem, if any."""

    text: str
    command: str = ""


class StatusFacts(NamedTuple):
    """Facts of the server and the database. A maintenance run is None if it never happened.

    A database without data, `is_used` false, needs no maintenance.
    """

    now: float
    is_used: bool
    prune: LastRun | None
    backup: LastRun | None
    doctor: LastRun | None
    stale: Sequence[str]
    full_days: float | None


def list_problems(facts: StatusFacts) -> list[Problem]:
    """Return the problems, the most serious first."""
    found = [*_list_storage_problems(facts), *_list_doctor_problems(facts)]
    if not facts.is_used:
        return found
    return [
        *found,
        *_list_stale(facts),
        *_check_backup(facts),
        *_check_prune(facts),
        *_check_doctor(facts),
    ]


def _list_storage_problems(facts: StatusFacts) -> Iterator[Problem]:
    settings = current_app.config["SETTINGS"]
    try:
        current_app.extensions["writer"].check()
    except GfilError as error:
        yield Problem(f"Nothing can be stored: {error.title.lower()}")
    try:
        free_space.check_room(settings.db, settings.min_free_mb)
    except DiskFull:
        floor = format_number(settings.min_free_mb)
        yield Problem(f"The disk is nearly full: uploads are refused until {floor} MB are free")
        return
    if facts.full_days is not None and facts.full_days < FULL_DAYS_MIN:
        yield Problem(f"The disk is full in {format_count(round(facts.full_days), 'day')}")


def _list_doctor_problems(facts: StatusFacts) -> Iterator[Problem]:
    for check in facts.doctor.report.get("checks", []) if facts.doctor else []:
        if not check["ok"] and check["name"] not in CHECKED_HERE:
            detail = without_folders(check["detail"])
            yield Problem(f"Doctor check {check['name']} failed: {detail}")


def _list_stale(facts: StatusFacts) -> Iterator[Problem]:
    if facts.stale:
        named = format_list(facts.stale, NAMED_MAX)
        verb = "is" if len(facts.stale) == 1 else "are"
        yield Problem(f"{named} {verb} stale: no data for 10 minutes of normal trading")


def _check_backup(facts: StatusFacts) -> Iterator[Problem]:
    if facts.backup is None:
        yield Problem("There is no backup", "scripts/gfil backup FOLDER --keep 14")
    elif is_late(facts.backup, facts.now):
        ago = format_age(facts.now - facts.backup.time)
        yield Problem(f"The last backup was made {ago}", "scripts/gfil backup FOLDER --keep 14")


def _check_prune(facts: StatusFacts) -> Iterator[Problem]:
    if facts.prune is not None:
        if is_late(facts.prune, facts.now):
            ago = format_age(facts.now - facts.prune.time)
            yield Problem(f"The last prune ran {ago}", "scripts/gfil prune")
        return
    for check in facts.doctor.report.get("checks", []) if facts.doctor else []:
        if check["name"] == "prune" and not check["ok"]:
            yield Problem("Data past its retention was never pruned", "scripts/gfil prune")


def _check_doctor(facts: StatusFacts) -> Iterator[Problem]:
    if facts.doctor is None:
        yield Problem("The doctor never checked the database", "scripts/gfil doctor --quick")
    elif is_late(facts.doctor, facts.now):
        ago = format_age(facts.now - facts.doctor.time)
        yield Problem(f"The doctor last checked the database {ago}", "scripts/gfil doctor --quick")


def is_late(run: LastRun, now: float) -> bool:
    """Return whether a nightly run was missed."""
    return now - run.time > NIGHTLY_S


def without_folders(text: str) -> str:
    """Return a text without the folders of its files, which readers must not learn."""
    return FOLDERS.sub("", text)
