"""Candles: the history of a symbol, new M1, and gaps."""

import json
import time

from tests.faults.sizes import seeded
from tests.pump.broker import AUTUMN, DAY, HOUR, SPRING, Broker, make_bars
from tests.pump.conftest import Gfil
from tests.pump.pump_process import PumpProcess, read_all
from tests.pump.stub_gfil import OK, Answer, StubGfil, problem, serve


def test_forming_candle_is_not_sent(broker: Broker, pump: PumpProcess, gfil: Gfil) -> None:
    now = int(time.time()) // 60 * 60
    bars = [(now - 60 * n, 2.0, 3.0, 1.0, 2.5, 9) for n in (3, 2, 1, 0, -1, -2)]
    broker.add_symbol("FORMS", [], bars)
    pump.run()
    closed = [[bar for bar in bars if bar[0] + 60 <= at] for at in (now, time.time())]
    assert read_all(gfil.server, "candles", "FORMS", tf="M1") in closed


def test_history_cut_by_max_bars_is_logged_and_continued_by_h1(
    broker: Broker, pump: PumpProcess, gfil: Gfil
) -> None:
    rng = seeded("cut")
    m1 = make_bars(rng, SPRING - 5 * DAY, 300)
    h1 = make_bars(rng, SPRING - 5 * DAY, 200, HOUR)
    d1 = make_bars(rng, (SPRING - 5 * DAY) // DAY * DAY - 2 * HOUR, 30, DAY)
    broker.add_symbol("CUT", [], m1, h1, d1)
    broker.save(maxbars=100)
    assert "'Max bars in chart' (100) cuts the history of CUT" in pump.run()
    assert read_all(gfil.server, "candles", "CUT", tf="M1") == m1[-100:]
    hours = read_all(gfil.server, "candles", "CUT", tf="H1")
    first_m1 = m1[-100][0]
    assert [bar for bar in hours if bar[0] < first_m1] == [
        bar for bar in h1[-100:] if bar[0] < first_m1
    ]
    broker.save(maxbars=100_000)
    assert "cuts the history" not in pump.run("--once", "--history")
    assert read_all(gfil.server, "candles", "CUT", tf="M1") == m1


def test_gap_across_the_repeated_hour_is_filled_with_exactly_its_minutes(
    broker: Broker, pump: PumpProcess
) -> None:
    m1 = make_bars(seeded("gaps"), AUTUMN + 2 * HOUR, 240)
    broker.add_symbol("GOLD", [], m1)
    stub = StubGfil(last_time=m1[-1][0])
    start, stop = AUTUMN - 10 * 60, AUTUMN + 20 * 60
    gap = {"symbol": "GOLD", "from": start, "to": stop, "minutes": 30}

    def answer(method: str, path: str, body: bytes) -> Answer:
        if path.startswith("/api/v1/gaps"):
            return 200, {"gaps": [gap]}, {}
        return stub.answer(method, path, body)

    with serve(answer) as pump.url:
        pump.run("--once", "--fill-gaps")
    (filled,) = [body for _, path, body in stub.posts if "mode=fill" in path]
    times = [int(line.split(b",")[0]) for line in filled.splitlines()[1:]]
    assert times == list(range(start, stop, 60))


def test_interrupted_history_is_sent_to_its_end_after_a_restart(
    broker: Broker, pump: PumpProcess, stub: StubGfil
) -> None:
    m1 = make_bars(seeded("history"), SPRING, 12_000)
    broker.add_symbol("NEW", [], m1)
    stored = set[int]()
    accepts = iter([True, False])

    def answer_post(path: str, body: bytes) -> Answer:
        if not next(accepts, True):
            return problem(401, "ends at once")
        stub.symbol["symbol"] = "NEW"
        stored.update(int(line.split(b",")[0]) for line in body.splitlines()[1:])
        return 200, {"rows": 1}, {}

    stub.answer_post = answer_post
    with serve(stub.answer) as pump.url:
        pump.run(status=1)
        assert len(stored) == 10_000
        pump.run()
    assert stored == {bar[0] for bar in m1}
    assert json.loads((pump.folder / "state.json").read_text())["NEW"]["history"] == "done"


def test_warning_of_every_page_of_a_history_is_logged_once(
    broker: Broker, pump: PumpProcess, stub: StubGfil
) -> None:
    broker.add_symbol("GOLD", [], make_bars(seeded("old"), 1_600_000_020, 12_000))
    pages = iter(range(3, 100))

    def answer_post(path: str, body: bytes) -> Answer:
        old = f"GOLD M1: {next(pages)} days older than kept, 2020-09-0{next(pages) % 9 + 1} to x"
        return OK[0], {**OK[1], "warnings": [old]}, {}

    stub.answer_post = answer_post
    with serve(stub.answer) as pump.url:
        output = pump.run("--once", "--history")
    assert len(stub.posts) >= 2
    assert output.count("GFIL warns: GOLD M1") == 1
    assert "history of GOLD: 0 H1\n" in output
    assert "1970" not in output
