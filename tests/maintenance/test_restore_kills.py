"""Killed restores leave either the old or the new database, complete."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gfil.config import ROOT
from gfil.maintenance import restore
from gfil.store.candles import integrity
from gfil.store.engine import file_copy
from tests.conftest import clean_environment, wait_for
from tests.faults.sizes import seeded
from tests.maintenance.restoring import NOW, data
from tests.maintenance.test_backup import Killed, names

STEPS = [(os, "link"), (os, "fsync"), (Path, "replace"), (integrity, "check"), (os, "chown")]


@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[name for _, name in STEPS])
def test_restore_ended_at_a_step_leaves_the_old_or_the_new_database(
    source: Path, db_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    step: Callable[..., object] = getattr(owner, name)
    old, new = data(db_path), data(source)
    ended = 0
    for survived in range(20):
        calls = 0

        def die(*arguments: object, at: int = survived) -> object:
            nonlocal calls
            calls += 1
            if calls > at:
                raise Killed
            return step(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(owner, name, die)
            try:
                restore.run(source, db_path, now=NOW + survived)
            except Killed:
                ended += 1
        assert data(db_path) in (old, new)
        if calls <= survived:
            break
    assert ended > 0
    assert data(db_path) == new


def test_killed_restore_leaves_the_old_or_the_new_database(source: Path, db_path: Path) -> None:
    old, new = data(db_path), data(source)
    rng = seeded("kills")
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-m", "gfil", "restore", str(source)],
            cwd=ROOT,
            env=clean_environment(GFIL_DB=str(db_path)),
        )
        wait_for(lambda: "gfil.db.restoring.part" in names(db_path.parent), "the copy")
        for _ in range(rng.randrange(20_000)):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert data(db_path) in (old, new)
    restore.run(source, db_path, now=NOW)
    assert data(db_path) == new
    kept = db_path.parent.glob("gfil.before-restore-*.db")
    assert not any(path.samefile(db_path) for path in kept)
    assert not list(db_path.parent.glob("*.restoring*"))


def test_swap_without_a_hard_link_is_detected(
    source: Path, db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proves that the test detects a swap with a moment without a database."""
    monkeypatch.setattr(os, "link", os.rename)

    def die(*_: object) -> None:
        if not db_path.exists():
            raise Killed

    monkeypatch.setattr(file_copy, "sync_file", die)
    with pytest.raises(Killed):
        restore.run(source, db_path, now=NOW)
