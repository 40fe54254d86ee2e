"""The overview as the server renders it."""

import re
from pathlib import Path

from flask.testing import FlaskClient
from freezegun import freeze_time

from tests.web.pages.conftest import MONDAY
from tests.web.pages.markup import rows_of, text_of
from tests.web.walks import store


def test_overview_of_empty_database_shows_commands_to_copy(
    client: FlaskClient,
) -> None:
    text = text_of(client, "/")
    assert re.findall(r"<pre><code>(.*?)</code></pre>", text) == [
        "scripts/gfil import XAUUSD_M1.csv --clock nyclose",
        "scripts/serve --demo",
        "curl 'http://localhost/api/v1/candles?symbol=XAUUSD&amp;tf=H1&amp;limit=10'",
    ]
    assert "<table" not in text


@freeze_time("2025-01-08T12:05:00Z")
def test_overview_shows_price_change_and_age_of_every_symbol(
    client: FlaskClient, db_path: Path
) -> None:
    flat = (100.0, 100.0, 100.0, 100.0, 1.0)
    rise = (100.0, 102.0, 100.0, 101.5, 1.0)
    store(db_path, "UP", [(MONDAY, *flat), (MONDAY + 2 * 86400 + 43200, *rise)])
    store(db_path, "DOWN#", [(MONDAY, *rise), (MONDAY + 86400, *flat)], description="It <falls>")
    assert rows_of(text_of(client, "/")) == [
        "DOWN# It <falls> 100.0 −1.48% 36 h ago",
        "UP 101.5 +1.50% 5 min ago",
    ]


@freeze_time("2025-01-08T12:05:00Z")
def test_overview_row_has_data_attributes_for_its_script(
    client: FlaskClient, db_path: Path
) -> None:
    day = MONDAY + 86400
    made = [(day, 1.0, 2.0, 0.5, 1.5, 1.0), (day + 86400 - 7200, 1.5, 2.5, 1.5, 2.25, 1.0)]
    store(db_path, "EAST", made, clock="Europe/Athens")
    store(db_path, "NONE", [])
    text = text_of(client, "/")
    newest = client.get("/api/v1/candles?symbol=NONE&tf=M1").json
    assert f'data-change-id="{newest["epoch"]}-{newest["change"]}" data-now="1736337900.0"' in text
    assert re.findall(r'<tr class="up" data-symbol="(\w+)" (.*?)>', text) == [
        (
            "EAST",
            f'data-digits="2" data-time="{day + 86400 - 7200}" data-previous-close="1.5" '
            f'data-day-end="{day + 2 * 86400 - 7200}"',
        ),
        ("NONE", 'data-digits="0" data-time="" data-previous-close="0.0" data-day-end=""'),
    ]


def test_sparkline_draws_last_48_h1_candles(client: FlaskClient, gold: None) -> None:
    points = re.search(r'<polyline points="([^"]*)"', text_of(client, "/"))
    assert points
    pairs = [tuple(map(float, pair.split(","))) for pair in points[1].split(" ")]
    assert len(pairs) == 48
    assert (pairs[0][0], pairs[-1][0]) == (0, 120)
    assert (min(y for _, y in pairs), max(y for _, y in pairs)) == (2, 26)


def test_symbol_with_only_d1_candles_links_to_d1_chart(client: FlaskClient, db_path: Path) -> None:
    store(db_path, "ONLY#D", [(MONDAY, 1.0, 2.0, 0.5, 1.5, 10.0)], tf="D1")
    assert 'href="/chart/ONLY%23D?tf=D1"' in text_of(client, "/")
