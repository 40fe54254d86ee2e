"""What the proofs share: a place for disks that are looked at once."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

IN_MEMORY = "/dev/shm"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where disks are laid out: in memory if that is possible, for there are thousands."""
    place = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    with TemporaryDirectory(dir=place) as folder:
        yield Path(folder)
