"""The assets that pages load: versions, caching, module lists and size budgets."""

import gzip
import re
from urllib.parse import urljoin

import pytest
from flask.testing import FlaskClient

from gfil.config import ROOT
from gfil.web.pages import assets

CHART_GZIPPED_BYTES_MAX = 110_000  # page, scripts and styles; 62,000 are lightweight-charts
OVERVIEW_GZIPPED_BYTES_MAX = 25_000
IMPORT = re.compile(r"""^\s*(?:import|export)\b[^;]*?from\s+'([^']+)'|^import\s+'([^']+)'""", re.M)


def versioned(name: str) -> str:
    return f"/static/{assets.read_assets().version}/{name}"


def test_asset_with_current_version_is_cached_for_a_year(client: FlaskClient) -> None:
    answer = client.get(versioned("chart/main.js"))
    assert (answer.status_code, answer.data) == (200, (ROOT / "static/chart/main.js").read_bytes())
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.content_type == "text/javascript; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_asset_with_other_version_is_not_cached(client: FlaskClient) -> None:
    answer = client.get("/static/0123456789abcdef/chart/main.js")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")


def test_asset_is_gzipped_if_client_accepts_gzip(client: FlaskClient) -> None:
    plain = client.get(versioned("gfil.css"))
    zipped = client.get(versioned("gfil.css"), headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert (plain.headers["Vary"], zipped.headers["Vary"]) == ("Accept-Encoding",) * 2
    assert gzip.decompress(zipped.data) == plain.data == (ROOT / "static/gfil.css").read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "../wsgi.py",
        "..%2Fwsgi.py",
        "%2e%2e/%2e%2e/etc/passwd",
        "vendor/../../wsgi.py",
        "vendor",
        "chart",
        "jsconfig.json",
        "chart/main.js%00",
        "vendor/lightweight-charts@5.2.1/LICENSE",
    ],
)
def test_path_outside_assets_returns_404(client: FlaskClient, name: str) -> None:
    assert client.get(versioned(name)).status_code == 404


def test_asset_url_of_missing_file_raises_lookup_error() -> None:
    with pytest.raises(LookupError, match=r"no file static/missing\.js"):
        assets.asset_url("missing.js")


def imported(name: str, seen: set[str] | None = None) -> set[str]:
    """Return the names of a module and of all modules that it imports."""
    seen = seen if seen is not None else set()
    if name in seen:
        return seen
    seen.add(name)
    if "vendor/" not in name:
        for found in IMPORT.findall(assets.read_assets().files[name].body.decode()):
            imported(urljoin(name, found[0] or found[1]), seen)
    return seen


def test_chart_page_preloads_exactly_the_modules_it_imports() -> None:
    assert set(assets.CHART_MODULES) == imported("chart/main.js")


def test_every_module_is_loaded_by_a_page() -> None:
    scripts = {name for name in assets.read_assets().files if name.endswith((".js", ".mjs"))}
    loaded = [imported(name) for name in ("chart/main.js", "pages/overview.js", "pages/status.js")]
    assert scripts == {"lib/theme.js"}.union(*loaded)


def gzipped_bytes(client: FlaskClient, path: str, modules: set[str]) -> dict[str, int]:
    """Return the size of a page and of each asset that it loads."""
    loaded = {*modules, "lib/theme.js", "gfil.css", "favicon.svg"}
    sizes = {name: len(assets.read_assets().files[name].gzipped) for name in loaded}
    return {path: len(gzip.compress(client.get(path).data)), **sizes}


def test_chart_page_stays_within_size_budget(client: FlaskClient, gold: None) -> None:
    sizes = gzipped_bytes(client, "/chart/XAUUSD", set(assets.CHART_MODULES))
    assert sum(sizes.values()) <= CHART_GZIPPED_BYTES_MAX, sizes


def test_overview_stays_within_size_budget(client: FlaskClient, gold: None) -> None:
    sizes = gzipped_bytes(client, "/", imported("pages/overview.js"))
    assert sum(sizes.values()) <= OVERVIEW_GZIPPED_BYTES_MAX, sizes
