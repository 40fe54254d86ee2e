"""Fixtures of the restore tests."""

from contextlib import closing
from pathlib import Path

import pytest

from gfil.maintenance import backup
from gfil.store.engine import connection
from tests.faults import workloads
from tests.faults.sizes import seeded
from tests.maintenance.restoring import NOW, add


@pytest.fixture
def source(db_path: Path, tmp_path: Path) -> Path:
    """Backup of the database, which has changed since."""
    with closing(connection.connect(db_path)) as db:
        for step in workloads.late_candles(seeded("restore"))[:12]:
            step(db)
    made = backup.write(db_path, tmp_path / "backup.db", now=NOW)
    add(db_path)
    return made.path
