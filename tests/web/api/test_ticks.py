"""`GET /api/v1/ticks`: ranges, pages in both directions, refusals."""

import random
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from flask.testing import FlaskClient

from gfil.store.engine import connection
from gfil.web.api import ticks
from tests.oracle.candles import Tick
from tests.store.model import write_ticks

START = 1_700_006_400


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
