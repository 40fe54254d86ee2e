"""Tests of gfil/maintenance/backup.py: BACKUP-RESTORABLE."""

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import orjson
import pytest

from gfil.config import ROOT
from gfil.errors import BadParameter, Busy, Conflict, DiskFull, GfilError
from gfil.maintenance import backup
from gfil.maintenance.backup import Backup
from gfil.store import maintenance_runs
from gfil.store.candles import integrity
from gfil.store.engine import connection, file_copy, locks
from gfil.wording import format_size
from tests.conftest import clean_environment, gfil, wait_for
from tests.faults import workloads
from tests.faults.sizes import seeded
from tests.oracle.database import check_derived, read_state

NOW = 1_735_787_045  # 2025-01-02T03:04:05Z
BACKUP = "-m", "gfil", "backup"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def filled(db: apsw.Connection) -> apsw.Connection:
    """Database with the traces of late candles and ticks."""
    rng = seeded("backup")
    for step in (*workloads.late_candles(rng)[:12], *workloads.pumped_ticks(rng)[:12]):
        step(db)
    return db


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder for backups."""
    made = tmp_path / "backups"
    made.mkdir()
    return made


def check_backup(path: Path) -> None:
    """Check the file as every file named like a backup must pass."""
    with closing(connection.connect(path, readonly=True)) as copy:
        assert copy.pragma("integrity_check") == "ok"
        check_derived(copy)


def test_backup_contains_every_row(filled: apsw.Connection, db_path: Path, folder: Path) -> None:
    made = backup.write(db_path, folder, now=NOW)
    assert made == Backup(folder / "gfil-20250102T030405Z.db", made.path.stat().st_size, [])
    check_backup(made.path)
    with closing(connection.connect(made.path, readonly=True)) as copy:
        assert read_state(copy) == read_state(filled)


def test_backup_is_recorded_without_changing_data(
    filled: apsw.Connection, db_path: Path, folder: Path
) -> None:
    before = read_state(filled)
    made = backup.write(db_path, folder, now=NOW + 0.5)
    assert maintenance_runs.read_last_run(filled, "backup") == (NOW, made.as_json())
    assert made.as_json() == {"path": str(made.path), "bytes": made.bytes, "removed": []}
    assert read_state(filled) == before


def test_backup_to_a_file_replaces_the_previous_backup(
    filled: apsw.Connection, db_path: Path, folder: Path
) -> None:
    target = folder / "copy.db"
    for _ in range(2):
        assert backup.write(db_path, target, now=NOW).path == target
        assert names(folder) == ["copy.db"]
        workloads.send("M1", workloads.minutes(seeded("more"), workloads.DAY, 3))(filled)


def test_keep_deletes_older_backups_and_no_other_file(db_path: Path, folder: Path) -> None:
    others = ["gfil-20240101.db", "gfil-20250102T030400Z.db.txt", "xgfil-20250102T030401Z.db"]
    for name in others:
        (folder / name).write_text("mine")
    for second in range(4):
        made = backup.write(db_path, folder, keep=2, now=NOW + second)
    assert made.removed == [folder / "gfil-20250102T030406Z.db"]
    assert names(folder) == sorted(
        [*others, "gfil-20250102T030407Z.db", "gfil-20250102T030408Z.db"]
    )


def test_new_backup_stays_after_the_clock_was_set_back(db_path: Path, folder: Path) -> None:
    backup.write(db_path, folder, now=NOW)
    made = backup.write(db_path, folder, keep=1, now=NOW - 60)
    assert names(folder) == [made.path.name]


def test_no_backup_is_deleted_if_the_new_one_fails(
    db_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.write(db_path, folder, now=NOW)
    monkeypatch.setattr(file_copy, "RESERVE_BYTES", 10**18)
    with pytest.raises(DiskFull, match="no room for a copy"):
        backup.write(db_path, folder, keep=1, now=NOW + 1)
    assert names(folder) == ["gfil-20250102T030405Z.db"]


def test_other_file_is_never_replaced(db_path: Path, folder: Path) -> None:
    letter, database = folder / "letter.txt", folder / "other.db"
    letter.write_text("dear all")
    apsw.Connection(str(database)).execute("CREATE TABLE mine (a)")
    for target in (letter, database):
        with pytest.raises(Conflict, match="not a backup of GFIL"):
            backup.write(db_path, target, now=NOW)
    assert letter.read_text() == "dear all"


def test_database_in_use_is_never_replaced(db_path: Path, folder: Path) -> None:
    other = folder / "demo.db"
    connection.create(other)
    with pytest.raises(Conflict, match="a database in use"):
        backup.write(db_path, other, now=NOW)
    assert names(folder) == ["demo.db"]


@pytest.mark.parametrize("name", ["gfil.db", "gfil.db-wal", "nowhere/copy.db"])
def test_backup_refuses_the_database_itself_and_missing_folders(db_path: Path, name: str) -> None:
    with pytest.raises(BadParameter, match=r"the database itself|does not exist"):
        backup.write(db_path, db_path.parent / name, now=NOW)


def test_keep_needs_a_folder(db_path: Path, folder: Path) -> None:
    with pytest.raises(BadParameter, match="--keep needs a folder"):
        backup.write(db_path, folder / "copy.db", keep=3, now=NOW)


def test_second_backup_at_once_is_refused(db_path: Path, folder: Path) -> None:
    with locks.hold(locks.backup_path(db_path)), pytest.raises(Busy, match="another backup"):
        backup.write(db_path, folder, now=NOW)
    assert names(folder) == []


def test_copy_that_breaks_a_law_is_no_backup(
    filled: apsw.Connection, db_path: Path, folder: Path
) -> None:
    filled.execute("UPDATE candle SET close = high WHERE kind = 0 AND close < high")
    with pytest.raises(integrity.Unsound, match="differs from what its base makes"):
        backup.write(db_path, folder, now=NOW)
    assert names(folder) == []


def test_error_says_that_the_run_was_not_recorded(
    db_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "RECORD_RETRY_S", 0.0)
    with (
        closing(connection.connect(db_path)) as other,
        connection.transaction(other),
        pytest.raises(GfilError, match="is verified, but the run could not be recorded"),
    ):
        backup.write(db_path, folder, now=NOW)
    check_backup(folder / "gfil-20250102T030405Z.db")


def ingest(db_path: Path, until: threading.Event) -> int:
    """Write ticks without a pause; count the writes."""
    rng, sent, time_msc = seeded("ingest"), 0, workloads.DAY * 1000
    with closing(connection.connect(db_path)) as db:
        while not until.is_set():
            ticks = workloads.ticks_of(rng, time_msc, 20)
            workloads.send_ticks(ticks)(db)
            time_msc, sent = ticks[-1][0] + 1, sent + 1
    return sent


def test_backup_during_ingest_is_complete(
    filled: apsw.Connection, db_path: Path, folder: Path
) -> None:
    stop, sent = threading.Event(), []
    thread = threading.Thread(target=lambda: sent.append(ingest(db_path, stop)))
    thread.start()
    try:
        states = []
        for second in range(3):
            made = backup.write(db_path, folder, now=NOW + second)
            check_backup(made.path)
            with closing(connection.connect(made.path, readonly=True)) as copy:
                states.append(connection.read_state(copy)[1])
    finally:
        stop.set()
        thread.join()
    assert states[0] < states[1] < states[2]
    assert sent[0] > 0


def test_killed_backup_leaves_no_file_named_like_a_backup(
    filled: apsw.Connection, db_path: Path, folder: Path
) -> None:
    """The next backup removes its partial file."""
    command = [sys.executable, *BACKUP, str(folder)]
    environment = clean_environment(GFIL_DB=str(db_path))
    for _ in range(3):
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        wait_for(lambda: names(folder), "the partial file")
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path in folder.glob("*.db"):
            check_backup(path)
            path.unlink()
    made = backup.write(db_path, folder, now=NOW)
    assert names(folder) == [made.path.name]


def test_full_disk_is_one_line_and_leaves_no_file(
    filled: apsw.Connection, db_path: Path, folder: Path
) -> None:
    done = subprocess.run(
        [sys.executable, *BACKUP, str(folder)],
        cwd=ROOT,
        env=clean_environment(GFIL_DB=str(db_path)),
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)),
    )
    target = next(iter(done.stderr.split(" at ")[1:]), "").strip()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"gfil: no room for a copy at {target}\n"
    assert target.startswith(str(folder))
    assert names(folder) == []


def test_command_prints_one_line_or_json(db_path: Path, folder: Path) -> None:
    status, said, error = gfil(db_path, "backup", str(folder / "a.db"))
    size = (folder / "a.db").stat().st_size
    line = f"{db_path}: backed up to {folder / 'a.db'}, {format_size(size)}, verified\n"
    assert (status, said, error) == (0, line, "")
    status, said, error = gfil(db_path, "backup", str(folder / "a.db"), "--json")
    told = {"db": str(db_path), "path": str(folder / "a.db"), "bytes": size, "removed": []}
    assert (status, orjson.loads(said), error) == (0, told, "")


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["{folder}/a.db", "--keep", "3"], 2, "--keep needs a folder of backups"),
        (["{folder}", "--keep", "0"], 2, "Invalid value for '--keep'"),
        (["{folder}/no/a.db"], 2, "the folder {folder}/no does not exist"),
        ([], 2, "Missing argument 'DEST'"),
    ],
)
def test_wrong_usage_is_one_line(
    db_path: Path, folder: Path, words: list[str], status: int, line: str
) -> None:
    found, said, error = gfil(db_path, "backup", *(word.format(folder=folder) for word in words))
    assert (found, said) == (status, "")
    assert error.startswith(f"gfil: {line.format(folder=folder)}")
    assert error.count("\n") == 1


def test_backup_needs_a_database(tmp_path: Path, folder: Path) -> None:
    status, _, error = gfil(tmp_path / "none.db", "backup", str(folder))
    assert (status, error.startswith("gfil: no database at")) == (1, True)
    assert names(folder) == []
    assert names(tmp_path) == ["backups"]


def test_backup_has_the_file_mode_of_the_database(db_path: Path, folder: Path) -> None:
    db_path.chmod(0o600)
    made = backup.write(db_path, folder, now=NOW)
    assert made.path.stat().st_mode & 0o777 == 0o600


class Killed(BaseException):
    """Simulates the death of the process."""


@pytest.mark.parametrize("mutant", [False, True])
def test_backup_is_synced_before_it_is_renamed(
    filled: apsw.Connection,
    db_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    mutant: bool,
) -> None:
    """A rename that reaches the disk before the content would leave a broken backup."""
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def note_sync(file: int) -> None:
        done.append(f"sync {Path(f'/proc/self/fd/{file}').readlink().name}")
        sync(file)

    def note_replace(path: Path, target: Path) -> Path:
        done.append(f"rename {path.name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    if mutant:
        monkeypatch.setattr(file_copy, "sync_file", lambda path: None)
    backup.write(db_path, folder, now=NOW)
    part = "gfil-20250102T030405Z.db.part"
    in_order = done == [f"sync {part}", f"rename {part}", "sync backups"]
    assert in_order != mutant


STEPS: list[tuple[object, str]] = [
    (file_copy, "sync_file"),
    (integrity, "check"),
    (Path, "replace"),
]


@pytest.mark.parametrize(("owner", "name"), STEPS)
def test_backup_killed_at_a_step_is_absent_or_complete(
    filled: apsw.Connection,
    db_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
) -> None:
    step: Callable[..., object] = getattr(owner, name)

    for survived in range(3):
        calls = 0

        def die(*arguments: object, at: int = survived) -> object:
            nonlocal calls
            calls += 1
            if calls > at:
                raise Killed
            return step(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(owner, name, die)
            patched.setattr(
                file_copy, "_remove", lambda part: None
            )  # a dead process cleans up nothing
            try:
                backup.write(db_path, folder, now=NOW + survived)
            except Killed:
                assert maintenance_runs.read_last_run(filled, "backup") is None or survived > 0
        for path in folder.glob("*.db"):
            check_backup(path)
