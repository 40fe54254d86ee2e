"""`--check`: the report that helps to find the broker's clock."""

import time

from tests.faults.sizes import seeded
from tests.pump.broker import HOUR, Broker, make_ticks, recent_ticks
from tests.pump.pump_process import UNREACHABLE, PumpProcess


def test_check_shows_terminal_symbols_times_and_fitting_clocks(
    broker: Broker, pump: PumpProcess
) -> None:
    broker.settings |= {"zone": "UTC", "shift_s": 3 * HOUR}
    broker.add_symbol("GOLD.r", recent_ticks(20))
    broker.save(quotes=True)
    pump.clock = ""
    output = pump.run("--check", "--map", "GOLD.r=GOLD")
    lines = {line[:34].strip(): line[34:].split("  ")[0] for line in output.splitlines()}
    assert "terminal  Stand-in build 1, 100000 max bars in chart" in output
    assert "symbol    GOLD.r as GOLD: Gold vs US Dollar, 3 digits" in output
    assert lines["clock     +03:00"] == "fits"
    assert lines["clock     Europe/Moscow"] == "fits"
    assert lines["clock     UTC"] == "no"
    assert "UTC by its clock; it answers" in output
    assert not pump.folder.exists(), "--check writes nothing"


def test_check_tells_a_wrong_key_from_a_wrong_address(broker: Broker, pump: PumpProcess) -> None:
    broker.add_symbol("GOLD", recent_ticks(1))
    broker.save(quotes=True)
    pump.key_file.write_text("gfil_of_nobody")
    assert "UTC by its clock; it fails: 401 this key is not valid" in pump.run("--check")
    pump.url = UNREACHABLE
    assert "it fails: [Errno 111] Connection refused" in pump.run("--check")


def test_check_on_a_closed_market_rules_out_only_clocks_ahead(
    broker: Broker, pump: PumpProcess
) -> None:
    broker.settings |= {"zone": "UTC", "shift_s": 3 * HOUR}
    broker.add_symbol("GOLD", make_ticks(seeded("closed"), int(time.time()) - 2 * HOUR, 10))
    output = pump.run("--check")
    clocks = [line.split() for line in output.splitlines() if line.startswith("clock  ")]
    answers = {name: answer for _, name, answer, *_ in clocks}
    assert answers["UTC"] == "no"
    assert answers["Europe/Moscow"] == "perhaps"
    assert "fits" not in answers.values()
    assert "run --check again while the market is open" in output
