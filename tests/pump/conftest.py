"""Fixtures of the pump's tests: a server that all share, and a broker for each test."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Server
from tests.faults.senders import make_key
from tests.pump.broker import Broker
from tests.pump.pump_process import PumpProcess
from tests.pump.stub_gfil import StubGfil


@dataclass
class Gfil:
    """A running server and a key with the scope write."""

    server: Server
    key: str


@pytest.fixture(scope="session")
def gfil(server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Gfil:
    """One real server for every test that does not break it; each test uses its own symbols."""
    path = tmp_path_factory.mktemp("pump") / "gfil.db"
    key = make_key(path)
    return Gfil(server(GFIL_DB=str(path), GFIL_WORKERS="1"), key)


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    """A broker without symbols, on the clock nyclose."""
    return Broker(tmp_path / "broker")


@pytest.fixture
def pump(broker: Broker, tmp_path: Path, gfil: Gfil) -> Iterator[PumpProcess]:
    """A pump from the broker to the server."""
    pump = PumpProcess(broker, tmp_path / "pump", gfil.server.url, gfil.key)
    yield pump
    pump.kill_all()


@pytest.fixture
def stub() -> StubGfil:
    """A stub of GFIL."""
    return StubGfil()
