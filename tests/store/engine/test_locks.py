"""Tests of gfil/store/locks.py: one process has it, and whoever owns the folder can."""

import os
from pathlib import Path

import pytest

from gfil.store.engine import locks


def test_a_lock_is_held_once_until_it_is_let_go(tmp_path: Path) -> None:
    path = locks.backup_path(tmp_path / "gfil.db")
    with locks.hold(path) as is_first, locks.hold(path) as is_second:
        assert (is_first, is_second) == (True, False)
    with locks.hold(path) as is_mine:
        assert is_mine


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_what_root_makes_is_the_folders_owners(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1235)
    path = locks.checkpointer_path(tmp_path / "gfil.db")
    with locks.hold(path):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)
