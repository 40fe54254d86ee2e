"""Shared fixtures of the proofs: a folder for rebuilt disks."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

IN_MEMORY = "/dev/shm"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for thousands of rebuilt disks, in memory where possible."""
    place = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    with TemporaryDirectory(dir=place) as folder:
        yield Path(folder)
