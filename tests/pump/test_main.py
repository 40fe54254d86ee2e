"""The program: wrong options, dry run, two pumps in one folder, and signals."""

import re
import signal

import pytest

from tests.conftest import wait_for
from tests.faults.sizes import seeded
from tests.pump.broker import Broker, make_bars, recent_ticks
from tests.pump.conftest import Gfil
from tests.pump.pump_process import SIGINT_IGNORED, WITHOUT_CONSOLE, PumpProcess, read_all, stop
from tests.pump.stub_gfil import StubGfil, serve


@pytest.mark.parametrize(
    ("clock", "error"),
    [
        ("", "--clock is needed"),
        ("Europe/Atlantis", "unknown clock 'Europe/Atlantis'"),
        ("+15:00", "unknown clock '+15:00'"),
        ("America/New_York+7:5", "unknown clock"),
    ],
)
def test_missing_or_unknown_clock_is_refused(
    broker: Broker, pump: PumpProcess, clock: str, error: str
) -> None:
    broker.add_symbol("GOLD")
    pump.clock = clock
    assert error in pump.run("--once", status=1)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--url", "http://192.0.2.1"), "in clear"),
        (("--url", "http://127.evil.example"), "in clear"),
        (("--url", "ftp://192.0.2.1"), "is not a URL such as"),
        (("--url", "https://name:secret@192.0.2.1"), "is not a URL such as"),
        (("--symbols", "SILVER"), "the terminal has no symbol SILVER; it shows GOLD#1"),
        (("--map", "GOLD#1=GO LD"), "GFIL cannot name a symbol 'GO LD'"),
        (("--map", "SILVER=X"), "must name each symbol once"),
        (("--key-file", "/nowhere/at/all"), "no key in /nowhere/at/all"),
    ],
)
def test_wrong_option_is_refused_in_one_line(
    broker: Broker, pump: PumpProcess, options: tuple[str, ...], error: str
) -> None:
    broker.add_symbol("GOLD#1")
    (line,) = pump.run("--once", *options, status=1).splitlines()
    assert error in line


def test_insecure_allows_http_to_another_machine(broker: Broker, pump: PumpProcess) -> None:
    """The pump gets as far as the next wrong option."""
    broker.add_symbol("GOLD")
    options = ("--url", "http://192.0.2.1", "--insecure", "--symbols", "X")
    assert "the terminal has no symbol X" in pump.run("--once", *options, status=1)


def test_dry_run_prints_requests_and_writes_nothing(
    broker: Broker, pump: PumpProcess, gfil: Gfil
) -> None:
    ticks = recent_ticks(20)
    broker.add_symbol("DRY", ticks, make_bars(seeded("dry"), ticks[0][0] // 60_000 * 60, 30))
    output = pump.run("--dry-run")
    assert f"ended: {len(ticks)} ticks would be sent" in output
    assert "would POST /api/v1/candles?symbol=DRY&tf=M1&force_tf=1: 30 rows" in output
    assert f"would POST /api/v1/ticks: {len(ticks)} rows, DRY,{ticks[0][0]}," in output
    assert read_all(gfil.server, "ticks", "DRY") == []
    assert not pump.folder.exists()


def test_second_pump_in_a_folder_is_refused(
    broker: Broker, pump: PumpProcess, stub: StubGfil
) -> None:
    broker.add_symbol("GOLD", recent_ticks(20))
    with serve(stub.answer) as pump.url:
        first = pump.start()
        wait_for(lambda: stub.tick_lines, "the first pump's ticks")
        assert "another pump runs in this folder" in pump.run(status=1)
        output = stop(first)
    assert re.search(r"ended: \d+ ticks sent, \d+ wait in the spool\n$", output)


@pytest.mark.parametrize("launcher", [(), SIGINT_IGNORED], ids=["foreground", "SIGINT ignored"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_signal_stops_the_pump_cleanly_also_in_the_background(
    broker: Broker,
    pump: PumpProcess,
    stub: StubGfil,
    launcher: tuple[str, ...],
    how: signal.Signals,
) -> None:
    broker.add_symbol("GOLD", recent_ticks(20))
    pump.launcher = launcher
    with serve(stub.answer) as pump.url:
        process = pump.start()
        wait_for(lambda: stub.tick_lines, "ticks")
        output = stop(process, how)
    assert re.search(r"ended: \d+ ticks sent, \d+ wait in the spool\n$", output)
    assert (pump.folder / "state.json").exists()


def test_pump_without_a_console_runs_and_logs(
    broker: Broker, pump: PumpProcess, stub: StubGfil
) -> None:
    broker.add_symbol("GOLD", recent_ticks(20))
    pump.program = WITHOUT_CONSOLE
    with serve(stub.answer) as pump.url:
        assert pump.run("--once") == ""
    assert "ended: 20 ticks sent" in (pump.folder / "pump.log").read_text()


def test_signal_while_the_terminal_is_away_ends_the_pump_with_one_line(
    broker: Broker, pump: PumpProcess
) -> None:
    broker.add_symbol("GOLD")
    broker.set_down(True)
    process = pump.start()
    log = pump.folder / "pump.log"
    wait_for(lambda: log.exists() and "does not start" in log.read_text(), "the warning")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert output.splitlines()[1:] == ["mt5_pump: stopped by a signal"]
