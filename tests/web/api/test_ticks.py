"""`GET` and `POST /api/v1/ticks`: ranges, pages, refusals; stored ticks and their answers."""

import random
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from flask.testing import FlaskClient

from gfil.store.engine import connection
from gfil.web.api import ticks
from tests.faults.sockets import START as POSTED
from tests.faults.sockets import tick_lines
from tests.oracle.candles import Tick
from tests.store.model import write_ticks
from tests.web.api.pump import OLD, Pump

START = 1_700_006_400
TICKS = "/api/v1/ticks"


@pytest.fixture
def stored(db_path: Path) -> list[Tick]:
    """Ticks of ten minutes, several in each millisecond."""
    rng = random.Random(3)
    moments = sorted(START * 1000 + rng.randrange(200) * 3000 for _ in range(300))
    given = [(moment, float(place), 500.5, 0.0, 0.0, 6) for place, moment in enumerate(moments)]
    db = connection.connect(db_path)
    write_ticks(db, "EURUSD", given)
    db.close()
    return given


def ask(client: FlaskClient, query: str) -> dict[str, Any]:
    response = client.get(f"/api/v1/ticks?symbol=eurusd{query}")
    assert (response.status_code, response.content_type) == (200, "application/json")
    answer = orjson.loads(response.data)
    assert list(answer) == ["symbol", "ticks", "next_cursor"]
    assert answer["symbol"] == "EURUSD"
    return answer


def test_ticks_of_a_range_are_listed(client: FlaskClient, stored: list[Tick]) -> None:
    whole = [list(tick) for tick in stored]
    assert ask(client, "&limit=1000")["ticks"] == whole
    part = ask(client, f"&from={START + 60}&to={START + 120}&limit=100000")
    inside = [tick for tick in whole if START + 60 <= tick[0] / 1000 < START + 120]
    assert part == {"symbol": "EURUSD", "ticks": inside, "next_cursor": None}
    assert ask(client, f"&from={START + 600}")["ticks"] == []
    assert ask(client, f"&to={START}") == {"symbol": "EURUSD", "ticks": [], "next_cursor": None}


@pytest.mark.parametrize("limit", [1, 7, 100, 299, 300])
@pytest.mark.parametrize("chunk", [1, 64, 5000])
def test_tick_pages_forward_and_backward_hold_the_same_ticks(
    client: FlaskClient, stored: list[Tick], monkeypatch: pytest.MonkeyPatch, limit: int, chunk: int
) -> None:
    monkeypatch.setattr(ticks, "CHUNK_TICKS", chunk)
    for start, until in (("", START + 500), (f"&from={START + 30}", START + 500)):
        pages: list[list[Any]] = []
        cursor = ""
        while cursor is not None:
            place = f"&cursor={quote(cursor)}" if cursor else ""
            answer = ask(client, f"{start}&to={until}&limit={limit}{place}")
            pages.append(answer["ticks"])
            assert len(pages[-1]) == limit or answer["next_cursor"] is None
            cursor = answer["next_cursor"]
        found = [tick for page in (pages if start else pages[::-1]) for tick in page]
        least = START + 30 if start else START
        assert found == [list(tick) for tick in stored if least <= tick[0] / 1000 < until]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("symbol=NONE", 404),
        ("symbol=EURUSD&limit=0", 400),
        ("symbol=EURUSD&limit=100001", 400),
        ("symbol=EURUSD&from=1700006400000", 400),
        ("symbol=EURUSD&from=20&to=10", 400),
        ("symbol=EURUSD&cursor=x", 400),
        ("symbol=EURUSD&cursor=WyJFVVJVU0QiLG51bGwsbnVsbCw5OTk5OTk5OTk5OTk5OTk5OTk5OSwwXQ", 400),
        ("symbol=EURUSD&cursor=WyJFVVJVU0QiLG51bGwsbnVsbCwxXQ", 400),
        ("symbol=EURUSD&cursor=WyJPVEhFUiIsbnVsbCxudWxsLDEsMF0", 400),
    ],
)
def test_bad_parameters_of_ticks_are_refused(
    client: FlaskClient, stored: list[Tick], query: str, status: int
) -> None:
    response = client.get(f"/api/v1/ticks?{query}")
    assert (response.status_code, response.mimetype) == (status, "application/problem+json")


