"""`GET /api/v1/export`: a whole range of candles, streamed as a file."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from flask import Blueprint, Response, current_app

from gfil.clocks import TIME_MAX, TIME_MIN, Clock
from gfil.errors import SymbolUnknown
from gfil.ingest import export
from gfil.ingest.export import Series
from gfil.store import symbols
from gfil.store.engine import connection
from gfil.timeframes import Timeframe
from gfil.web.api import schemas
from gfil.web.request.connections import read_db
from gfil.web.request.parameters import CLOCK, FROM, SYMBOL, TF, TO, check_range, choice
from gfil.web.request.route import Content, route
from gfil.web.request.schema import ANY, TEXT

bp = Blueprint("export", __name__)

CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "json": "application/json",
}
FORMAT = replace(
    choice("format", "Format of the file.", tuple(CONTENT_TYPES), "csv"), argument="form"
)


@route(
    bp,
    "GET",
    "/api/v1/export",
    scope="read",
    parameters=[SYMBOL, TF, FROM, TO, CLOCK, FORMAT],
    answers=[
        Content(TEXT, "text/csv", schemas.CANDLES_CSV_EXAMPLE),
        Content(TEXT, "application/x-ndjson"),
        Content(ANY),
    ],
    errors=[SymbolUnknown],
)
def export_candles(
    symbol: str, tf: Timeframe, start: int | None, stop: int | None, clock: Clock, form: str
) -> Response:
    """Every candle of a range as a CSV, NDJSON or JSON file that imports back unchanged."""
    check_range(start, stop)
    series = Series(
        symbols.read(read_db(), symbol),
        tf,
        clock,
        TIME_MIN if start is None else start,
        TIME_MAX if stop is None else stop,
    )
    chunks = _stream(current_app.config["SETTINGS"].db, series, form)
    first = next(chunks)  # an error up to here still gets its own status
    body = chain([first], chunks)
    response = current_app.response_class(body, content_type=CONTENT_TYPES[form])
    response.headers["Content-Disposition"] = f'attachment; filename="{series.name}.{form}"'
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _stream(path: Path, series: Series, form: str) -> Iterator[bytes]:
    # A separate connection: the request's snapshot would hold up checkpoints for as long as a slow
    # client takes. Each page is read whole into memory before it is sent.
    db = connection.connect(path, readonly=True)
    try:
        yield from export.stream(db, series, form)
    finally:
        db.close()
