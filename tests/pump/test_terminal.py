"""The terminal: its absence, and the symbols to pump."""

from tests.pump.broker import Broker, recent_ticks
from tests.pump.pump_process import PumpProcess
from tests.pump.stub_gfil import StubGfil, serve


def test_missing_package_and_missing_terminal_end_once_with_one_line(
    broker: Broker, pump: PumpProcess
) -> None:
    broker.add_symbol("GOLD")
    assert "No module named 'MetaTrader5'" in pump.run("--once", status=1, PYTHONPATH="/nowhere")
    broker.set_down(True)
    (line,) = pump.run("--once", status=1).splitlines()
    assert line == "mt5_pump: the terminal does not start: (-10004, 'No IPC connection')"


def test_symbol_that_gfil_cannot_name_is_skipped_unless_requested(
    broker: Broker, pump: PumpProcess, stub: StubGfil
) -> None:
    ticks = recent_ticks(20)
    broker.add_symbol("XAU USD", recent_ticks(20))
    broker.add_symbol("GOLD", ticks)
    hint = "GFIL cannot name a symbol 'XAU USD': use --map 'XAU USD=NAME'"
    with serve(stub.answer) as pump.url:
        assert f"XAU USD is not pumped: {hint}" in pump.run()
        assert stub.tick_times() == [tick[0] for tick in ticks]
        (line,) = pump.run("--once", "--symbols", "XAU USD", "GOLD", status=1).splitlines()
    assert line == hint
