"""Export over HTTP: a whole range of candles, streamed."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from flask import Blueprint, Response, current_app

from gfil import clocks, timeframes
from gfil.clocks import TIME_MAX, TIME_MIN
from gfil.errors import BadParameter
from gfil.ingest import export
from gfil.ingest.export import Series
from gfil.store import symbols
from gfil.store.engine import connection
from gfil.web.request.connections import read_db
from gfil.web.request.parameters import instant_parameter, text_parameter
from gfil.web.request.scope import scope

bp = Blueprint("export", __name__)

CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "json": "application/json",
}


@bp.get("/api/v1/export")
@scope("read")
def read() -> Response:
    """Send a whole range of candles as CSV, NDJSON or JSON that imports back to the same."""
    start, stop = instant_parameter("from"), instant_parameter("to")
    form = text_parameter("format", "csv")
    if form not in CONTENT_TYPES:
        raise BadParameter(f"format must be one of {' '.join(CONTENT_TYPES)}")
    series = Series(
        symbols.read(read_db(), text_parameter("symbol")),
        timeframes.parse(text_parameter("tf")),
        clocks.parse(text_parameter("clock", "UTC")),
        TIME_MIN if start is None else start,
        TIME_MAX if stop is None else stop,
    )
    if series.start > series.stop:
        raise BadParameter("from is after to")
    pieces = _stream(current_app.config["SETTINGS"].db, series, form)
    first = next(pieces)  # what goes wrong before it still gets a status of its own
    body = chain([first], pieces)
    response = current_app.response_class(body, content_type=CONTENT_TYPES[form])
    response.headers["Content-Disposition"] = f'attachment; filename="{series.name}.{form}"'
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _stream(path: Path, series: Series, form: str) -> Iterator[bytes]:
    # A connection of its own, since the request's snapshot would hold up the WAL for as long as a
    # slow client takes. Every page is a read of its own, whole in memory before it is sent.
    db = connection.connect(path, readonly=True)
    try:
        yield from export.stream(db, series, form)
    finally:
        db.close()
