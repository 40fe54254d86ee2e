"""A clock that is wrong, and how the pump helps to find the right one."""

import time

import pytest

from tests.faults.sizes import seeded
from tests.pump.between import GOOD, Gfil, refusing
from tests.pump.world import HOUR, MINUTE, Pump, World, fold, make_bars, make_ticks, recent_ticks

NOWHERE = "http://127.0.0.1:9"


def test_check_shows_terminal_symbols_times_and_the_clocks_that_fit(
    world: World, pump: Pump
) -> None:
    """It needs no clock, and leaves nothing behind."""
    world.told |= {"zone": "UTC", "shift_s": 3 * HOUR}
    ticks = recent_ticks(20)
    world.add("GOLD.r", ticks)
    world.save(quotes=True)
    pump.clock = ""
    said = pump.run("--check", "--map", "GOLD.r=GOLD")
    lines = {line[:34].strip(): line[34:].split("  ")[0] for line in said.splitlines()}
    assert "terminal  Stand-in build 1, 100000 max bars in chart" in said
    assert "symbol    GOLD.r as GOLD: Gold vs US Dollar, 3 digits" in said
    assert lines["clock     +03:00"] == "fits"
    assert lines["clock     Europe/Moscow"] == "fits"
    assert lines["clock     UTC"] == "no"
    assert "UTC by its clock; it answers" in said
    assert not pump.folder.exists()


def test_check_says_why_gfil_does_not_answer(world: World, pump: Pump) -> None:
    """A wrong address is told from a wrong key."""
    world.add("GOLD", recent_ticks(1))
    world.save(quotes=True)
    pump.key_file.write_text("gfil_of_nobody")
    assert "UTC by its clock; it fails: 401 this key is not valid" in pump.run("--check")
    pump.url = NOWHERE
    assert "it fails: [Errno 111] Connection refused" in pump.run("--check")


def test_when_no_price_comes_check_calls_no_clock_right(world: World, pump: Pump) -> None:
    """At a week-end any clock may be: only what would lie in the future is ruled out."""
    world.told |= {"zone": "UTC", "shift_s": 3 * HOUR}
    now = int(time.time())
    world.add("GOLD", make_ticks(seeded("closed"), now - 2 * HOUR, 10))
    said = pump.run("--check")
    verdicts = {line.split()[1]: line.split()[2] for line in said.splitlines() if "clock  " in line}
    assert verdicts["UTC"] == "no"
    assert verdicts["Europe/Moscow"] == "perhaps"
    assert "fits" not in verdicts.values()
    assert "ask while the market is open" in said


@pytest.mark.parametrize(("name", "quiet_s"), [("GOLD", 30), ("NEW", 10 * MINUTE)])
def test_nothing_is_sent_by_a_clock_that_puts_the_newest_tick_in_the_future(
    world: World, pump: Pump, gfil: Gfil, name: str, quiet_s: int
) -> None:
    """Neither ticks nor candles of before, known to GFIL or not, which nobody would notice."""
    world.told |= {"zone": "UTC", "shift_s": 2 * HOUR}
    now = int(time.time())
    ticks = make_ticks(seeded("ahead"), now - 6 * HOUR, 50)
    ticks += make_ticks(seeded("newest"), now - quiet_s, 20, 50)
    hours = make_bars(seeded("hours"), now // HOUR * HOUR - 5 * HOUR, 20, HOUR)
    world.add(name, ticks, fold(ticks), hours)
    pump.clock = "UTC"
    with refusing(gfil.answer) as pump.url:
        said = pump.run(status=1)
        assert gfil.posts == []
        assert "ahead, --clock? It is not sent" in said
        assert said.splitlines()[-1].startswith("not everything was sent:")
        pump.clock = "+02:00"
        pump.run()
    assert gfil.times() == [tick[0] for tick in ticks]


def test_a_candle_in_the_future_holds_back_candles_where_there_are_no_ticks(
    world: World, pump: Pump, gfil: Gfil
) -> None:
    """A symbol of which the terminal has no price yet."""
    world.told |= {"zone": "UTC", "shift_s": 2 * HOUR}
    world.add("GOLD", [], make_bars(seeded("bars"), int(time.time()) // 60 * 60, 300))
    pump.clock = "UTC"
    with refusing(gfil.answer) as pump.url:
        assert "ahead, --clock?" in pump.run(status=1)
    assert gfil.posts == []


def test_a_symbol_that_lies_ahead_holds_up_no_other(world: World, pump: Pump, gfil: Gfil) -> None:
    """A broker's single wrong stamp is no reason to stop."""
    now = int(time.time())
    ticks = make_ticks(seeded("many windows"), now - 30 * HOUR, 2000, 100_000)
    world.add("AHEAD", make_ticks(seeded("wrong"), now + HOUR, 20))
    world.add("GOLD", [tick for tick in ticks if tick[0] < now * 1000])
    with refusing(gfil.answer) as pump.url:
        pump.run("--once", "--every", "20", status=1)
    assert gfil.times() == [tick[0] for tick in ticks if tick[0] < now * 1000]


def test_what_gfil_says_of_each_page_of_an_old_history_is_said_once(
    world: World, pump: Pump, gfil: Gfil
) -> None:
    """For each timeframe; of one without candles there is no first year."""
    world.add("GOLD", [], make_bars(seeded("old"), 1_600_000_020, 12_000))
    pages = iter(range(3, 100))

    def judge(path: str, body: bytes) -> tuple[int, dict, dict]:  # type: ignore[type-arg]
        old = f"GOLD M1: {next(pages)} days older than kept, 2020-09-0{next(pages) % 9 + 1} to x"
        return GOOD[0], {**GOOD[1], "warnings": [old]}, {}

    gfil.judge = judge
    with refusing(gfil.answer) as pump.url:
        said = pump.run("--once", "--history")
    assert len(gfil.posts) >= 2
    assert said.count("GFIL warns: GOLD M1") == 1
    assert "history of GOLD: 0 H1\n" in said
    assert "1970" not in said
