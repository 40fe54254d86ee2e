"""Locks between processes: exclusive, and owned by the owner of the folder."""

import os
from pathlib import Path

import pytest

from gfil.store.engine import locks


def test_lock_is_exclusive_until_released(tmp_path: Path) -> None:
    path = locks.backup_path(tmp_path / "gfil.db")
    with locks.hold(path) as is_first, locks.hold(path) as is_second:
        assert (is_first, is_second) == (True, False)
    with locks.hold(path) as is_mine:
        assert is_mine


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_lock_made_by_root_belongs_to_owner_of_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1235)
    path = locks.checkpointer_path(tmp_path / "gfil.db")
    with locks.hold(path):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)
