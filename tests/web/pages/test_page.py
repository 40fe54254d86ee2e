"""Rules of every page: headers, links, inline content, error pages."""

import html
import re

import pytest
from flask.testing import FlaskClient

from tests.web.pages.markup import text_of

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PAGES = ["/", "/chart/XAUUSD", "/chart/XAUUSD?tf=D1", "/chart/NOPE", "/chart/XAUUSD?tf=M7"]


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/chart/NOPE", 404, "unknown symbol 'NOPE'"),
        ("/chart/<script>alert(1)<", 404, "unknown symbol '<script>alert(1)<'"),
        ("/chart/XAUUSD?tf=M7", 400, "unknown timeframe 'M7'"),
        ("/chart/XAUUSD?tf=H1&tf=H4", 400, "tf is given 2 times"),
        ("/chart/XAUUSD?clock=Nowhere", 400, "unknown clock 'Nowhere'"),
        ("/chart/XAUUSD?clock=</script><b>", 400, "unknown clock '</script><b>'"),
        ("/chart/XAUUSD?to=soon", 400, "bad time 'soon'"),
        ("/chart/XAUUSD?to=1736244000000", 400, "bad time 1736244000000: milliseconds?"),
    ],
)
def test_invalid_request_returns_error_page_with_its_cause(
    client: FlaskClient, gold: None, path: str, status: int, sentence: str
) -> None:
    text = text_of(client, path, status)
    found = re.search(r'<p class="intro">(.*?)</p>', text)
    assert found
    assert html.unescape(found[1]).startswith(sentence)
    assert "<script>alert" not in text
    assert "<b>" not in text


@pytest.mark.parametrize("path", PAGES)
def test_page_has_strict_security_headers(client: FlaskClient, gold: None, path: str) -> None:
    headers = client.get(path).headers
    assert headers["Content-Security-Policy"] == CSP
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("path", PAGES)
def test_page_has_no_inline_script_or_style(client: FlaskClient, gold: None, path: str) -> None:
    text = client.get(path).text
    scripts = re.findall(r"<script\b([^>]*)>(.*?)</script>", text, re.DOTALL)
    for attributes, content in scripts:
        assert 'type="application/json"' in attributes or ("src=" in attributes and not content)
    assert not re.search(r"<style|\sstyle\s*=|\son\w+\s*=|javascript:", text)


@pytest.mark.parametrize("path", PAGES)
def test_page_loads_assets_from_own_origin_only(client: FlaskClient, gold: None, path: str) -> None:
    loaded = re.findall(
        r'<(?:link|script|img)\b[^>]*\b(?:href|src)="([^"]*)"', client.get(path).text
    )
    assert loaded
    assert [url for url in loaded if not url.startswith("/static/")] == []


@pytest.mark.parametrize("path", [*PAGES, "/status", "/status/XAUUSD", "/login", "/docs"])
def test_page_links_to_docs_status_and_overview(client: FlaskClient, gold: None, path: str) -> None:
    links = set(re.findall(r'<a\b[^>]*\bhref="([^"]*)"', client.get(path).text))
    assert links >= {"/", "/status", "/docs"}


def test_description_is_escaped(client: FlaskClient, gold: None) -> None:
    for path in ("/", "/chart/XAUUSD"):
        text = text_of(client, path)
        assert "Gold &lt;made up&gt;" in text
        assert "<made" not in text
