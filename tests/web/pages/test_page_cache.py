"""Page cache: entries expire, and the least recently used ones give way."""

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from freezegun import freeze_time

from gfil.store import symbols
from gfil.store.engine import connection
from gfil.web.pages import chart
from gfil.web.pages.page_cache import PageCache
from tests.web.conftest import MONDAY


def test_entry_is_found_until_it_expires() -> None:
    cache = PageCache()
    cache.put("key", "page", expires=10.0)
    assert cache.get("key", 9.9) == "page"
    assert cache.get("key", 10.0) is None
    assert cache.get("other", 0.0) is None


def test_least_recently_used_entry_gives_way() -> None:
    cache = PageCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a", 0) == 1
    cache.put("c", 3)
    assert [cache.get(key, 0) for key in "abc"] == [1, None, 3]


def test_clear_removes_every_entry() -> None:
    cache = PageCache()
    cache.put("a", 1)
    cache.clear()
    assert cache.get("a", 0) is None


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The timeframes of the pages that were drawn, in order."""
    names: list[str] = []
    draw = chart._draw

    def count(*given: object) -> object:
        names.append(given[1].name)  # type: ignore[attr-defined]
        return draw(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(chart, "_draw", count)
    chart.PAGES.clear()
    return names


def test_chart_page_is_drawn_once_until_its_symbol_changes(
    client: FlaskClient, hours: Path, drawn: list[str]
) -> None:
    first = client.get("/chart/EUR_USD").text
    again = client.get("/chart/EUR_USD").text
    facts = re.compile(r'"now":[\d.]+')
    assert facts.sub("", first) == facts.sub("", again)
    assert drawn == ["H1"]
    db = connection.connect(hours)
    with connection.transaction(db):
        symbols.update(db, symbols.read(db, "EUR_USD")._replace(description="renamed"))
    db.close()
    assert "renamed" in client.get("/chart/EUR_USD").text
    assert drawn == ["H1", "H1"]


def test_chart_page_expires_when_its_last_candle_has_formed(
    client: FlaskClient, hours: Path, drawn: list[str]
) -> None:
    last = MONDAY + 2 * 86400
    with freeze_time("2025-01-01T23:59:00Z"):
        assert f'"forming":{last}' in client.get("/chart/EUR_USD?tf=D1").text
        client.get("/chart/EUR_USD?tf=D1")
        assert drawn == ["D1"]
    with freeze_time("2025-01-02T00:00:00Z"):
        assert '"forming":null' in client.get("/chart/EUR_USD?tf=D1").text
        assert drawn == ["D1", "D1"]
