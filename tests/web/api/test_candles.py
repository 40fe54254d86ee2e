"""`/api/v1/candles`: answers, pages in both directions, tags, refusals; export; deletion."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from freezegun import freeze_time

from gfil.store import symbols
from gfil.store.engine import connection
from tests.faults.senders import make_key

MONDAY = 1735516800  # 2024-12-30T00:00Z
DAY = 86400
PATH = "/api/v1/candles"


@pytest.fixture(autouse=True)
def _filled(hours: Path) -> None:
    """Every test reads the same three days."""


def ask(client: FlaskClient, **parameters: Any) -> dict[str, Any]:
    """Return the answer to a request that must succeed."""
    names = {name.rstrip("_"): value for name, value in parameters.items()}
    response = client.get(PATH, query_string={"symbol": "EUR_USD", **names})
    assert response.status_code == 200, response.data
    answer = response.json
    assert isinstance(answer, dict)
    return answer


def test_newest_candles_are_listed_without_from(client: FlaskClient, hours: Path) -> None:
    epoch, change = connection.read_state(connection.connect(hours, readonly=True))
    assert ask(client, tf="1d", limit=2) | {"next_cursor": ""} == {
        "symbol": "EUR_USD",
        "tf": "D1",
        "clock": "UTC",
        "candles": [
            [MONDAY + DAY, 24.0, 47.0, 24.0, 47.0, 876.0],
            [MONDAY + 2 * DAY, 48.0, 71.0, 48.0, 71.0, 1452.0],
        ],
        "next_cursor": "",
        "forming": None,
        "epoch": epoch,
        "change": change,
    }


@pytest.mark.parametrize("tf", ["H1", "H2", "H4"])
@pytest.mark.parametrize("clock", ["UTC", "Europe/Athens", "nyclose", "+01:00"])
def test_pages_forward_and_backward_hold_the_same_candles(
    client: FlaskClient, tf: str, clock: str
) -> None:
    whole = ask(client, tf=tf, clock=clock, limit=10_000)["candles"]
    assert whole
    for start in ({}, {"from_": 0}):
        pages, cursor = [], None
        while cursor is not None or not pages:
            answer = ask(
                client,
                tf=tf,
                clock=clock,
                limit=5,
                **start,
                **({"cursor": cursor} if cursor else {}),
            )
            pages.append(answer["candles"])
            cursor = answer["next_cursor"]
        ordered = pages if start else pages[::-1]
        assert [candle for page in ordered for candle in page] == whole


def test_range_holds_every_candle_that_starts_in_it_from_its_full_bucket(
    client: FlaskClient,
) -> None:
    found = ask(client, tf="H4", from_=MONDAY + 1, to=MONDAY + 4 * 3600 + 1)["candles"]
    assert found == [[MONDAY + 4 * 3600, 4.0, 7.0, 4.0, 7.0, 26.0]]


def test_range_without_data_is_an_empty_answer(client: FlaskClient) -> None:
    assert ask(client, tf="H1", to=MONDAY)["candles"] == []
    assert ask(client, tf="W1", from_=MONDAY + 3 * DAY, clock="nyclose")["candles"] == []
    assert ask(client, tf="H1", from_=99_999_999_999)["candles"] == []


def test_unescaped_plus_in_clock_is_read_as_plus(client: FlaskClient) -> None:
    response = client.get(f"{PATH}?symbol=EUR_USD&tf=H1&clock=America/New_York+07:00&limit=1")
    assert response.status_code == 200
    assert response.json is not None
    assert response.json["clock"] == "America/New_York+07:00"


def test_times_may_be_iso_8601(client: FlaskClient) -> None:
    for text in ("2024-12-31", "2024-12-31T00:00:00Z", "2024-12-31T02:00:00 02:00", "1735603200"):
        assert ask(client, tf="H1", from_=text, limit=1)["candles"][0][0] == MONDAY + DAY


def test_forming_candle_is_named_until_its_bucket_ends(client: FlaskClient) -> None:
    with freeze_time("2025-01-01T23:59:59Z"):
        assert ask(client, tf="D1")["forming"] == MONDAY + 2 * DAY
        assert ask(client, tf="D1", to=MONDAY + DAY)["forming"] is None
    with freeze_time("2025-01-02T00:00:00Z"):
        assert ask(client, tf="D1")["forming"] is None


def test_unchanged_answer_is_304(client: FlaskClient, hours: Path) -> None:
    """The tag changes with the symbol, the format and the end of the forming candle."""
    question = f"{PATH}?symbol=EUR_USD&tf=D1"
    with freeze_time("2025-01-01T12:00:00Z"):
        first = client.get(question)
        tag = first.headers["ETag"]
        assert first.headers["Cache-Control"] == "private, no-cache"
        assert {"Accept", "Accept-Encoding"} <= set(first.headers["Vary"].split(", "))
        again = client.get(question, headers={"If-None-Match": tag})
        assert (again.status_code, again.data) == (304, b"")
        as_csv = {"If-None-Match": tag, "Accept": "text/csv"}
        assert client.get(question, headers=as_csv).status_code == 200
    with freeze_time("2025-01-02T12:00:00Z"):
        assert client.get(question, headers={"If-None-Match": tag}).status_code == 200
    db = connection.connect(hours)
    with connection.transaction(db):
        symbol = symbols.read(db, "EUR_USD")
        symbols.update(db, symbol._replace(description="changed"))
    with freeze_time("2025-01-01T12:00:00Z"):
        assert client.get(question, headers={"If-None-Match": tag}).status_code == 200


def test_csv_is_sent_if_accepted(client: FlaskClient) -> None:
    response = client.get(f"{PATH}?symbol=EUR_USD&tf=D1&limit=1", headers={"Accept": "text/csv"})
    assert response.content_type == "text/csv; charset=utf-8"
    assert response.text == (
        "time,open,high,low,close,volume\n2025-01-01T00:00:00Z,48.0,71.0,48.0,71.0,1452\n"
    )


def test_large_answer_is_compressed_if_accepted(client: FlaskClient) -> None:
    question = f"{PATH}?symbol=EUR_USD&tf=H1"
    plain = client.get(question)
    packed = client.get(question, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("tf=H1", "symbol is missing"),
        ("symbol=EUR_USD", "tf is missing"),
        ("symbol=EUR_USD&tf=H5", "unknown timeframe 'H5'"),
        ("symbol=EUR_USD&tf=m1", "unknown timeframe 'm1'"),
        ("symbol=EUR_USD&tf=H1&tf=H4", "tf is given 2 times"),
        ("symbol=EUR_USD&tf=H1&clock=Europe/Atlantis", "unknown clock"),
        ("symbol=EUR_USD&tf=H1&clock=%2B14:01", "unknown clock"),
        ("symbol=EUR_USD&tf=H1&limit=0", "limit must be a whole number from 1 to 10,000"),
        ("symbol=EUR_USD&tf=H1&limit=10001", "limit must be a whole number from 1 to 10,000"),
        ("symbol=EUR_USD&tf=H1&limit=-1", "limit must be a whole number from 1 to 10,000"),
        ("symbol=EUR_USD&tf=H1&limit=1e3", "limit must be a whole number from 1 to 10,000"),
        ("symbol=EUR_USD&tf=H1&limit=%D9%A3", "limit must be a whole number from 1 to 10,000"),
        ("symbol=EUR_USD&tf=H1&from=1735516800000", "milliseconds?"),
        ("symbol=EUR_USD&tf=H1&from=-1735516800000", "milliseconds?"),
        ("symbol=EUR_USD&tf=H1&from=2024-13-01", "bad time '2024-13-01'"),
        ("symbol=EUR_USD&tf=H1&to=soon", "bad time 'soon'"),
        ("symbol=EUR_USD&tf=H1&to=NaN", "bad time 'NaN'"),
        ("symbol=EUR_USD&tf=H1&from=20&to=10", "from is after to"),
        ("symbol=EUR_USD&tf=H1&cursor=!!!", "malformed cursor"),
        ("symbol=EUR_USD&tf=H1&cursor=%C3%A9", "malformed cursor"),
        ("symbol=EUR_USD&tf=H1&cursor=W10", "this cursor belongs to another query"),
        ("symbol=EUR_USD&tf=H1&cursor=eyJhIjoxfQ", "this cursor belongs to another query"),
        (
            "symbol=EUR_USD&tf=H1&cursor=WyJFVVJfVVNEIiwiSDEiLCJVVEMiLG51bGwsbnVsbCwieCJd",
            "malformed cursor",
        ),
    ],
)
def test_bad_parameter_is_refused_with_a_sentence(
    client: FlaskClient, query: str, sentence: str
) -> None:
    response = client.get(f"{PATH}?{query}")
    assert response.status_code == 400
    assert response.content_type == "application/problem+json"
    problem = response.json
    assert isinstance(problem, dict)
    assert (problem["type"], problem["status"]) == ("bad_parameter", 400)
    assert sentence in problem["detail"]


def test_cursor_of_another_query_is_refused(client: FlaskClient) -> None:
    cursor = ask(client, tf="H1", limit=5)["next_cursor"]
    for other in ("tf=H4", "tf=H1&from=0", "tf=H1&clock=EET", "tf=H1&to=1735599999"):
        response = client.get(f"{PATH}?symbol=EUR_USD&{other}&cursor={cursor}")
        assert response.status_code == 400, other


def test_unknown_symbol_is_404(client: FlaskClient) -> None:
    for name in (
        "NOPE",
        "'; DROP TABLE candle; --",
        "../../etc/passwd",
        "\0",
        "\u202e",
        "x" * 5000,
    ):
        response = client.get(PATH, query_string={"symbol": name, "tf": "H1"})
        assert response.status_code == 404
        assert response.json is not None
        assert response.json["type"] == "symbol_unknown"


def test_symbol_is_found_in_any_case(client: FlaskClient) -> None:
    response = client.get(f"{PATH}?symbol=eur_usd&tf=H1")
    assert response.json is not None
    assert response.json["symbol"] == "EUR_USD"


def test_export_sends_the_whole_range(client: FlaskClient) -> None:
    response = client.get("/api/v1/export?symbol=EUR_USD&tf=H1&format=csv&from=1735516800")
    lines = response.text.splitlines()
    assert lines[0] == "time,open,high,low,close,volume"
    assert lines[1] == "2024-12-30T00:00:00Z,0.0,0.0,0.0,0.0,1"
    assert lines[-1] == "2025-01-01T23:00:00Z,71.0,71.0,71.0,71.0,72"
    assert len(lines) == 73
    assert response.headers["Content-Disposition"] == 'attachment; filename="EUR_USD_H1.csv"'


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("symbol=EUR_USD&tf=H1&format=xlsx", 400),
        ("symbol=EUR_USD&tf=H1&from=20&to=10", 400),
        ("symbol=EUR_USD", 400),
        ("symbol=NOPE&tf=H1", 404),
    ],
)
def test_export_refuses_before_it_streams(client: FlaskClient, query: str, status: int) -> None:
    response = client.get(f"/api/v1/export?{query}")
    assert response.status_code == status
    assert response.content_type == "application/problem+json"


@pytest.mark.parametrize("tf", ["M1", "H1", "H2", "W1", "MN1"])
@pytest.mark.parametrize("clock", ["UTC", "Europe/Athens"])
@pytest.mark.parametrize("time", ["-99999999999", "0001-01-01", "9999-12-31", "99999999999"])
def test_times_far_from_any_candle_cause_no_error(
    client: FlaskClient, tf: str, clock: str, time: str
) -> None:
    for query in ({"from_": time}, {"to": time}, {"from_": time, "to": time}):
        assert len(ask(client, tf=tf, clock=clock, **query)["candles"]) <= 72


@pytest.mark.parametrize("place", [2**63, -(2**63) - 1, 10**30, -(10**11), None, True, 1.5, "1"])
@pytest.mark.parametrize("tf", ["H1", "MN1"])
def test_forged_cursor_is_refused(client: FlaskClient, tf: str, place: object) -> None:
    text = json.dumps(["EUR_USD", tf, "UTC", None, None, place]).encode()
    cursor = base64.urlsafe_b64encode(text).decode().rstrip("=")
    response = client.get(f"{PATH}?symbol=EUR_USD&tf={tf}&cursor={cursor}")
    assert response.status_code == 400
    assert response.json is not None
    assert "malformed cursor" in response.json["detail"]


def delete(client: FlaskClient, path: Path, query: str) -> tuple[int, Any]:
    """Delete as an admin; return status and answer."""
    headers = {"X-API-Key": make_key(path, "admin")}
    answer = client.delete(f"/api/v1/candles?symbol=EUR_USD&{query}", headers=headers)
    return answer.status_code, answer.json


def test_delete_removes_a_range_and_names_overlapping_candles(
    client: FlaskClient, hours: Path
) -> None:
    query = f"from={MONDAY + 1800}&to={MONDAY + 4 * 3600}"
    warning = "the H1 of 2024-12-30T00:00:00Z lies only partly in the range and stays"
    told = {"deleted": 3, "ticks": 0, "change": 2, "warnings": [warning]}
    assert delete(client, hours, query) == (200, told)
    answer = client.get("/api/v1/candles?symbol=EUR_USD&tf=H4&limit=18").json
    assert answer is not None
    assert answer["candles"][0] == [MONDAY, 0.0, 0.0, 0.0, 0.0, 1.0]
    told = {"deleted": 0, "ticks": 0, "change": 0, "warnings": [warning]}
    assert delete(client, hours, f"{query}&tf=H1") == (200, told)


@pytest.mark.parametrize(
    "query", ["", "from=0", "to=9", "from=9&to=8", "from=0&to=1&tf=M7", "from=0&to=99999999999999"]
)
def test_delete_requires_both_ends_of_the_range(
    client: FlaskClient, hours: Path, query: str
) -> None:
    assert delete(client, hours, query)[0] == 400
