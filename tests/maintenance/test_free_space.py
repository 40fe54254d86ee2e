"""Tests of gfil/maintenance/free_space.py."""

import os
from pathlib import Path

import pytest

from gfil.errors import DiskFull
from gfil.maintenance import free_space


def test_free_bytes_are_those_of_the_file_system(db_path: Path) -> None:
    room = os.statvfs(db_path.parent)
    assert (
        abs(free_space.read_free_bytes(db_path) - room.f_bavail * room.f_frsize)
        < 100 * free_space.MB
    )


def test_ingest_is_allowed_above_the_floor(db_path: Path) -> None:
    free_space.check_room(db_path, 0)
    free_space.check_room(db_path, free_space.read_free_bytes(db_path) // free_space.MB - 1000)


def test_ingest_is_refused_below_the_floor(db_path: Path) -> None:
    with pytest.raises(DiskFull) as caught:
        free_space.check_room(db_path, 10**9)
    assert caught.value.status == 507
    assert "MB are free and GFIL_MIN_FREE_MB is 1000000000" in caught.value.detail
