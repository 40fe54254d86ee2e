"""The chart page as the server renders it."""

import json
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from freezegun import freeze_time

from gfil.config import ROOT
from gfil.web.pages.page import inline_json
from tests.web.pages.conftest import MINUTES, MONDAY, NOON
from tests.web.pages.markup import block, rows_of, text_of, words
from tests.web.walks import store


@pytest.mark.parametrize(
    ("query", "api"),
    [
        ("", "tf=H1&clock=Europe/Athens"),
        ("?tf=M1", "tf=M1&clock=Europe/Athens"),
        ("?tf=4h&clock=nyclose", "tf=H4&clock=America/New_York%2B07:00"),
        ("?tf=D1&clock=UTC", "tf=D1&clock=UTC"),
        ("?tf=M15&to=2025-01-07T10:00:00Z", "tf=M15&clock=Europe/Athens&to=1736244000"),
        ("?tf=M15&to=1980-01-01", "tf=M15&clock=Europe/Athens&to=1980-01-01"),
    ],
)
@freeze_time(NOON)
def test_inline_candles_equal_api_response(
    client: FlaskClient, gold: None, query: str, api: str
) -> None:
    inline = block(text_of(client, f"/chart/xauusd{query}"), "chart-data")
    answer = client.get(f"/api/v1/candles?symbol=XAUUSD&limit=300&{api}").json
    assert inline == answer


def test_forming_is_null_after_bucket_has_ended(client: FlaskClient, gold: None) -> None:
    forming = []
    for now in (NOON, "2025-01-08T12:59:59Z", "2025-01-08T13:00:00Z", "2025-01-08T14:00:00Z"):
        with freeze_time(now):
            forming.append(
                block(text_of(client, "/chart/XAUUSD?clock=UTC"), "chart-data")["forming"]
            )
    assert forming == [MONDAY + 2 * 86400 + 43200] * 2 + [None] * 2


def test_chart_page_shows_candle_stored_after_first_request(
    client: FlaskClient, gold: None, db_path: Path
) -> None:
    before = block(text_of(client, "/chart/XAUUSD?tf=M1"), "chart-data")
    later = (MONDAY + 60 * MINUTES, 1.0, 2.0, 0.5, 1.5, 10.0)
    store(db_path, "XAUUSD", [later], clock="Europe/Athens")
    after = block(text_of(client, "/chart/XAUUSD?tf=M1"), "chart-data")
    assert after["candles"] == [*before["candles"][1:], list(later)]


@freeze_time(NOON)
def test_chart_config_has_digits_range_time_and_timeframes(client: FlaskClient, gold: None) -> None:
    config = block(text_of(client, "/chart/XAUUSD?to=1736244000"), "chart-config")
    names = "M1 M2 M3 M5 M10 M15 M20 M30 H1 H2 H3 H4 H6 H8 H12 D1 W1 MN1"
    assert [name for name, _ in config.pop("timeframes")] == names.split()
    assert config == {"digits": 2, "to": 1736244000, "now": 1736337630.0, "rows": 12}


def test_candle_table_and_legend_are_rendered_without_script(
    client: FlaskClient, db_path: Path
) -> None:
    made = [
        (MONDAY - 3600, 1.1, 1.5, 1.0, 1.25, 1234567.0),
        (MONDAY, 1.25, 1.3, 1.2, 1.3, 0.5),
    ]
    store(db_path, "ETH_BTC", made, clock="+05:30")
    text = text_of(client, "/chart/ETH_BTC?tf=M1")
    assert rows_of(text) == [
        "2025-01-06 05:30 1.25 1.30 1.20 1.30 0.5",
        "2025-01-06 04:30 1.10 1.50 1.00 1.25 1,234,567",
    ]
    legend = words(text[text.index("<dl id=") : text.index("</dl>")])
    assert legend == ("Time 2025-01-06 05:30 O 1.25 H 1.30 L 1.20 C 1.30 V 0.5 Change +4.00%")
    assert rows_of(text_of(client, "/chart/ETH_BTC?tf=D1")) == [
        "2025-01-06 1.10 1.50 1.00 1.30 1,234,567.5"
    ]


def test_prices_have_thousands_separators(client: FlaskClient, db_path: Path) -> None:
    store(db_path, "INDEX", [(MONDAY, 1250.5, 1251.5, 950.5, 1249.5, 10.0)], tf="D1")
    text = text_of(client, "/chart/INDEX?tf=D1")
    assert rows_of(text) == ["2025-01-06 1,250.5 1,251.5 950.5 1,249.5 10"]
    legend = words(text[text.index("<dl id=") : text.index("</dl>")])
    assert legend == "Time 2025-01-06 O 1,250.5 H 1,251.5 L 950.5 C 1,249.5 V 10 Change −0.08%"
    assert rows_of(text_of(client, "/"))[0].startswith("INDEX 1,249.5 −0.08% ")


def test_candle_table_has_twelve_rows(client: FlaskClient, gold: None) -> None:
    assert len(rows_of(text_of(client, "/chart/XAUUSD"))) == 12


def test_timeframe_without_candles_shows_no_candles_message(
    client: FlaskClient, db_path: Path
) -> None:
    store(db_path, "DAILY", [(MONDAY, 1.0, 2.0, 0.5, 1.5, 10.0)], tf="D1")
    text = text_of(client, "/chart/DAILY")
    assert re.search(r'<p id="no-candles" class="no-candles" >No <span>H1</span> candles', text)
    assert block(text, "chart-data")["candles"] == []
    assert re.search(
        r'<p id="no-candles" class="no-candles" hidden>', text_of(client, "/chart/DAILY?tf=D1")
    )


def test_timeframe_links_and_clock_form_work_without_script(
    client: FlaskClient, gold: None
) -> None:
    text = text_of(client, "/chart/XAUUSD?tf=M5&clock=%2B05:30")
    links = re.findall(r'<a href="(\?tf=[^"]*)"( aria-current="page")?>(\w+)</a>', text)
    assert len(links) == 18
    assert links[3] == ("?tf=M5&amp;clock=%2B05%3A30", ' aria-current="page"', "M5")
    assert [current for _, current, _ in links].count("") == 17
    options = re.findall(r'<option value="([^"]*)"( selected)?>([^<]*)</option>', text)
    assert options[0] == ("Europe/Athens", "", "Athens (XAUUSD)")
    assert options[-1] == ("+05:30", " selected", "+05:30")
    assert sorted(name for name, _, _ in options) == sorted({name for name, _, _ in options}), (
        "every clock is offered once"
    )


def test_inline_json_cannot_close_its_script_element() -> None:
    hostile = {"a": "</script><!-- & \u2028 \u2029 <script>"}
    text = inline_json(hostile)
    assert json.loads(text) == hostile
    assert not set("<>&\u2028\u2029") & set(text)


def test_chart_page_credits_lightweight_charts(client: FlaskClient, gold: None) -> None:
    vendored = ROOT / "static/vendor/lightweight-charts@5.2.1"
    assert "Apache License" in (vendored / "LICENSE").read_text("utf-8")
    product, copyright_, *_ = (vendored / "NOTICE").read_text("utf-8").splitlines()
    assert product == "TradingView Lightweight Charts™"
    assert copyright_.startswith("Copyright (c) 2026 TradingView, Inc.")
    text = text_of(client, "/chart/XAUUSD")
    assert "TradingView Lightweight Charts™, © 2026 TradingView, Inc." in text
    assert 'href="https://www.tradingview.com/"' in text
