"""`/api/v1/gaps`: the minutes that are missing, as a pump asks for them."""

from pathlib import Path

import orjson
import pytest
from flask.testing import FlaskClient
from freezegun import freeze_time

from gfil import clocks
from gfil.timeframes import DAY, MINUTE, WEEK
from gfil.web.api import gaps
from tests.web.conftest import MONDAY
from tests.web.walks import store, walk

OPENS = 9 * 3600
ROUTE = "/api/v1/gaps?symbol=DAX"


@pytest.fixture
def holes(db_path: Path) -> list[dict[str, object]]:
    """Twenty Mondays of an hour each, two of which lack some of it: told as the route tells."""
    missing = {2: range(10, 30), 17: range(50, 60)}
    told: list[dict[str, object]] = []
    for week in range(20):
        opened = MONDAY + week * WEEK + OPENS
        gone = missing.get(week, range(0))
        minutes = walk(f"DAX {week}", opened, 60)
        store(db_path, "DAX", [row for at, row in enumerate(minutes) if at not in gone])
        if gone:
            first, last = opened + gone[0] * MINUTE, opened + gone[-1] * MINUTE + MINUTE
            told.append({"symbol": "DAX", "from": first, "to": last, "minutes": len(gone)})
    return told


def test_a_whole_range_is_told(client: FlaskClient, holes: list[dict[str, object]]) -> None:
    """Under the symbol's own name, however it was asked for."""
    response = client.get(f"/api/v1/gaps?symbol=dax&from={MONDAY}&to=2025-12-01T00:00:00Z")
    assert (response.status_code, response.content_type) == (200, "application/json")
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.json == {"gaps": holes}


def test_without_from_twelve_weeks_are_told(
    client: FlaskClient, holes: list[dict[str, object]]
) -> None:
    """Back from now, from what the range ends at, or from the newest M1 where that is older."""
    assert client.get(ROUTE).json == {"gaps": holes[1:]}
    to = MONDAY + 10 * WEEK
    assert client.get(f"{ROUTE}&to={to}").json == {"gaps": holes[:1]}
    with freeze_time(clocks.format_instant(MONDAY + 16 * WEEK)):
        assert client.get(ROUTE).json == {"gaps": []}


def test_an_outage_that_lasts_is_told_up_to_now(
    client: FlaskClient, holes: list[dict[str, object]]
) -> None:
    """As long as it is not so long that the symbol has ended."""
    opens = MONDAY + 20 * WEEK + OPENS
    lasting = {"symbol": "DAX", "from": opens, "to": opens + 7 * MINUTE, "minutes": 7}
    with freeze_time(clocks.format_instant(opens + 7 * MINUTE + 59)):
        assert client.get(f"{ROUTE}&from={MONDAY + 17 * WEEK}").json == {
            "gaps": [*holes[1:], lasting]
        }
    with freeze_time(clocks.format_instant(opens + 5 * WEEK)):
        assert client.get(f"{ROUTE}&from={opens - DAY}").json == {"gaps": []}


def test_many_gaps_are_sent_in_pieces(
    client: FlaskClient, holes: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one gap each, which together are the same JSON."""
    monkeypatch.setattr(gaps, "PIECE_GAPS", 1)
    pieces = [*client.get(f"{ROUTE}&from=0").iter_encoded()]
    assert len(pieces) == len(holes) + 1
    assert orjson.loads(b"".join(pieces)) == {"gaps": holes}


@pytest.mark.usefixtures("hours")
def test_a_symbol_without_minutes_has_none(client: FlaskClient) -> None:
    """It has hours alone."""
    assert client.get("/api/v1/gaps?symbol=EUR_USD&from=2024-12-01").json == {"gaps": []}


@pytest.mark.parametrize("query", ["&from=9999999999", "&to=1000", "&from=5&to=5", "&from=-1&to=0"])
def test_a_range_outside_of_what_is_held_has_none(
    client: FlaskClient, holes: list[dict[str, object]], query: str
) -> None:
    """Nor is it an error."""
    response = client.get(ROUTE + query)
    assert (response.status_code, response.json) == (200, {"gaps": []})


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("", 400, "symbol is missing"),
        ("symbol=NOPE", 404, "unknown symbol 'NOPE'"),
        ("symbol=DAX&from=soon", 400, "bad time 'soon': use UNIX seconds or ISO 8601"),
        (
            "symbol=DAX&to=1735516800000",
            400,
            "bad time 1735516800000: milliseconds? UNIX seconds are asked for",
        ),
        ("symbol=DAX&from=2&to=1", 400, "from is after to"),
        ("symbol=DAX&from=2&from=3", 400, "from is given 2 times"),
    ],
)
def test_bad_questions_are_refused(
    client: FlaskClient, holes: list[dict[str, object]], query: str, status: int, detail: str
) -> None:
    """As a problem document, whole."""
    response = client.get(f"/api/v1/gaps?{query}")
    assert (response.status_code, response.content_type) == (status, "application/problem+json")
    assert response.json is not None
    assert response.json["detail"] == detail
