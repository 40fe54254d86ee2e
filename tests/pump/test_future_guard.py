"""A wrong `--clock` that puts prices into the future: the pump sends nothing."""

import time

import pytest

from tests.faults.sizes import seeded
from tests.pump.broker import HOUR, MINUTE, Broker, make_bars, make_ticks, roll_up
from tests.pump.pump_process import PumpProcess
from tests.pump.stub_gfil import StubGfil, serve


@pytest.mark.parametrize(("name", "quiet_s"), [("GOLD", 30), ("NEW", 10 * MINUTE)])
def test_clock_behind_the_broker_sends_neither_ticks_nor_candles(
    broker: Broker, pump: PumpProcess, stub: StubGfil, name: str, quiet_s: int
) -> None:
    """Old rows would pass unnoticed: GFIL refuses only rows that lie in the future."""
    broker.settings |= {"zone": "UTC", "shift_s": 2 * HOUR}
    now = int(time.time())
    ticks = make_ticks(seeded("ahead"), now - 6 * HOUR, 50)
    ticks += make_ticks(seeded("newest"), now - quiet_s, 20, 50)
    hours = make_bars(seeded("hours"), now // HOUR * HOUR - 5 * HOUR, 20, HOUR)
    broker.add_symbol(name, ticks, roll_up(ticks), hours)
    pump.clock = "UTC"
    with serve(stub.answer) as pump.url:
        output = pump.run(status=1)
        assert stub.posts == []
        assert "ahead, so the pump sends nothing of it: is --clock right?" in output
        assert output.splitlines()[-1].startswith("not everything was sent:")
        pump.clock = "+02:00"
        pump.run()
    assert stub.tick_times() == [tick[0] for tick in ticks]


def test_candle_in_the_future_stops_candles_of_a_symbol_without_ticks(
    broker: Broker, pump: PumpProcess, stub: StubGfil
) -> None:
    broker.settings |= {"zone": "UTC", "shift_s": 2 * HOUR}
    broker.add_symbol("GOLD", [], make_bars(seeded("bars"), int(time.time()) // 60 * 60, 300))
    pump.clock = "UTC"
    with serve(stub.answer) as pump.url:
        assert "is --clock right?" in pump.run(status=1)
    assert stub.posts == []


def test_symbol_with_a_price_in_the_future_does_not_stop_the_others(
    broker: Broker, pump: PumpProcess, stub: StubGfil
) -> None:
    now = int(time.time())
    ticks = make_ticks(seeded("many windows"), now - 30 * HOUR, 2000, 100_000)
    broker.add_symbol("AHEAD", make_ticks(seeded("wrong"), now + HOUR, 20))
    broker.add_symbol("GOLD", [tick for tick in ticks if tick[0] < now * 1000])
    with serve(stub.answer) as pump.url:
        pump.run("--once", "--every", "20", status=1)
    assert stub.tick_times() == [tick[0] for tick in ticks if tick[0] < now * 1000]
