"""Requests that write: one transaction each, and done once however often it is sent."""

import hashlib
import re
import time
from collections.abc import Callable
from typing import Any

import apsw
import orjson
from flask import Flask, Response, current_app, g, request

from gfil.errors import BadRequest
from gfil.store import idempotency
from gfil.store.idempotency import RequestIdentity, StoredAnswer
from gfil.web.request.connections import read_db, release_read_db, write_transaction
from gfil.web.request.responses import json_response

HEADER = "Idempotency-Key"
HEADER_FORM = re.compile("[!-~]([ -~]{0,253}[!-~])?")
TRIM_EVERY_S = 3600.0
TOO_LARGE_FOR_KEY = (
    f"the {HEADER} is not used for a body above 8 MB: sent again, it changes nothing twice"
)

Work = Callable[[apsw.Connection], dict[str, Any]]
"""Writes inside a transaction and returns the body of the answer."""


class _Undone(Exception):
    pass  # ends a transaction that was only a trial


def run_once(said: bytes, prepare: Callable[[], Work]) -> Response:
    """Do what a request asks in one transaction, unless it was done before; return the answer.

    `said` is the body unpacked, or its digest; `prepare` is called before the transaction. The
    answer commits together with what it tells, and is given again to the same request with the
    same Idempotency-Key. Only what was done is remembered: a refused request may be sent again.

    Raises:
        BadRequest: the Idempotency-Key is none.
        KeyTaken: it came with another query or body.
    """
    now = time.time()
    asked = _asked(said)
    if asked and (known := idempotency.find_answer(read_db(), asked, now=now)):
        return _replay(known)
    work = prepare()
    release_read_db()
    with write_transaction() as db:
        # The same request may have been answered meanwhile, also by another worker.
        if asked and (known := idempotency.find_answer(db, asked, now=now)):
            return _replay(known)
        body = orjson.dumps(work(db))
        if asked:
            idempotency.store_answer(db, asked, StoredAnswer(200, body), now=now)
    return current_app.response_class(body, content_type="application/json")


def dry_run(work: Work) -> Response:
    """Do what a request asks in a transaction that is undone; return the answer."""
    release_read_db()
    try:
        with write_transaction() as db:
            answer = work(db)
            raise _Undone
    except _Undone:
        return json_response(answer)


def has_key() -> bool:
    """Say whether the request carries an Idempotency-Key.

    Raises:
        BadRequest: it is none.
    """
    return bool(_name())


def _asked(said: bytes) -> RequestIdentity | None:
    name = _name()
    if name is None:
        return None
    digest = hashlib.sha256(request.query_string + b"\n" + said).digest()
    return RequestIdentity(g.key.id, f"{request.method} {request.path}", name, digest)


def _name() -> str | None:
    name = request.headers.get(HEADER)
    if name is not None and not HEADER_FORM.fullmatch(name):
        raise BadRequest(f"{HEADER} must be 1 to 255 printable ASCII characters")
    return name


def _replay(known: StoredAnswer) -> Response:
    response = current_app.response_class(known.body, known.status, content_type="application/json")
    response.headers["Idempotent-Replayed"] = "true"
    return response


def init_app(app: Flask) -> None:
    """Have answers forgotten in time, also those to programs that write no more."""
    app.extensions["jobs"].add("requests", TRIM_EVERY_S, _trim)


def _trim() -> None:
    pool = current_app.extensions["pool"]
    db = pool.acquire()
    key_ids = idempotency.list_key_ids(db)
    pool.release(db)
    for key_id in key_ids:
        with write_transaction() as db:
            idempotency.trim(db, key_id, now=time.time())
