"""What GFIL may answer, and what the pump makes of it: wait, split, drop a row, ask for a key."""

import signal
import subprocess
import time

import pytest

from tests.conftest import wait_for
from tests.pump.between import GOOD, Gfil, refusing
from tests.pump.conftest import Place
from tests.pump.world import Pump, World, fold, read_all, recent_ticks


def stop(process: "subprocess.Popen[str]") -> str:
    """End a pump as Ctrl-C does, cleanly; return what it said."""
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


def test_a_wrong_key_is_said_while_ticks_are_spooled_and_read_again_when_it_changes(
    world: World, pump: Pump, place: Place
) -> None:
    """401: nothing is lost while a person mends the key."""
    ticks = recent_ticks(200)
    world.add("LOCKED", ticks)
    pump.key_file.write_text("gfil_wrong_key")
    process = pump.start("--every", "20")
    wait_for(lambda: sum(path.stat().st_size for path in pump.spooled()) > 1000, "a spool")
    pump.key_file.write_text(place.key)
    wait_for(lambda: read_all(place.server, "ticks", "LOCKED") == ticks, "all ticks")
    wait_for(lambda: not pump.spooled(), "the spool is empty")
    said = stop(process)
    assert "401" in said
    assert "the key is read again" in said
    assert "gfil_wrong_key" not in said


def test_a_body_that_is_too_large_is_split(world: World, pump: Pump, gfil: Gfil) -> None:
    """413: until each part fits."""
    ticks = recent_ticks(500)
    world.add("GOLD", ticks)
    problem = {"type": "too_large", "status": 413, "detail": "too large", "limit_bytes": 3000}
    gfil.judge = lambda path, body: (413, problem, {}) if len(body) > 3000 else GOOD
    with refusing(gfil.answer) as pump.url:
        pump.run()
    assert gfil.times() == [tick[0] for tick in ticks]
    assert pump.spooled() == []


@pytest.mark.parametrize("status", [429, 503, 507])
def test_a_server_that_wants_a_pause_gets_it_while_ticks_are_spooled(
    world: World, pump: Pump, gfil: Gfil, status: int
) -> None:
    """`Retry-After` is honoured, and nothing is forgotten."""
    ticks = recent_ticks(100)
    world.add("GOLD", ticks)
    world.reach(0.5)
    problem = {"type": "busy", "status": status, "detail": "come back"}
    pauses = iter([(status, problem, {"Retry-After": "1"})])
    gfil.judge = lambda path, body: next(pauses, GOOD)
    with refusing(gfil.answer) as pump.url:
        process = pump.start("--every", "20")
        wait_for(lambda: gfil.posts, "a request")
        world.reach(1.0)
        wait_for(lambda: len(gfil.lines) >= len(ticks), "all ticks")
        said = stop(process)
    assert gfil.times() == [tick[0] for tick in ticks]
    assert gfil.posts[1][0] - gfil.posts[0][0] >= 0.9
    assert gfil.posts[1][2] == gfil.posts[0][2], "the same request again"
    assert f"{status} come back" in said


def test_of_a_request_that_is_refused_only_the_bad_rows_are_dropped(
    world: World, pump: Pump, gfil: Gfil
) -> None:
    """Narrowed down; each is named in the log and never sent again."""
    ticks = recent_ticks(300)
    bad = b",%d," % ticks[77][0]
    world.add("GOLD", ticks)
    problem = {"type": "bad_request", "status": 400, "detail": "a broken line"}
    gfil.judge = lambda path, body: (400, problem, {}) if bad in body else GOOD
    with refusing(gfil.answer) as pump.url:
        said = pump.run()
        assert gfil.times() == [tick[0] for tick in ticks if tick[0] != ticks[77][0]]
        posts = len(gfil.posts)
        pump.run()
    assert "refused, not sent again" in said
    assert str(ticks[77][0]) in said
    assert not [body for _, _, body in gfil.posts[posts:] if bad in body]


def test_a_row_that_gfil_refuses_is_named_and_not_sent_again(
    world: World, pump: Pump, place: Place
) -> None:
    """In an answer of success, too."""
    ticks = recent_ticks(50)
    ticks[20] = (*ticks[20][:1], -1e300, *ticks[20][2:])
    world.add("BADROW", ticks)
    said = pump.run()
    assert read_all(place.server, "ticks", "BADROW") == [*ticks[:20], *ticks[21:]]
    assert said.count("refused, not sent again") == 1
    assert str(ticks[20][0]) in said
    assert "refused" not in pump.run()


def test_a_parameter_that_is_refused_drops_no_row(world: World, pump: Pump, gfil: Gfil) -> None:
    """What is wrong with the request is not wrong with its rows."""
    world.add("GOLD", recent_ticks(20))
    problem = {"type": "bad_parameter", "status": 400, "detail": "unknown parameter"}
    gfil.judge = lambda path, body: (400, problem, {})
    with refusing(gfil.answer) as pump.url:
        said = pump.run(status=1)
    assert "unknown parameter" in said
    assert len(pump.spooled()) == 1


def test_a_key_that_may_not_write_is_said_and_ends_once(
    world: World, pump: Pump, gfil: Gfil
) -> None:
    """403: the ticks stay in the spool."""
    world.add("GOLD", recent_ticks(20))
    gfil.judge = lambda path, body: (403, {"status": 403, "detail": "scope read"}, {})
    with refusing(gfil.answer) as pump.url:
        said = pump.run(status=1)
    assert "403 scope read" in said
    assert len(pump.spooled()) == 1


def test_a_request_keeps_its_name_over_a_restart(world: World, pump: Pump, gfil: Gfil) -> None:
    """The same `Idempotency-Key` for the same ticks: the spool's own name of them."""
    world.add("GOLD", recent_ticks(20))
    gfil.judge = lambda path, body: (503, {"status": 503, "detail": "busy"}, {})
    named: list[tuple[str, bytes]] = []
    with refusing(gfil.answer, named) as pump.url:
        pump.run(status=1)
        (kept,) = pump.spooled()
        once = set(named)
        pump.run(status=1)
        assert pump.spooled()[0] == kept
    assert set(named) == once == {(kept.stem, gfil.posts[0][2])}


def test_no_answer_at_all_ends_once_with_one_line(world: World, pump: Pump) -> None:
    """Exit status 1, and no traceback."""
    world.add("GOLD", recent_ticks(20))
    pump.url = "http://127.0.0.1:9"
    said = pump.run(status=1)
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("not everything was sent:")


def test_facts_of_a_symbol_are_sent_once(world: World, pump: Pump, gfil: Gfil) -> None:
    """Digits, description and currencies."""
    ticks = recent_ticks(20)
    world.add("GOLD", ticks, fold(ticks))
    with refusing(gfil.answer) as pump.url:
        pump.run()
        pump.run()
    wanted = {"base": "XAU", "quote": "USD", "digits": 3, "description": "Gold vs US Dollar"}
    assert gfil.facts == [wanted]


def test_a_candle_that_still_forms_is_not_sent(world: World, pump: Pump, place: Place) -> None:
    """Only minutes that have ended; the last may end while the pump runs."""
    now = int(time.time()) // 60 * 60
    bars = [(now - 60 * n, 2.0, 3.0, 1.0, 2.5, 9) for n in (3, 2, 1, 0, -1, -2)]
    world.add("FORMS", [], bars)
    pump.run()
    ended = [[bar for bar in bars if bar[0] + 60 <= at] for at in (now, time.time())]
    assert read_all(place.server, "candles", "FORMS", tf="M1") in ended
