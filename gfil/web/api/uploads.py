"""Rows over HTTP: the parameters of an upload, its one transaction if it is small, its answer."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Any

import apsw
from flask import Response, current_app

from gfil import clocks, timeframes
from gfil.errors import BadRequest, Busy, GfilError, Refused, TooLarge
from gfil.ingest import formats, importer
from gfil.ingest.importer import Kind, Options
from gfil.ingest.parse import columns as column_names
from gfil.ingest.report import Report
from gfil.maintenance import free_space
from gfil.store.engine.pool import Writer
from gfil.web.request import body as request_body
from gfil.web.request import idempotency, metrics
from gfil.web.request.connections import read_db
from gfil.web.request.parameters import (
    check_parameters,
    choice_parameter,
    flag_parameter,
    text_parameter,
)
from gfil.web.request.responses import json_response

SPLIT = "send it in parts, or raise GFIL_MAX_UPLOAD_MB"
# So many at once in one process, for each takes memory: some megabytes for every one of its own,
# and large ones up to 16. Others wait so long for a place, then they are told to come back.
MEDIUM_BYTES = request_body.MB
MEDIUM_MAX, MEDIUM_WAIT_S = 2, 20.0
LARGE_MAX, LARGE_WAIT_S = 8, 1.0
_medium, _large = BoundedSemaphore(MEDIUM_MAX), BoundedSemaphore(LARGE_MAX)
OPTION = re.compile(r"--([a-z]+)(?:-([a-z]+))?")  # as the command line spells a parameter

PARAMETERS = (
    *("symbol", "tf", "clock", "format", "columns", "on_error", "mode", "dry_run", "force_tf"),
)

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
    """Read the body of an upload; errors name parameters as they are called here.

    Raises:
        DiskFull: there is too little room to take in anything.
        As `bodies.receive`.
    """
    settings = current_app.config["SETTINGS"]
    try:
        with request_body.receive(limit_mb * request_body.MB, hint) as body:
            free_space.check_room(settings.db, settings.min_free_mb)
            yield body
    except GfilError as error:
        error.detail = OPTION.sub(_spell, error.detail)
        if isinstance(error, Refused):
            error.report = {name: told for name, told in error.report.items() if name != "file"}
        raise


def options(kind: Kind) -> Options:
    """Return what the query says of the rows in the body.

    Raises:
        BadParameter: one of its parameters is malformed.
    """
    check_parameters(*PARAMETERS)
    tf, clock = text_parameter("tf", ""), text_parameter("clock", "")
    named, columns = text_parameter("format", ""), text_parameter("columns", "")
    return Options(
        symbol=text_parameter("symbol", "").replace(" ", "+") or None,
        timeframe=timeframes.parse(tf) if tf else None,
        clock=clocks.parse(clock) if clock else None,
        kind=kind,
        format=formats.check_name(named) if named else None,
        columns=column_names.parse_columns(columns) if columns else None,
        abort=choice_parameter("on_error", ("skip", "abort")) == "abort",
        fill=choice_parameter("mode", ("", "fill")) == "fill",
        dry_run=flag_parameter("dry_run"),
        force_timeframe=flag_parameter("force_tf"),
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
    with writer.dedicated_connection() as db:
        report = importer.load(db, body, options, now=time.time())
    if not options.dry_run:
        _count(report)
    if report.reasons["truncated"]:
        stored = report.rows - report.rejected
        raise BadRequest(f"it breaks off in the middle; {stored} rows before are stored")
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


def _spell(match: re.Match[str]) -> str:
    return "_".join(part for part in match.groups() if part)
