"""The pump as its user starts it: what it asks for, what it shows, what it keeps on the disk."""

import json
import resource
import runpy
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, Server, wait_for
from tests.faults.senders import make_key
from tests.faults.sizes import seeded
from tests.pump.between import Gfil, refusing
from tests.pump.conftest import AUTUMN, SPRING, Place
from tests.pump.world import DAY, HOUR, Pump, World, fold, make_bars, read_all, recent_ticks

NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("clock", "said"),
    [
        ("", "--clock is needed"),
        ("Europe/Atlantis", "unknown clock 'Europe/Atlantis'"),
        ("+15:00", "unknown clock '+15:00'"),
        ("America/New_York+7:5", "unknown clock"),
    ],
)
def test_a_clock_is_needed_and_never_assumed(
    world: World, pump: Pump, clock: str, said: str
) -> None:
    """One plain line."""
    world.add("GOLD")
    pump.clock = clock
    assert said in pump.run("--once", status=1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--url", "http://192.0.2.1"), "in clear"),
        (("--url", "http://127.evil.example"), "in clear"),
        (("--url", "ftp://192.0.2.1"), "no URL such as"),
        (("--url", "https://name:secret@192.0.2.1"), "no URL such as"),
        (("--symbols", "SILVER"), "the terminal has no symbol SILVER; it shows GOLD#1"),
        (("--map", "GOLD#1=GO LD"), "no symbol of GFIL can be called 'GO LD'"),
        (("--map", "SILVER=X"), "must name each symbol once"),
        (("--key-file", "/nowhere/at/all"), "no key in /nowhere/at/all"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    world: World, pump: Pump, options: tuple[str, ...], said: str
) -> None:
    """Before anything is sent."""
    world.add("GOLD#1")
    (line,) = pump.run("--once", *options, status=1).splitlines()
    assert said in line


def test_a_symbol_that_gfil_cannot_name_is_left_out_unless_it_was_asked_for(
    world: World, pump: Pump, gfil: Gfil
) -> None:
    """One of many in the Market Watch does not end the pump."""
    ticks = recent_ticks(20)
    world.add("XAU USD", recent_ticks(20))
    world.add("GOLD", ticks)
    hint = "no symbol of GFIL can be called 'XAU USD': --map 'XAU USD=NAME'"
    with refusing(gfil.answer) as pump.url:
        assert f"XAU USD is left out: {hint}" in pump.run()
        assert gfil.times() == [tick[0] for tick in ticks]
        (line,) = pump.run("--once", "--symbols", "XAU USD", "GOLD", status=1).splitlines()
    assert line == hint


def test_http_to_another_host_is_used_where_that_is_asked_for(world: World, pump: Pump) -> None:
    """`--insecure`: then the next thing that is wrong is said."""
    world.add("GOLD")
    said = pump.run("--once", "--url", "http://192.0.2.1", "--insecure", "--symbols", "X", status=1)
    assert "the terminal has no symbol X" in said


def test_without_a_terminal_and_without_its_module_there_is_one_line(
    world: World, pump: Pump
) -> None:
    """No traceback for what a newcomer meets first."""
    world.add("GOLD")
    assert "No module named 'MetaTrader5'" in pump.run("--once", status=1, PYTHONPATH="/nowhere")
    (world.folder / "down").touch()
    (line,) = pump.run("--once", status=1).splitlines()
    assert line == "mt5_pump: it does not start: (-10004, 'No IPC connection')"


def test_a_dry_run_shows_what_would_be_sent_and_writes_nothing(
    world: World, pump: Pump, place: Place
) -> None:
    """Neither here nor there."""
    ticks = recent_ticks(20)
    world.add("DRY", ticks, make_bars(seeded("dry"), ticks[0][0] // 60_000 * 60, 30))
    said = pump.run("--dry-run")
    assert f"ended: {len(ticks)} ticks would be sent" in said
    assert "would POST /api/v1/candles?symbol=DRY&tf=M1&force_tf=1: 30 rows" in said
    assert f"would POST /api/v1/ticks: {len(ticks)} rows, DRY,{ticks[0][0]}," in said
    assert read_all(place.server, "ticks", "DRY") == []
    assert not pump.folder.exists()


def test_two_pumps_do_not_work_in_one_folder(world: World, pump: Pump, gfil: Gfil) -> None:
    """The second says so and ends."""
    world.add("GOLD", recent_ticks(20))
    with refusing(gfil.answer) as pump.url:
        first = pump.start()
        wait_for(lambda: gfil.lines, "the first at work")
        assert "is another pump at work there?" in pump.run(status=1)
        first.send_signal(signal.SIGINT)
        said, _ = first.communicate(timeout=120)
    assert first.returncode == 0
    assert said.endswith("ended: 20 ticks sent, 0 wait in the spool\n")
    assert "Traceback" not in said


def test_a_torn_end_of_the_spool_is_read_from_the_terminal_again(
    world: World, pump: Pump, gfil: Gfil
) -> None:
    """A power cut in the middle of a write: what is whole is sent, and the rest too."""
    ticks = recent_ticks(200)
    world.add("GOLD", ticks)
    gfil.judge = lambda path, body: (401, {"status": 401, "detail": "ends at once"}, {})
    with refusing(gfil.answer) as url:
        pump.url = url
        pump.run(status=1)
    (kept,) = pump.spooled()
    data = kept.read_bytes()
    kept.write_bytes(data + data[:40] + bytes(20))
    later = kept.with_name(f"{'9' * 13}-0.ticks")
    later.write_bytes(data[:-7])
    well = Gfil()
    with refusing(well.answer) as pump.url:
        said = pump.run()
    assert said.count("has a torn end") == 2
    assert sorted(set(well.times())) == sorted({tick[0] for tick in ticks})
    assert pump.spooled() == []


def test_a_full_spool_says_so_and_leaves_newer_ticks_in_the_terminal(
    world: World, pump: Pump, gfil: Gfil
) -> None:
    """They follow as soon as there is room."""
    ticks = recent_ticks(400)
    world.add("GOLD", ticks)
    world.reach(0.25)
    gfil.judge = lambda path, body: (503, {"status": 503, "detail": "busy"}, {})
    with refusing(gfil.answer) as pump.url:
        process = pump.start("--spool-mb", "0.01", "--every", "20")
        wait_for(pump.spooled, "a spool")
        world.reach(1.0)
        log = pump.folder / "pump.log"
        wait_for(lambda: "the spool is full (--spool-mb 0.01)" in log.read_text(), "a word")
        assert sum(path.stat().st_size for path in pump.spooled()) <= 10_100
        process.kill()
        process.communicate()
        gfil.judge = Gfil().judge
        pump.run("--once")
    assert set(gfil.times()) == {tick[0] for tick in ticks}


def test_a_spool_smaller_than_what_waits_passes_it_on_in_pieces(
    world: World, pump: Pump, gfil: Gfil
) -> None:
    """As long as GFIL answers; each tick is sent once."""
    ticks = recent_ticks(400)
    world.add("GOLD", ticks)
    with refusing(gfil.answer) as pump.url:
        said = pump.run("--once", "--spool-mb", "0.005", "--every", "20")
    assert gfil.times() == [tick[0] for tick in ticks]
    assert len(gfil.posts) > 1
    assert "the spool is full" not in said


def test_a_disk_that_was_full_takes_all_once_there_is_room(tmp_path: Path) -> None:
    """What did not fit, however often it was tried, counts for nothing and leaves nothing."""
    spool = runpy.run_path(str(ROOT / "scripts" / "mt5_pump.py"))["Spool"](tmp_path, 10_000)
    lines = [b"GOLD,%d,1.5,1.6,0.0,0.0,6\n" % time_msc for time_msc in range(100)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for _ in range(10):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                spool.append(lines)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        spool.seal()
    assert (spool.size, spool.first(), len(list(tmp_path.iterdir()))) == (0, None, 1)
    spool.append(lines)
    assert spool.first()[1] == lines
    spool.drop(len(lines))
    assert (spool.size, spool.ticks, list(tmp_path.iterdir())) == (0, 0, [])


def test_a_symbol_whose_ticks_do_not_come_holds_up_no_other(
    world: World, pump: Pump, gfil: Gfil
) -> None:
    """It is said, and the others are sent."""
    ticks = recent_ticks(20)
    world.add("ASTUCK", recent_ticks(20))
    world.add("GOLD", ticks)
    world.save(stuck="ASTUCK")
    with refusing(gfil.answer) as pump.url:
        said = pump.run(status=1)
    assert "(-10005, 'IPC timeout'); trying again" in said
    assert gfil.times() == [tick[0] for tick in ticks]


def test_max_bars_in_chart_are_said_to_cut_the_history(
    world: World, pump: Pump, place: Place
) -> None:
    """M1 as far as they go, before them H1, before those D1."""
    rng = seeded("cut")
    m1 = make_bars(rng, SPRING - 5 * DAY, 300)
    h1 = make_bars(rng, SPRING - 5 * DAY, 200, HOUR)
    d1 = make_bars(rng, (SPRING - 5 * DAY) // DAY * DAY - 2 * HOUR, 30, DAY)
    world.add("CUT", [], m1, h1, d1)
    world.save(maxbars=100)
    assert "'Max bars in chart' (100) cut it" in pump.run()
    assert read_all(place.server, "candles", "CUT", tf="M1") == m1[-100:]
    hours = read_all(place.server, "candles", "CUT", tf="H1")
    assert [bar for bar in hours if bar[0] < m1[-100][0]] == [
        bar for bar in h1[-100:] if bar[0] < m1[-100][0]
    ]
    world.save(maxbars=100_000)
    assert "cut it" not in pump.run("--once", "--history")
    assert read_all(place.server, "candles", "CUT", tf="M1") == m1


def test_gaps_are_filled_with_just_what_is_missing(world: World, pump: Pump) -> None:
    """`mode=fill`, also where the broker's clock goes back."""
    m1 = make_bars(seeded("gaps"), AUTUMN + 2 * HOUR, 240)
    world.add("GOLD", [], m1)
    last = m1[-1][0]
    gfil = Gfil(last_time=last)
    start, stop = AUTUMN - 10 * 60, AUTUMN + 20 * 60
    gap = {"symbol": "GOLD", "from": start, "to": stop, "minutes": 30}

    def answer(method: str, path: str, body: bytes) -> tuple[int, dict, dict]:  # type: ignore[type-arg]
        if path.startswith("/api/v1/gaps"):
            return 200, {"gaps": [gap]}, {}
        return gfil.answer(method, path, body)

    with refusing(answer) as pump.url:
        pump.run("--once", "--fill-gaps")
    (filled,) = [body for _, path, body in gfil.posts if "mode=fill" in path]
    times = [int(line.split(b",")[0]) for line in filled.splitlines()[1:]]
    assert times == list(range(start, stop, 60))


def test_a_server_that_lost_what_it_had_gets_it_again(
    world: World, pump: Pump, server: Callable[..., Server], tmp_path: Path
) -> None:
    """Restored from an old backup, say: the pump goes back to what GFIL stored last."""
    ticks = recent_ticks(100)
    world.add("GOLD", ticks, fold(ticks))
    for number in range(2):
        path = tmp_path / f"{number}.db"
        pump.key_file.write_text(make_key(path))
        running = server(GFIL_DB=str(path), GFIL_WORKERS="1")
        pump.url = running.url
        pump.run()
        assert read_all(running, "ticks", "GOLD") == ticks
        running.stop(signal.SIGKILL)


def test_a_history_that_was_cut_off_is_sent_to_its_end(
    world: World, pump: Pump, gfil: Gfil
) -> None:
    """GFIL knows the symbol by then; the pump knows better."""
    m1 = make_bars(seeded("history"), SPRING, 12_000)
    world.add("NEW", [], m1)
    taken = set[int]()
    answers = iter([True, False])

    def judge(path: str, body: bytes) -> tuple[int, dict, dict]:  # type: ignore[type-arg]
        if not next(answers, True):
            return 401, {"status": 401, "detail": "ends at once"}, {}
        gfil.symbol["symbol"] = "NEW"
        taken.update(int(line.split(b",")[0]) for line in body.splitlines()[1:])
        return 200, {"rows": 1}, {}

    gfil.judge = judge
    with refusing(gfil.answer) as pump.url:
        pump.run(status=1)
        assert len(taken) == 10_000
        pump.run()
    assert taken == {bar[0] for bar in m1}
    assert json.loads((pump.folder / "state.json").read_text())["NEW"]["history"] == "done"


def test_a_price_is_in_gfil_half_a_second_after_it_was_in_the_terminal(
    world: World, pump: Pump, place: Place
) -> None:
    """The measure is generous: a busy machine is no fault of the pump."""
    ticks = recent_ticks(100)
    world.add("QUICK", ticks)
    world.reach(0.5)
    process = pump.start()
    wait_for(lambda: len(read_all(place.server, "ticks", "QUICK")) == 50, "the first ticks")
    world.reach(1.0)
    began = time.monotonic()
    wait_for(lambda: len(read_all(place.server, "ticks", "QUICK")) == 100, "all ticks")
    print(f"after {time.monotonic() - began:.2f} s")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 0
