"""`/api/v1/symbols`: list, show, update and delete symbols."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from freezegun import freeze_time

from gfil import clocks
from gfil.store import symbol_settings, symbols
from gfil.store.candles import write
from gfil.store.engine import connection
from gfil.store.removal import sweep as symbol_sweep
from gfil.web import jobs as worker_jobs
from gfil.web.api import symbols as symbols_over_http
from tests.faults.senders import make_key

MONDAY = 1735516800
DAY = 86400

FACTS = {
    "symbol": "EUR_USD",
    "description": "",
    "digits": 0,
    "clock": "UTC",
    "price": None,
    "base": "EUR",
    "quote": "USD",
    "last": 71.0,
    "bid": None,
    "ask": None,
    "last_tick_msc": None,
    "last_time": MONDAY + 3 * DAY - 3600,
    "stale": False,
    "change": 1,
}


def test_empty_database_lists_no_symbols(client: FlaskClient) -> None:
    assert client.get("/api/v1/symbols").json == {"symbols": []}


def test_list_has_the_newest_price_of_each_symbol(client: FlaskClient, hours: Path) -> None:
    assert client.get("/api/v1/symbols").json == {"symbols": [FACTS]}


def test_symbol_lists_its_stored_ranges(client: FlaskClient, hours: Path) -> None:
    db = connection.connect(hours)
    with connection.transaction(db):
        symbol = symbols.read(db, "EUR_USD")
        symbol_settings.set_clock(db, symbol, clocks.parse("Europe/Athens"))
    end = MONDAY + 3 * DAY
    assert client.get("/api/v1/symbols/eur_usd").json == FACTS | {
        "clock": "Europe/Athens",
        "change": 2,
        "timeframes": [
            {"tf": "H1", "clock": "UTC", "first": MONDAY, "last": end - 3600, "count": 72},
            {"tf": "H4", "clock": "UTC", "first": MONDAY, "last": end - 4 * 3600, "count": 18},
            {
                "tf": "H4",
                "clock": "Europe/Athens",
                "first": MONDAY - 2 * 3600,
                "last": end - 2 * 3600,
                "count": 19,
            },
            {"tf": "D1", "clock": "UTC", "first": MONDAY, "last": end - DAY, "count": 3},
            {
                "tf": "D1",
                "clock": "Europe/Athens",
                "first": MONDAY - 2 * 3600,
                "last": end - 2 * 3600,
                "count": 4,
            },
        ],
    }


def test_symbol_has_its_newest_tick(client: FlaskClient, db_path: Path) -> None:
    time_msc = MONDAY * 1000 + 1
    tick = {"symbol": "T", "time_msc": time_msc, "bid": 1.5, "ask": 1.75}
    older = tick | {"time_msc": time_msc - 1, "bid": 9}
    headers = {"X-API-Key": make_key(db_path)}
    assert client.post("/api/v1/ticks", json={"ticks": [tick, older]}, headers=headers).json
    told = client.get("/api/v1/symbols/T").json
    assert told is not None
    expected = {"bid": 1.5, "ask": 1.75, "last_tick_msc": time_msc, "last": 1.5}
    assert {name: told[name] for name in expected} == expected


def test_unknown_symbol_is_404(client: FlaskClient, hours: Path) -> None:
    response = client.get("/api/v1/symbols/NOPE")
    assert (response.status_code, response.content_type) == (404, "application/problem+json")


def test_symbol_is_stale_after_ten_minutes_of_normal_trading(
    client: FlaskClient, db_path: Path
) -> None:
    from gfil import timeframes
    from gfil.store.candles.write import CandleColumns

    open_minutes = [
        MONDAY + 7 * week * DAY + day * DAY + minute * 60
        for week in range(9)
        for day in range(5)
        for minute in range(8 * 60, 16 * 60)
    ]
    stop = MONDAY + 56 * DAY + 15 * 3600  # the ninth Monday, an hour before it closes
    times = [time for time in open_minutes if time < stop]
    prices, volumes = [1.0] * len(times), [1.0] * len(times)
    db = connection.connect(db_path)
    with connection.transaction(db):
        symbol = symbols.ensure(db, "DAX")
        rows = CandleColumns(times, [0] * len(times), prices, prices, prices, prices, volumes)
        write.write_candles(db, symbol, timeframes.M1, rows)
    stale = {}
    for minutes in (0, 9, 10, 12 * 60):
        with freeze_time(clocks.format_instant(stop + minutes * 60)):
            answer = client.get("/api/v1/symbols/DAX").json
            assert answer is not None
            stale[minutes] = answer["stale"]
    assert stale == {0: False, 9: False, 10: True, 12 * 60: True}
    with connection.transaction(db):
        last = [float(value) for value in (1, 1, 1, 1, 1)]
        rest = [time for time in open_minutes if stop <= time < stop + 3600]
        columns = ([value] * len(rest) for value in last)
        write.write_candles(
            db, symbol, timeframes.M1, CandleColumns(rest, [0] * len(rest), *columns)
        )
    with freeze_time(clocks.format_instant(stop + 12 * 3600)):  # three in the morning
        answer = client.get("/api/v1/symbols/DAX").json
        assert answer is not None
        assert answer["stale"] is False


def change(client: FlaskClient, secret: str, facts: Any, name: str = "EUR_USD") -> tuple[int, Any]:
    """Send settings; return status and answer."""
    given = {"data": facts} if isinstance(facts, bytes) else {"json": facts}
    headers = {"X-API-Key": secret}
    answer = client.patch(f"/api/v1/symbols/{name}", headers=headers, **given)
    return answer.status_code, answer.json


def test_settings_are_set_and_unset(client: FlaskClient, hours: Path) -> None:
    secret = make_key(hours, "admin")
    facts = {"description": "Euro", "digits": 5, "base": "E", "quote": "U", "price": "mid"}
    status, told = change(client, secret, facts | {"clock": "nyclose"}, "eur_usd")
    assert status == 200
    assert told == told | facts | {"clock": "America/New_York+07:00"}
    assert [told] == client.get("/api/v1/symbols").json["symbols"]
    assert change(client, secret, facts) == (200, told)
    status, told = change(client, secret, {"digits": None, "price": None})
    assert (status, told["digits"], told["price"]) == (200, 0, None)
    assert told["description"] == "Euro"
    assert change(client, secret, {}) == (200, told)


@pytest.mark.parametrize("facts", [{"clock": "nyclose"}, {"price": "bid", "digits": 3}])
def test_clock_and_price_need_the_scope_admin(
    client: FlaskClient, hours: Path, facts: dict[str, Any]
) -> None:
    secret = make_key(hours)
    status, told = change(client, secret, facts)
    assert (status, told["type"]) == (403, "forbidden")
    assert "admin is needed" in told["detail"]
    assert change(client, secret, {"digits": 3})[0] == 200


@pytest.mark.parametrize(
    "facts",
    [
        *({"name": "X"}, {"digits": 9}, {"digits": "5"}, {"digits": True}, {"digits": 1.5}),
        *({"description": None}, {"description": "x" * 201}, {"description": "a\nb"}),
        *({"clock": "Mars"}, {"clock": None}, {"price": "high"}, {"base": "a b"}, {"quote": 5}),
        *([], "text", b"", b"{", b'{"digits":NaN}', b'{"description":"\\ud800"}', b"[" * 50_000),
    ],
    ids=str,
)
def test_bad_settings_are_refused_and_nothing_is_set(
    client: FlaskClient, hours: Path, facts: Any
) -> None:
    before = client.get("/api/v1/symbols/EUR_USD").json
    status, told = change(client, make_key(hours, "admin"), facts)
    assert (status, told["status"]) == (400, 400)
    assert client.get("/api/v1/symbols/EUR_USD").json == before


def test_unknown_symbol_cannot_be_changed_or_deleted(client: FlaskClient, hours: Path) -> None:
    secret = make_key(hours, "admin")
    assert change(client, secret, {"digits": 3}, "NOPE")[0] == 404
    answer = client.delete("/api/v1/symbols/NOPE", headers={"X-API-Key": secret})
    assert answer.status_code == 404


def test_deleted_symbol_is_gone_at_once_and_its_rows_soon_after(
    client: FlaskClient, hours: Path
) -> None:
    epoch = client.get("/api/v1/candles?symbol=EUR_USD&tf=H1").json["epoch"]  # type: ignore[index]
    answer = client.delete(
        "/api/v1/symbols/eur_usd", headers={"X-API-Key": make_key(hours, "admin")}
    )
    assert answer.json == {"deleted": 72, "ticks": 0, "warnings": [], "change": 2}
    assert client.get("/api/v1/symbols").json == {"symbols": []}
    db = connection.connect(hours, readonly=True)
    assert connection.read_state(db)[0] != epoch
    assert not symbol_sweep.is_swept(db)
    sweep(client.application)
    assert symbol_sweep.is_swept(db)
    db.close()


def sweep(app: Flask) -> None:
    jobs: worker_jobs.Jobs = app.extensions["jobs"]
    (job,) = (job for job in jobs.jobs if job.name == "sweep")
    with app.app_context():
        job.run()


def test_stopping_worker_leaves_deleted_rows_to_other_workers(
    client: FlaskClient, hours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(symbols_over_http, "SWEEP_ROWS", 10)
    client.delete("/api/v1/symbols/EUR_USD", headers={"X-API-Key": make_key(hours, "admin")})
    client.application.extensions["jobs"].stopping.set()
    sweep(client.application)
    db = connection.connect(hours, readonly=True)
    assert not symbol_sweep.is_swept(db)
    client.application.extensions["jobs"].stopping.clear()
    sweep(client.application)
    assert symbol_sweep.is_swept(db)
    db.close()
