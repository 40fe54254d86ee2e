"""Assets: the files of static/ under versioned URLs, read once when the application is made."""

import gzip
import hashlib
from functools import cache
from typing import NamedTuple

from flask import Blueprint, Response, request

from gfil.config import ROOT
from gfil.web.request.responses import PAGE_HEADERS
from gfil.web.request.route import route
from gfil.wording import format_count, format_number

STATIC = ROOT / "static"
YEAR_S = 365 * 86400
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
LIB_MODULES = (
    *("api", "back-off", "dom", "event-stream", "format", "page-visibility", "shortcuts"),
    *("stream-status", "symbol-search", "time-zones"),
)
CHART_MODULES = (
    "vendor/lightweight-charts@5.2.1/lightweight-charts.standalone.production.mjs",
    *(f"chart/{path.name}" for path in sorted((STATIC / "chart").glob("*.js"))),
    *(f"lib/{name}.js" for name in LIB_MODULES),
)

bp = Blueprint("assets", __name__)
bp.add_app_template_global(format_count)
bp.add_app_template_global(format_number)


class Asset(NamedTuple):
    """One file of static/, plain and compressed."""

    body: bytes
    gzipped: bytes
    content_type: str


class Assets(NamedTuple):
    """Every file of static/ by its name; `version` is the hash of all of them."""

    version: str
    files: dict[str, Asset]


@cache
def read_assets() -> Assets:
    """Read every asset, once per process.

    All assets share one version, so that a module imports others by a relative path.
    """
    digest = hashlib.blake2b(digest_size=8)
    files = {}
    for path in sorted(STATIC.rglob("*")):
        if path.suffix not in CONTENT_TYPES:
            continue
        name, body = path.relative_to(STATIC).as_posix(), path.read_bytes()
        digest.update(f"{name}\0{len(body)}\0".encode() + body)
        files[name] = Asset(body, gzip.compress(body, 9, mtime=0), CONTENT_TYPES[path.suffix])
    return Assets(digest.hexdigest(), files)


@route(bp, "GET", "/static/<version>/<path:name>", scope="open")
def send_asset(version: str, name: str) -> Response:
    """A file of static/; under its current version it may be cached for a year."""
    assets = read_assets()
    asset = assets.files.get(name)
    if asset is None:
        return Response("No such file.\n", 404, PAGE_HEADERS, content_type="text/plain")
    is_current = version == assets.version
    response = Response(asset.body, headers=PAGE_HEADERS, content_type=asset.content_type)
    if request.accept_encodings["gzip"]:
        response.set_data(asset.gzipped)
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = (
        f"public, max-age={YEAR_S}, immutable" if is_current else "no-cache"
    )
    return response


@bp.app_template_global("asset")
def asset_url(name: str) -> str:
    """Return the versioned URL of a file of static/."""
    assets = read_assets()
    if name not in assets.files:
        raise LookupError(f"no file static/{name}")
    return f"/static/{assets.version}/{name}"
