"""Uploads of rows: parameters, one transaction for a small body, the answer."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from threading import BoundedSemaphore
from typing import Any

import apsw
from flask import Response, current_app, request

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
from gfil.ingest import formats, importer, typed_json
from gfil.ingest.load.atomic import AtomicWrite
from gfil.ingest.options import KindName, Options
from gfil.ingest.parse import columns as column_names
from gfil.ingest.report import Report
from gfil.ingest.typed_json import BODY_BYTES_MAX
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
from gfil.wording import MB, format_count

SPLIT = "send it in parts, or raise GFIL_MAX_UPLOAD_MB"
# Uploads at once in one process: a medium one takes a few times its size in memory, a large one up
# to 16 MB. Further uploads wait for a place, then get 503 with Retry-After.
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
ERRORS = (TooSlow, Conflict, TooLarge, UnsupportedEncoding, Refused, KeyReused, DiskFull)

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
        DiskFull: the disk has less free space than GFIL_MIN_FREE_MB.
        As `body.receive`.
    """
    settings = current_app.config["SETTINGS"]
    try:
        with request_body.receive(limit_mb * MB, hint) as body:
            free_space.check_room(settings.db, settings.min_free_mb)
            yield body
    except Refused as error:
        error.report = {key: value for key, value in error.report.items() if key != "file"}
        raise


def options(kind: KindName, given: Mapping[str, Any]) -> Options:
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
    """Store the rows of a body and return the answer; a small body in one transaction, and once.

    Raises:
        TooLarge: `on_error=abort` with a body that is not small.
        BadRequest: the body is truncated. Of a large body the complete batches are stored; the
            detail counts them.
        Busy: this process handles too many uploads.
    """
    if not body.is_small:
        if options.abort:
            raise TooLarge("on_error=abort takes at most 8 MB decompressed: nothing was stored")
        with _place(_large, LARGE_WAIT_S):
            return _write_large(body, options, describe)
    if body.size_bytes <= MEDIUM_BYTES:
        return _write_small(body, options, describe)
    with _place(_medium, MEDIUM_WAIT_S):
        return _write_small(body, options, describe)


def _write_small(body: request_body.Body, options: Options, describe: Describe) -> Response:
    upload = _SmallUpload(body, options, describe)
    if options.dry_run:
        return idempotency.dry_run(upload.prepare())
    response = idempotency.run_once(body.digest, upload.prepare)
    if upload.report is not None:  # None where an idempotency record held the answer
        _count(upload.report)
    return response


class _SmallUpload:
    def __init__(self, body: request_body.Body, options: Options, describe: Describe) -> None:
        self.report: Report | None = None
        self._body = body
        self._options = options
        self._describe = describe

    def prepare(self) -> idempotency.Work:
        now = time.time()
        chunks: Iterable[bytes] = self._body
        if request.mimetype == "application/json" and self._body.size_bytes <= BODY_BYTES_MAX:
            data = b"".join(self._body)
            direct = typed_json.prepare(read_db(), data, self._options, now=now)
            if direct is not None:
                return partial(self._store, direct)
            chunks = (data,)
        return partial(self._store, importer.prepare(read_db(), chunks, self._options, now=now))

    def _store(self, atomic: AtomicWrite, db: apsw.Connection) -> dict[str, Any]:
        self.report = atomic.store(db)
        return self._describe(self.report)


def _write_large(body: request_body.Body, options: Options, describe: Describe) -> Response:
    writer: Writer = current_app.extensions["writer"]
    warnings = [idempotency.TOO_LARGE_FOR_KEY] if idempotency.has_key() else []
    with writer.dedicated_connection() as db:
        report = importer.load(db, body, options, now=time.time())
    if not options.dry_run:
        _count(report)
    if report.reasons["truncated"]:
        stored = report.rows - report.rejected
        raise BadRequest(f"the body is truncated; {format_count(stored, 'row')} before are stored")
    for warning in warnings:
        report.warn(warning)
    return json_response(describe(report))


def _count(report: Report) -> None:
    kind = "ticks" if report.is_on_ticks else "candles"
    metrics.count_rows(kind, report.counts(), report.reasons)


def describe_candles(report: Report) -> dict[str, Any]:
    """Return a report as JSON without its file name."""
    answer = report.as_json()
    del answer["file"]
    return answer
