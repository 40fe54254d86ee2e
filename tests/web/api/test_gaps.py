"""`/api/v1/gaps`: missing minutes of a symbol."""

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
    """Twenty Mondays of one hour, two of them with gaps; the gaps as the route answers them."""
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


def test_gaps_of_a_range_are_listed(client: FlaskClient, holes: list[dict[str, object]]) -> None:
    response = client.get(f"/api/v1/gaps?symbol=dax&from={MONDAY}&to=2025-12-01T00:00:00Z")
    assert (response.status_code, response.content_type) == (200, "application/json")
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.json == {"gaps": holes}


def test_gaps_of_twelve_weeks_are_listed_without_from(
    client: FlaskClient, holes: list[dict[str, object]]
) -> None:
    assert client.get(ROUTE).json == {"gaps": holes[1:]}
    to = MONDAY + 10 * WEEK
    assert client.get(f"{ROUTE}&to={to}").json == {"gaps": holes[:1]}
    with freeze_time(clocks.format_instant(MONDAY + 16 * WEEK)):
        assert client.get(ROUTE).json == {"gaps": []}


def test_current_outage_is_a_gap_up_to_now(
    client: FlaskClient, holes: list[dict[str, object]]
) -> None:
    opens = MONDAY + 20 * WEEK + OPENS
    lasting = {"symbol": "DAX", "from": opens, "to": opens + 7 * MINUTE, "minutes": 7}
    with freeze_time(clocks.format_instant(opens + 7 * MINUTE + 59)):
        assert client.get(f"{ROUTE}&from={MONDAY + 17 * WEEK}").json == {
            "gaps": [*holes[1:], lasting]
        }
    with freeze_time(clocks.format_instant(opens + 5 * WEEK)):
        assert client.get(f"{ROUTE}&from={opens - DAY}").json == {"gaps": []}


def test_gaps_sent_in_pieces_are_the_same_json(
    client: FlaskClient, holes: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "CHUNK_GAPS", 1)
    chunks = [*client.get(f"{ROUTE}&from=0").iter_encoded()]
    assert len(chunks) == len(holes) + 1
    assert orjson.loads(b"".join(chunks)) == {"gaps": holes}


@pytest.mark.usefixtures("hours")
def test_symbol_without_m1_has_no_gaps(client: FlaskClient) -> None:
    assert client.get("/api/v1/gaps?symbol=EUR_USD&from=2024-12-01").json == {"gaps": []}


@pytest.mark.parametrize("query", ["&from=9999999999", "&to=1000", "&from=5&to=5", "&from=-1&to=0"])
def test_range_without_data_has_no_gaps(
    client: FlaskClient, holes: list[dict[str, object]], query: str
) -> None:
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
            "bad time 1735516800000: milliseconds? use UNIX seconds",
        ),
        ("symbol=DAX&from=2&to=1", 400, "from is after to"),
        ("symbol=DAX&from=2&from=3", 400, "from is given 2 times"),
    ],
)
def test_bad_parameters_of_gaps_are_refused(
    client: FlaskClient, holes: list[dict[str, object]], query: str, status: int, detail: str
) -> None:
    response = client.get(f"/api/v1/gaps?{query}")
    assert (response.status_code, response.content_type) == (status, "application/problem+json")
    assert response.json is not None
    assert response.json["detail"] == detail
