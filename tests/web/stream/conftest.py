"""Fixtures of the stream tests: a hub that the tests poll."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gfil.web.stream import hub as hub_module
from gfil.web.stream.hub import Hub


@pytest.fixture
def hub(db_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub of at most three streams, polled by the tests."""
    monkeypatch.setattr(hub_module, "IDLE_S", 0)
    monkeypatch.setattr(hub_module, "SPACING_S", 0)
    made = Hub(db_path, 3)
    yield made
    made.close()
