"""Reading ticks from the terminal."""

import time

from tests.conftest import wait_for
from tests.pump.broker import Broker, recent_ticks
from tests.pump.conftest import Gfil
from tests.pump.pump_process import PumpProcess, read_all, stop
from tests.pump.stub_gfil import StubGfil, serve


def test_symbol_without_an_answer_does_not_stop_the_others(
    broker: Broker, pump: PumpProcess, stub: StubGfil
) -> None:
    ticks = recent_ticks(20)
    broker.add_symbol("ASTUCK", recent_ticks(20))
    broker.add_symbol("GOLD", ticks)
    broker.save(stuck="ASTUCK")
    with serve(stub.answer) as pump.url:
        output = pump.run(status=1)
    assert "(-10005, 'IPC timeout'); the pump tries again" in output
    assert stub.tick_times() == [tick[0] for tick in ticks]


def test_new_ticks_are_in_gfil_within_seconds(
    broker: Broker, pump: PumpProcess, gfil: Gfil
) -> None:
    """The limit is generous, so that a busy machine does not fail the test."""
    broker.add_symbol("QUICK", recent_ticks(100))
    broker.release(0.5)
    process = pump.start()
    wait_for(lambda: len(read_all(gfil.server, "ticks", "QUICK")) == 50, "the first ticks")
    broker.release(1.0)
    started = time.monotonic()
    wait_for(lambda: len(read_all(gfil.server, "ticks", "QUICK")) == 100, "all ticks")
    print(f"after {time.monotonic() - started:.2f} s")
    stop(process)
