"""`GET /api/v1/symbols` and `/api/v1/symbols/S`."""

from pathlib import Path

from flask.testing import FlaskClient
from freezegun import freeze_time

from gfil import clocks
from gfil.store import candles, db, symbols

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


def test_no_symbols_is_an_empty_list(client: FlaskClient) -> None:
    """As in a database just made."""
    assert client.get("/api/v1/symbols").json == {"symbols": []}


def test_the_list_tells_the_newest_price(client: FlaskClient, hours: Path) -> None:
    """Every field, compared whole."""
    assert client.get("/api/v1/symbols").json == {"symbols": [FACTS]}


def test_one_symbol_tells_what_is_held_of_it(client: FlaskClient, hours: Path) -> None:
    """Found in any case; kept on each clock that is its own."""
    connection = db.connect(hours)
    with db.transaction(connection):
        symbol = symbols.read(connection, "EUR_USD")
        candles.set_clock(connection, symbol, clocks.parse("Europe/Athens"))
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


def test_an_unknown_symbol_is_404(client: FlaskClient, hours: Path) -> None:
    """As a problem document."""
    response = client.get("/api/v1/symbols/NOPE")
    assert (response.status_code, response.content_type) == (404, "application/problem+json")


def test_a_symbol_is_stale_after_ten_minutes_in_which_it_usually_trades(
    client: FlaskClient, db_path: Path
) -> None:
    """The night between does not count."""
    from gfil import timeframes
    from gfil.store.candles import Rows

    open_minutes = [
        MONDAY + 7 * week * DAY + day * DAY + minute * 60
        for week in range(9)
        for day in range(5)
        for minute in range(8 * 60, 16 * 60)
    ]
    stop = MONDAY + 56 * DAY + 15 * 3600  # the ninth Monday, an hour before it closes
    times = [time for time in open_minutes if time < stop]
    prices, volumes = [1.0] * len(times), [1.0] * len(times)
    connection = db.connect(db_path)
    with db.transaction(connection):
        symbol = symbols.ensure(connection, "DAX")
        rows = Rows(times, [0] * len(times), prices, prices, prices, prices, volumes)
        candles.write(connection, symbol, timeframes.M1, rows)
    stale = {}
    for minutes in (0, 9, 10, 12 * 60):
        with freeze_time(clocks.format_instant(stop + minutes * 60)):
            answer = client.get("/api/v1/symbols/DAX").json
            assert answer is not None
            stale[minutes] = answer["stale"]
    assert stale == {0: False, 9: False, 10: True, 12 * 60: True}
    with db.transaction(connection):
        last = [float(value) for value in (1, 1, 1, 1, 1)]
        rest = [time for time in open_minutes if stop <= time < stop + 3600]
        columns = ([value] * len(rest) for value in last)
        candles.write(connection, symbol, timeframes.M1, Rows(rest, [0] * len(rest), *columns))
    with freeze_time(clocks.format_instant(stop + 12 * 3600)):  # three in the morning
        answer = client.get("/api/v1/symbols/DAX").json
        assert answer is not None
        assert answer["stale"] is False