def test_ticks_are_stored_and_the_answer_names_the_last(pump: Pump) -> None:
    body = tick_lines("EURUSD", 700)
    last = POSTED * 1000 + 69_900
    told = {"rows": 700, "inserted": 700, "duplicates": 0, "rejected": 0, "reasons": {}}
    told |= {"errors": [], "warnings": [], "last": {"EURUSD": last}, "change": 1}
    assert pump.post(TICKS, body) == (200, told | {"warnings": [f"EURUSD ticks: {OLD}"]})
    assert [candle[5] for candle in pump.candles()] == [600, 100]
    assert pump.post(TICKS, body) == (200, told | {"inserted": 0, "duplicates": 700})


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", {"ticks": [{"symbol": "X", "time_msc": POSTED * 1000, "bid": 1, "ask": 2}]}),
        ("?symbol=X", [{"time_msc": POSTED * 1000, "bid": 1, "ask": 2}]),
        ("?symbol=X", b'{"time_msc":%d000,"bid":1,"ask":2}\n' % POSTED),
        ("?symbol=X", b"time_msc,bid,ask\n%d000,1,2\n" % POSTED),
        ("?symbol=X", b"time,bid,ask\n%d,1,2\n" % POSTED),
        ("?symbol=X", b"<DATE>\t<TIME>\t<BID>\t<ASK>\n2023.11.14\t22:14:00.000\t1\t2\n"),
        ("?symbol=X&clock=%2B02:00", b"time_msc,bid,ask\n%d000,1,2\n" % (POSTED + 7200)),
        (
            "",
            {
                "clock": "+02:00",
                "ticks": [{"symbol": "X", "time_msc": (POSTED + 7200) * 1000, "bid": 1, "ask": 2}],
            },
        ),
    ],
)
def test_ticks_are_read_in_every_format(pump: Pump, query: str, body: Any) -> None:
    status, told = pump.post(TICKS + query, body)
    assert (status, told.get("last")) == (200, {"X": POSTED * 1000}), told


@pytest.mark.parametrize("body", [{"ticks": []}, {"ticks": [], "clock": "nyclose"}])
def test_empty_tick_batch_is_accepted(pump: Pump, body: Any) -> None:
    nothing = {"rows": 0, "inserted": 0, "duplicates": 0, "rejected": 0, "reasons": {}}
    nothing |= {"errors": [], "warnings": [], "last": {}, "change": 0}
    assert pump.post(TICKS, body) == (200, nothing)


def test_dry_run_of_ticks_without_rows_answers_an_empty_last(pump: Pump) -> None:
    status, told = pump.post(f"{TICKS}?dry_run=1", {"ticks": []})
    assert (status, told["rows"], told["last"]) == (200, 0, {})


def test_dry_run_of_ticks_stores_nothing(pump: Pump) -> None:
    status, told = pump.post(f"{TICKS}?dry_run=1", tick_lines("X", 5))
    assert (status, told["inserted"], told["dry_run"]) == (200, 5, True)
    assert [*told["first"]] == [*told["last"]] == ["utc", "clock"]
    assert pump.client.get("/api/v1/symbols").json == {"symbols": []}


def test_bad_rows_before_the_first_good_row_do_not_hide_it(pump: Pump) -> None:
    good = b'{"symbol":"X","time_msc":1700000040000,"bid":1,"ask":2}'
    for bad in (b"null", b"1", b'"x"', b"{}", b"[1]"):
        status, told = pump.post(TICKS, b'{"ticks":[' + bad + b"," + good + b"]}")
        assert (status, told["rows"], told["rejected"]) == (200, 2, 1), bad
