"""What the tests of the store share: an open database, and a symbol in it."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from gfil.store import db as store


@pytest.fixture
def db(db_path: Path) -> Iterator[apsw.Connection]:
    """A connection that writes, to a new database."""
    connection = store.connect(db_path)
    yield connection
    connection.close()
