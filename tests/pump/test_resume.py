"""Where the pump goes on after GFIL has lost rows."""

import signal
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Server
from tests.faults.senders import make_key
from tests.pump.broker import Broker, recent_ticks, roll_up
from tests.pump.pump_process import PumpProcess, read_all


def test_server_without_its_rows_receives_them_again(
    broker: Broker, pump: PumpProcess, server: Callable[..., Server], tmp_path: Path
) -> None:
    """A restore from an old backup has this effect."""
    ticks = recent_ticks(100)
    broker.add_symbol("GOLD", ticks, roll_up(ticks))
    for number in range(2):
        path = tmp_path / f"{number}.db"
        pump.key_file.write_text(make_key(path))
        running = server(GFIL_DB=str(path), GFIL_WORKERS="1")
        pump.url = running.url
        pump.run()
        assert read_all(running, "ticks", "GOLD") == ticks
        running.stop(signal.SIGKILL)
