"""A backup, for the tests that restore it."""

from contextlib import closing
from pathlib import Path

import pytest

from gfil.store import db as store
from gfil.upkeep import backup
from tests.faults import works
from tests.faults.sizes import seeded
from tests.upkeep.restoring import NOW, add


@pytest.fixture
def source(db_path: Path, tmp_path: Path) -> Path:
    """A backup of the database, which has gone on since."""
    with closing(store.connect(db_path)) as connection:
        for step in works.late_candles(seeded("restore"))[:12]:
            step(connection)
    made = backup.write(db_path, tmp_path / "backup.db", now=NOW)
    add(db_path)
    return made.path
