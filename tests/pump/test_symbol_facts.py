"""Facts about a symbol: digits, description, currencies."""

from tests.pump.broker import Broker, recent_ticks, roll_up
from tests.pump.pump_process import PumpProcess
from tests.pump.stub_gfil import StubGfil, serve


def test_unchanged_facts_are_sent_once(broker: Broker, pump: PumpProcess, stub: StubGfil) -> None:
    ticks = recent_ticks(20)
    broker.add_symbol("GOLD", ticks, roll_up(ticks))
    with serve(stub.answer) as pump.url:
        pump.run()
        pump.run()
    expected = {"base": "XAU", "quote": "USD", "digits": 3, "description": "Gold vs US Dollar"}
    assert stub.facts == [expected]
