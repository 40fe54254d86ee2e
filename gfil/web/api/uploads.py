"""Rows over HTTP: the parameters of an upload, its one transaction if it is small, its answer."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Any

import apsw
from flask import Response, current_app

from gfil import clocks, timeframes
from gfil.errors import (
    BadRequest,
    Busy,
    Conflict,
    DiskFull,
    Refused,
    TooLarge,
    TooSlow,
    UnsupportedEncoding,
)
from gfil.ingest import formats, importer
from gfil.ingest.importer import Kind, Options
from gfil.ingest.parse import columns as column_names
from gfil.ingest.report import Report
from gfil.maintenance import free_space
from gfil.store.engine.pool import Writer
from gfil.store.idempotency import KeyReused
from gfil.web.request import body as request_body
from gfil.web.request import idempotency, metrics
from gfil.web.request.connections import read_db
from gfil.web.request.parameters import Parameter, choice, flag, text
from gfil.web.request.responses import json_response
from gfil.web.request.route import Content
from gfil.web.request.schema import BINARY, TEXT, one_of
from gfil.wording import MB

SPLIT = "send it in parts, or raise GFIL_MAX_UPLOAD_MB"
# So many at once in one process, for each takes memory: some megabytes for every one of its own,
# and large ones up to 16. Others wait so long for a place, then they are told to come back.
MEDIUM_BYTES = MB
MEDIUM_MAX, MEDIUM_WAIT_S = 2, 20.0
LARGE_MAX, LARGE_WAIT_S = 8, 1.0
_medium, _large = BoundedSemaphore(MEDIUM_MAX), BoundedSemaphore(LARGE_MAX)

TICK_PARAMETERS = (
    text(
        "symbol",
        "Symbol of the rows (default: the symbol column of the rows).",
        parse=lambda given: given.replace(" ", "+"),  # an unescaped + in a URL becomes a blank
        example="XAUUSD",
    ),
    Parameter(
        "clock",
        "Clock of timestamps without an offset (default: `clock` of a JSON body, else UTC).",
        TEXT,
        clocks.parse,
    ),
    Parameter(
        "format",
        "Format of the body (default: recognised from the content).",
        one_of(*formats.NAMES),
        formats.check_name,
    ),
    Parameter(
        "columns",
        "Names of the cells, such as time,open,close,high,low,volume; _ skips a cell.",
        TEXT,
        column_names.parse_columns,
    ),
    choice(
        "on_error",
        "`skip` stores the good rows, `abort` refuses the request if any row is bad.",
        ("skip", "abort"),
        "skip",
    ),
    flag("dry_run", "Report what would be stored and store nothing."),
)
CANDLE_PARAMETERS = (
    *TICK_PARAMETERS,
    Parameter(
        "tf",
        "Timeframe of the rows (default: the timeframe column of the rows).",
        TEXT,
        timeframes.parse,
        example="H1",
    ),
    choice("mode", "`fill` adds missing candles and keeps stored ones.", ("fill",)),
    flag("force_tf", "Store rows even if their spacing contradicts `tf`."),
)
ANY_FILE = Content(
    BINARY | {"description": "any format that the import reads: CSV, NDJSON, JSON; also as gzip"},
    "application/octet-stream",
)
ERRORS = (*(TooSlow, Conflict, TooLarge, UnsupportedEncoding, Refused, KeyReused, DiskFull),)

Describe = Callable[[Report], dict[str, Any]]


@contextmanager
def _place(places: BoundedSemaphore, wait_s: float) -> Iterator[None]:
    if not places.acquire(timeout=wait_s):
        raise Busy("too many uploads at once", retry_after_s=10)
    try:
        yield
    finally:
        places.release()


@contextmanager
def receive(limit_mb: int, hint: str) -> Iterator[request_body.Body]:
    """Read the body of an upload; the report of an error names no file.

    Raises:
        DiskFull: there is too little room to take in anything.
        As `body.receive`.
    """
    settings = current_app.config["SETTINGS"]
    try:
        with request_body.receive(limit_mb * MB, hint) as body:
            free_space.check_room(settings.db, settings.min_free_mb)
            yield body
    except Refused as error:
        error.report = {name: told for name, told in error.report.items() if name != "file"}
        raise


def options(kind: Kind, given: Mapping[str, Any]) -> Options:
    """Return the import options that the parameters of an upload give."""
    return Options(
        symbol=given["symbol"],
        timeframe=given.get("tf"),
        clock=given["clock"],
        kind=kind,
        format=given["format"],
        columns=given["columns"],
        abort=given["on_error"] == "abort",
        fill=given.get("mode") == "fill",
        dry_run=given["dry_run"],
        force_timeframe=given.get("force_tf", False),
    )


def write(body: request_body.Body, options: Options, describe: Describe) -> Response:
    """Store the rows of a body, of a small one in one transaction and once; return the answer.

    Raises:
        TooLarge: all of it or nothing is asked for, and it is not small.
        BadRequest: it breaks off in the middle. Of a large one whole batches are stored and counted
            in the detail.
        Busy: this process has too many uploads already.
    """
    if not body.is_small:
        if options.abort:
            raise TooLarge("on_error=abort takes at most 8 MB unpacked: nothing was stored")
        with _place(_large, LARGE_WAIT_S):
            return _write_large(body, options, describe)
    if body.size_bytes <= MEDIUM_BYTES:
        return _write_small(body, options, describe)
    with _place(_medium, MEDIUM_WAIT_S):
        return _write_small(body, options, describe)


def _write_small(body: request_body.Body, options: Options, describe: Describe) -> Response:
    reports: list[Report] = []

    def prepare() -> idempotency.Work:
        prepared = importer.prepare(read_db(), body, options, now=time.time())

        def work(db: apsw.Connection) -> dict[str, Any]:
            reports[:] = [prepared.store(db)]
            return describe(reports[0])

        return work

    if options.dry_run:
        return idempotency.dry_run(prepare())
    response = idempotency.run_once(body.digest, prepare)
    for report in reports:  # none where the answer was known
        _count(report)
    return response


def _write_large(body: request_body.Body, options: Options, describe: Describe) -> Response:
    writer: Writer = current_app.extensions["writer"]
    warnings = [idempotency.TOO_LARGE_FOR_KEY] if idempotency.has_key() else []
    with writer.beside() as db:
        report = importer.load(db, body, options, now=time.time())
    if not options.dry_run:
        _count(report)
    if report.reasons["truncated"]:
        stored = report.rows - report.rejected
        raise BadRequest(f"it breaks off in the middle; {stored:,} rows before are stored")
    for warning in warnings:
        report.warn(warning)
    return json_response(describe(report))


def _count(report: Report) -> None:
    kind = "ticks" if report.is_on_ticks else "candles"
    metrics.count_rows(kind, report.counts(), report.reasons)


def describe_candles(report: Report) -> dict[str, Any]:
    """Return a report in the names of the contract; there is no file to name."""
    told = report.as_json()
    del told["file"]
    return told
