"""Rows over HTTP: the parameters of an upload, its one transaction if it is small, its answer."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import apsw
from flask import Response, current_app

from gfil import clocks, timeframes
from gfil.errors import BadRequest, DatabaseError, DiskFull, GfilError, Refused
from gfil.ingest import formats, importer, layout
from gfil.ingest.importer import Kind, Options
from gfil.ingest.report import Report
from gfil.store import db as store
from gfil.store.pool import Writer
from gfil.upkeep import disk
from gfil.web import (
    bodies,
    choice_parameter,
    flag_parameter,
    json_response,
    metrics,
    reading,
    requests,
    text_parameter,
)

SPLIT = "send it in parts, or raise GFIL_MAX_UPLOAD_MB"
CACHE_KIB = 2048  # as fast as 16 MB: an upload goes through time once
OPTION = re.compile(r"--([a-z]+)(?:-([a-z]+))?")  # as the command line spells a parameter

Describe = Callable[[Report], dict[str, Any]]


@contextmanager
def receive(limit_mb: int, hint: str) -> Iterator[bodies.Body]:
    """Read the body of an upload; errors name parameters as they are called here.

    Raises:
        DiskFull: there is too little room to take in anything.
        As `bodies.receive`.
    """
    settings = current_app.config["SETTINGS"]
    try:
        with bodies.receive(limit_mb, hint) as body:
            disk.check_room(settings.db, settings.min_free_mb)
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
    tf, clock = text_parameter("tf", ""), text_parameter("clock", "")
    named, columns = text_parameter("format", ""), text_parameter("columns", "")
    return Options(
        symbol=text_parameter("symbol", "").replace(" ", "+") or None,
        timeframe=timeframes.parse(tf) if tf else None,
        clock=clocks.parse(clock) if clock else None,
        kind=kind,
        format=formats.check_name(named) if named else None,
        columns=layout.parse_columns(columns) if columns else None,
        abort=choice_parameter("on_error", ("skip", "abort")) == "abort",
        fill=choice_parameter("mode", ("", "fill")) == "fill",
        dry_run=flag_parameter("dry_run"),
        force_timeframe=flag_parameter("force_tf"),
    )


def store_small(body: bodies.Body, options: Options, describe: Describe) -> Response:
    """Store the rows of a small body in one transaction, once; return the answer."""

    reports: list[Report] = []

    def prepare() -> requests.Work:
        prepared = importer.prepare(reading(), body, options, now=time.time())

        def work(db: apsw.Connection) -> dict[str, Any]:
            reports[:] = [prepared.store(db)]
            return describe(reports[0])

        return work

    if options.dry_run:
        return requests.answer_trial(prepare())
    response = requests.answer_once(body.digest, prepare)
    for report in reports:  # none where the answer was known
        count(report)
    return response


def store_large(body: bodies.Body, options: Options, describe: Describe) -> Response:
    """Store the rows of a body as they come, batch by batch; return the answer.

    Raises:
        BadRequest: it breaks off in the middle; whole batches are stored, and counted in words.
    """
    writer: Writer = current_app.extensions["writer"]
    warnings = [requests.TOO_LARGE_FOR_KEY] if requests.has_key() else []
    writer.check()
    try:
        # Others write through the writer meanwhile.
        with closing(store.connect(writer.path, cache_kib=CACHE_KIB)) as db:
            report = importer.load(db, body, options, now=time.time())
    except (DatabaseError, DiskFull, apsw.Error) as error:
        writer.failstop.note(error, writer.path)
        raise
    writer.check()  # whatever failed, in whose hands ever: it may be what these rows stand on
    if not options.dry_run:
        count(report)
    if report.reasons["truncated"]:
        stored = report.rows - report.rejected
        raise BadRequest(f"it breaks off in the middle; {stored} rows before are stored")
    for warning in warnings:
        report.warn(warning)
    return json_response(describe(report))


def count(report: Report) -> None:
    """Add what became of an upload's rows to the metrics."""
    kind = "ticks" if report.is_on_ticks else "candles"
    metrics.count_rows(kind, report.counts(), report.reasons)


def describe_candles(report: Report) -> dict[str, Any]:
    """Return a report in the names of the contract; there is no file to name."""
    told = report.as_json()
    del told["file"]
    return told


def _spell(match: re.Match[str]) -> str:
    return "_".join(part for part in match.groups() if part)
