"""Power cuts at every operation of a workload, and the checks of each disk left behind."""

import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from gfil.store.engine import connection
from tests.faults.disk import Tape, recorded
from tests.faults.images import Image, images, lay
from tests.faults.sizes import LONG
from tests.oracle.database import State, check_derived, check_logged, read_state

IMAGES_MIN = 20_000 if LONG else 2000
OF_CANDLES = ("symbol", "symbol_clock", "candle", "superseded", "tick", "provisional")
RETRIED_EVERY = 150  # images
Step = Callable[[apsw.Connection], Any]


class Lost(AssertionError):
    """A disk that lacks a promised state, or holds half of a step."""


def record(database: Path, steps: list[Step]) -> Tape:
    """Run steps in order; promise the state after each one."""
    with recorded(database) as tape, closing(connection.connect(database)) as db:
        promise(tape, db)
        for step in steps:
            step(db)
            promise(tape, db)
    return tape


def promise(tape: Tape, connection: apsw.Connection, *, is_pruning: bool = False) -> None:
    """Promise the state that the connection reads, which must obey the laws."""
    state = read_state(connection)
    if not tape.marks or any(state[name] != tape.marks[-1][1][name] for name in OF_CANDLES):
        check_derived(connection)
    if tape.marks:
        check_logged(tape.marks[-1][1], state, is_pruning=is_pruning)
    tape.mark(state)


def record_commits(database: Path, work: Step, *, is_pruning: bool = False) -> Tape:
    """Run a workload and promise the state at each of its commits."""
    told: list[Callable[[], None]] = []
    with (
        recorded(database) as tape,
        _told_of_commits(lambda: told[0]()),
        closing(connection.connect(database)) as db,
        closing(connection.connect(database, readonly=True)) as seeing,
    ):
        promise(tape, seeing)
        told.append(lambda: promise(tape, seeing, is_pruning=is_pruning))
        work(db)
    return tape


@contextmanager
def _told_of_commits(told: Callable[[], None]) -> Iterator[None]:
    def look(event: dict[str, Any]) -> None:
        if event["sql"] == "COMMIT":
            told()

    def hook(connection: apsw.Connection) -> None:
        connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, look)

    apsw.connection_hooks.append(hook)
    try:
        yield
    finally:
        apsw.connection_hooks.remove(hook)


def cut_everywhere(
    tape: Tape,
    folder: Path,
    rng: random.Random,
    *,
    at_least: int = IMAGES_MIN,
    again: Callable[[apsw.Connection, int], Any] | None = None,
    syncs_hold: bool = True,
) -> None:
    """Check the disks left by power cuts at every point of a tape.

    `again` gets some of the databases found, and how many steps were promised by then: it does what
    a client does who has no answer to the step after those, and what comes after. Then everything
    must be as if the power had never been cut.

    Raises:
        Lost: a disk breaks a promise.
    """
    for count, image in enumerate(images(tape, rng, at_least, syncs_hold=syncs_hold)):
        lay(image.files, folder)
        _check(folder / tape.database.name, image, [state for _, state in tape.marks])
        if again is not None and count % RETRIED_EVERY == 0:
            _retry(folder / tape.database.name, image, again, tape.marks[-1][1])


def _check(database: Path, image: Image, promises: list[State]) -> None:
    try:
        connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.pragma("locking_mode", "EXCLUSIVE")  # needs no shared-memory file
            sound = connection.pragma("integrity_check")
            found = read_state(connection)
        finally:
            connection.close()
    except apsw.Error as error:
        raise Lost(f"{_when(image)}: {error!r}") from error
    if sound != "ok":
        raise Lost(f"{_when(image)}: {sound}")
    if found not in promises[image.promised - 1 : image.promised + 1]:
        if found in promises:
            raise Lost(f"{_when(image)}: back at promise {promises.index(found) + 1}")
        raise Lost(f"{_when(image)}: half of something")


def _when(image: Image) -> str:
    return f"cut after {image.ops} operations and {image.promised} promises"


def _retry(
    database: Path, image: Image, again: Callable[[apsw.Connection, int], Any], wanted: State
) -> None:
    db = connection.connect(database)
    again(db, image.promised - 1)
    found = read_state(db)
    db.close()
    if comparable(found) != comparable(wanted):
        raise Lost(f"{_when(image)}: done again it ends elsewhere")


def comparable(state: State) -> State:
    """Return a state without its random and time-dependent columns."""
    # The epoch is random; the times of requests and of received days are wall time.
    return state | {
        "store": [row[2:] for row in state["store"]],
        "received_day": [row[:2] for row in state["received_day"]],
        "idempotency_record": [(*row[:4], *row[5:]) for row in state["idempotency_record"]],
        "migrated_file": [row[:4] for row in state["migrated_file"]],
    }
