"""Idempotency of requests that write: a repeated Idempotency-Key gets the stored answer."""

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import apsw
import orjson
from flask import Flask, Response, current_app, g, request

from gfil.errors import BadRequest
from gfil.store import idempotency
from gfil.store.idempotency import RequestIdentity, StoredAnswer
from gfil.web.request.connections import read_db, release_read_db, write_transaction
from gfil.web.request.parameters import text
from gfil.web.request.responses import json_response

HEADER = "Idempotency-Key"
HEADER_FORM = re.compile("[!-~]([ -~]{0,253}[!-~])?")
IDEMPOTENCY_KEY = text(
    HEADER,
    "A repeated request with the same key gets the first answer again for 24 h.",
    schema={"type": "string", "pattern": f"^{HEADER_FORM.pattern}$"},
    place="header",
)
TRIM_EVERY_S = 3600.0
TOO_LARGE_FOR_KEY = (
    f"the {HEADER} is not used for a body above 8 MB: sent again, it changes nothing twice"
)

Work = Callable[[apsw.Connection], dict[str, Any]]
"""Writes inside a transaction and returns the body of the answer."""


class _Undone(Exception):
    pass  # ends the transaction of a dry run


def run_once(content: bytes, prepare: Callable[[], Work]) -> Response:
    """Run the work of a request in one transaction, or replay the stored answer.

    The answer is stored in the same transaction if the request has an Idempotency-Key. Refused
    requests are not stored, so they may be sent again.

    Args:
        content: the decoded body, or its digest.
        prepare: called before the transaction, without a lock; returns the work.

    Raises:
        BadRequest: the Idempotency-Key is malformed.
        KeyReused: the Idempotency-Key came with another query or body.
    """
    now = time.time()
    identity = _identify(content)
    if identity and (known := idempotency.find_answer(read_db(), identity, now=now)):
        return _replay(known)
    work = prepare()
    release_read_db()
    with write_transaction() as db:
        # The same request may have been answered meanwhile, also by another worker.
        if identity and (known := idempotency.find_answer(db, identity, now=now)):
            return _replay(known)
        body = orjson.dumps(work(db))
        if identity:
            idempotency.store_answer(db, identity, StoredAnswer(200, body), now=now)
    return current_app.response_class(body, content_type="application/json")


class Progress:
    """Counts of a request that works in several transactions.

    With an Idempotency-Key each transaction stores them, so after a crash the repeated request
    continues with the counts of the first.
    """

    def __init__(self, content: bytes = b"") -> None:
        self._identity = _identify(content)

    def add(self, db: apsw.Connection, counts: Mapping[str, int], change: int) -> None:
        """Add counts and replace the change number; inside the transaction that they describe."""
        if self._identity:
            now = time.time()
            stored = idempotency.read_progress(db, self._identity, now=now) or {}
            totals = {name: stored.get(name, 0) + count for name, count in counts.items()}
            totals["change"] = change
            idempotency.store_progress(db, self._identity, totals, now=now)

    def totals(self, db: apsw.Connection) -> dict[str, int]:
        """Return the counts and the change of all attempts; {} without a key or without counts."""
        if not self._identity:
            return {}
        return idempotency.read_progress(db, self._identity, now=time.time()) or {}


def dry_run(work: Work) -> Response:
    """Run the work of a request in a transaction that is rolled back; return the answer."""
    release_read_db()
    try:
        with write_transaction() as db:
            answer = work(db)
            raise _Undone
    except _Undone:
        return json_response(answer)


def has_key() -> bool:
    """Return whether the request has an Idempotency-Key.

    Raises:
        BadRequest: the key is malformed.
    """
    return bool(_name())


def _identify(content: bytes) -> RequestIdentity | None:
    name = _name()
    if name is None:
        return None
    digest = hashlib.sha256(request.query_string + b"\n" + content).digest()
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
    """Register the job that deletes old records, also of programs that no longer write."""
    app.extensions["jobs"].add("requests", TRIM_EVERY_S, _trim)


def _trim() -> None:
    pool = current_app.extensions["pool"]
    db = pool.acquire()
    key_ids = idempotency.list_key_ids(db)
    pool.release(db)
    for key_id in key_ids:
        with write_transaction() as db:
            idempotency.trim(db, key_id, now=time.time())
